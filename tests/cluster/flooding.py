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

from hpack import Decoder, Encoder

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


class Calls:
    """One connection of gRPC with so many puts at a time, the next as soon as one is answered. It keeps to the windows
    that it is given."""

    def __init__(self, flood: Flood, at_once: int, value: bytes) -> None:
        self.flood, self.at_once = flood, at_once
        message = b"\x0a\x05flood\x12" + varint(len(value)) + value
        self._body = b"\0" + struct.pack(">I", len(message)) + message
        self._encoder, self._decoder = Encoder(), Decoder()
        self._window = self._first_window = 65_535
        self._left: dict[int, tuple[int, int]] = {}
        """Of each call: how much of its body has gone, and its window."""
        self._unsent: dict[int, None] = {}
        self._next = 1

    async def run(self) -> None:
        """Until the other side ends it."""
        made = await self.flood.connect()
        if made is None:
            return
        reader, writer = made
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        while True:
            while len(self._left) < self.at_once:
                writer.write(self._begun())
            for number in list(self._unsent) if self._window else ():
                writer.writelines(self._pieces(number))
            await asyncio.sleep(0)  # what has come may be read without a pause
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == 7:
                self.flood.became[f"goaway {int.from_bytes(payload[4:8], 'big')}"] += 1
                return
            answer = self._heard(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
            writer.write(answer)

    def _begun(self) -> bytes:
        number, self._next = self._next, self._next + 2
        self._left[number] = (0, self._first_window)
        self._unsent[number] = None
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/etcdserverpb.KV/Put")]
        fields += [(":authority", "127.0.0.1"), ("content-type", "application/grpc"), ("te", "trailers")]
        return frame(1, 4, number, self._encoder.encode(fields, huffman=False))

    def _pieces(self, number: int) -> list[bytes]:
        pieces, body = [], self._body
        gone, window = self._left[number]
        while (size := min(16_384, window, self._window, len(body) - gone)) > 0:
            pieces.append(frame(0, gone + size == len(body), number, body[gone : gone + size]))
            gone, window, self._window = gone + size, window - size, self._window - size
        self._left[number] = (gone, window)
        if gone == len(body):
            del self._unsent[number]
        return pieces

    def _heard(self, kind: int, flags: int, number: int, payload: bytes) -> bytes:
        if kind == 8 and not number:
            self._window += int.from_bytes(payload, "big")
        elif kind == 8 and number in self._left:
            gone, window = self._left[number]
            self._left[number] = (gone, window + int.from_bytes(payload, "big"))
        elif kind == 4 and not flags:
            for at in range(0, len(payload), 6):
                if payload[at : at + 2] == b"\0\4":
                    more = int.from_bytes(payload[at + 2 : at + 6], "big") - self._first_window
                    self._first_window += more
                    self._left = {each: (gone, window + more) for each, (gone, window) in self._left.items()}
            return frame(4, 1, 0, b"")
        elif kind == 1:
            found = dict(self._decoder.decode(payload, raw=True))
            if flags & 1:
                self._forget(number)
                self.flood.became[f"code {found[b'grpc-status'].decode()}"] += 1
        elif kind == 3 and self._forget(number):
            self.flood.became[f"reset {int.from_bytes(payload, 'big')}"] += 1
        return b""

    def _forget(self, number: int) -> bool:
        self._unsent.pop(number, None)
        return self._left.pop(number, None) is not None


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes((number & 127 | 128,)), number >> 7
    return found + bytes((number,))


async def long_calls(flood: Flood) -> None:
    """gRPC: values of a mebibyte, 64 at a time on each of four connections."""
    await flood.stand(lambda _number: Calls(flood, 64, bytes(MIB)).run(), 4)


async def short_calls(flood: Flood) -> None:
    """gRPC: values of 100 bytes, a thousand at a time on each of 20 connections."""
    await flood.stand(lambda _number: Calls(flood, 1000, bytes(100)).run(), 20)


KINDS: dict[str, Kind] = {
    made.__name__: made
    for made in (connections, heads, bodies, handshakes, readers, streams, puts, long_calls, short_calls)
}


async def main(kind: str, port: int, seconds: float) -> None:
    flood = Flood(port, seconds)
    await KINDS[kind](flood)
    print(json.dumps(flood.became), flush=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
