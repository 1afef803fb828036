"""`python -m tests.cluster.flooding KIND PORT SECONDS`: a client that means harm, as a process of its own.

Why it exists: a flood must not take the time of whoever measures what it does to others. It comes from 127.0.0.2, says
`ready` once it stands, and in the end, as one line of JSON, what became of it. All of it is bounded: connections,
bytes, seconds. It knows nothing of the node but bytes.
"""

import asyncio
import json
import resource
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hpack import Encoder

SOURCE = "127.0.0.2"
AT_ONCE_MAX = 64
"""Connections that are being made at a time."""
DROP_SECONDS = 0.5
AGAIN_SECONDS = 4.0
"""After which a connection that was ended comes again: a crowd that did nothing else would measure the machine."""
STANDS_SECONDS_MAX = 20.0
"""How long a flood may take until it stands."""
MIB = 1024 * 1024

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Kind = Callable[["Flood"], Awaitable[None]]


class Flood:
    """One run."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.seconds = port, seconds
        self.became: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)

    async def connect(self, receive_bytes: int | None = None) -> Connection | None:
        """A connection from SOURCE; None where there is none to be had."""
        async with self._slots:
            made = socket.socket()
            made.setblocking(False)
            if receive_bytes is not None:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            try:
                made.bind((SOURCE, 0))
                async with asyncio.timeout(self.seconds):
                    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port))
                self.became["connected"] += 1
                return await asyncio.open_connection(sock=made, limit=MIB)
            except (OSError, TimeoutError):
                made.close()
                self.became["not connected"] += 1
                return None

    async def stand(self, one: Callable[[int], Awaitable[None]], count: int) -> None:
        """`count` of `one` at a time, for so long."""
        tasks = [asyncio.create_task(self._guarded(one, number)) for number in range(count)]
        with suppress(TimeoutError):
            async with asyncio.timeout(STANDS_SECONDS_MAX):
                while self.became.total() < count:  # noqa: ASYNC110 - counted by many
                    await asyncio.sleep(0.05)
        print("ready", flush=True)
        await asyncio.sleep(self.seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, one: Callable[[int], Awaitable[None]], number: int) -> None:
        try:
            await one(number)
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.became["broken off"] += 1

    async def until_end(self, reader: asyncio.StreamReader) -> None:
        """Read, until the other side ends it; what it said last is counted by its status."""
        said = b""
        with suppress(OSError):
            while piece := await reader.read(4096):
                said = (said + piece)[:12]
        self.became[f"ended {said[9:12].decode()}" if said.startswith(b"HTTP/1.1 ") else "ended"] += 1


async def connections(flood: Flood) -> None:
    """5,000 that say nothing; one that is ended comes again."""

    async def one(_number: int) -> None:
        while True:
            made = await flood.connect()
            if made is not None:
                await flood.until_end(made[0])
                made[1].close()
            await asyncio.sleep(AGAIN_SECONDS)

    await flood.stand(one, 5000)


async def heads(flood: Flood) -> None:
    """Slow loris: headers by drops."""

    async def one(number: int) -> None:
        made = await flood.connect()
        if made is None:
            return
        reader, writer = made
        ended = asyncio.create_task(flood.until_end(reader))
        writer.write(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        while not ended.done():
            writer.write(b"X-%d: a\r\n" % number)
            await asyncio.sleep(DROP_SECONDS)

    await flood.stand(one, 1000)


async def bodies(flood: Flood) -> None:
    """Slow loris: bodies of a mebibyte, by drops, again and again."""

    async def one(number: int) -> None:
        while True:
            made = await flood.connect()
            if made is None:
                return
            reader, writer = made
            ended = asyncio.create_task(flood.until_end(reader))
            writer.write(b"PUT /kv/slow-%d HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1048576\r\n\r\n" % number)
            while not ended.done():
                writer.write(bytes(1024))
                await asyncio.sleep(DROP_SECONDS)
            writer.close()

    await flood.stand(one, 1000)


async def handshakes(flood: Flood) -> None:
    """Handshakes of TLS that begin and never end: the first record comes but for its last bytes."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()

    async def one(number: int) -> None:
        while True:
            made = await flood.connect()
            if made is None:
                return
            made[1].write(hello[:-10] if number % 2 else hello)
            await flood.until_end(made[0])
            made[1].close()
            await asyncio.sleep(AGAIN_SECONDS / 4)

    await flood.stand(one, 1000)


async def readers(flood: Flood) -> None:
    """Answers that are asked for and not taken."""

    async def one(_number: int) -> None:
        made = await flood.connect(receive_bytes=4096)
        if made is not None:
            made[1].write(b"GET /kv/?prefix=large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
            await asyncio.sleep(flood.seconds + 10)

    await flood.stand(one, 500)


async def streams(flood: Flood) -> None:
    """HTTP/2: ten connections with a thousand streams each that begin and never end."""

    async def one(_number: int) -> None:
        made = await flood.connect()
        if made is None:
            return
        reader, writer = made
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/etcdserverpb.KV/Range")]
        fields += [(":authority", "127.0.0.1"), ("content-type", "application/grpc"), ("te", "trailers")]
        block = Encoder().encode(fields, huffman=False)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        encoder = Encoder()
        for number in range(1, 2001, 2):
            block = encoder.encode(fields, huffman=False)
            writer.write(frame(1, 4, number, block) + frame(0, 0, number, b"\0\0\0\0\5"))
            if number % 200 == 1:
                await writer.drain()
        flood.became["streams"] += 1000
        while head := await reader.readexactly(9):
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == 7:
                flood.became[f"goaway {int.from_bytes(payload[4:8], 'big')}"] += 1
                return

    await flood.stand(one, 10)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


async def puts(flood: Flood) -> None:
    """Values of a mebibyte, one after the other, on 64 connections."""
    value = bytes(MIB)

    async def one(number: int) -> None:
        while True:
            made = await flood.connect()
            if made is None:
                return
            reader, writer = made
            with suppress(OSError, EOFError):
                while True:
                    writer.write(b"PUT /kv/flood-%d HTTP/1.1\r\nHost: 127.0.0.1\r\n" % (number % 4))
                    writer.write(b"Content-Length: 1048576\r\n\r\n" + value)
                    await writer.drain()
                    head = await reader.readuntil(b"\r\n\r\n")
                    flood.became[head[9:12].decode()] += 1
                    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                    await reader.readexactly(int(length.split(b":")[1]))
                    if b"close" in head.lower():
                        break
            writer.close()

    await flood.stand(one, 64)


KINDS: dict[str, Kind] = {
    made.__name__: made for made in (connections, heads, bodies, handshakes, readers, streams, puts)
}


async def main(kind: str, port: int, seconds: float) -> None:
    flood = Flood(port, seconds)
    await KINDS[kind](flood)
    print(json.dumps(flood.became), flush=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
