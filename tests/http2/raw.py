"""A client that sends any frames, also those that no client should.

Why it exists: faults and floods are made frame by frame. It reads with code of its own.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from hpack import Decoder, Encoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALM = 11


class Frame(NamedTuple):
    """One that came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of an RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4], "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def setting(number: int, value: int) -> bytes:
    return struct.pack(">HI", number, value)


def grown(stream: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encoder, self.decoder = Encoder(), Decoder()
        self.went: Frame | None = None
        """The GOAWAY that came."""

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    def block(self, path: str = "/etcdserverpb.KV/Range", **more: str) -> bytes:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1")]
        fields += [("content-type", "application/grpc"), ("te", "trailers")]
        return self.encoder.encode(fields + [(name.replace("_", "-"), value) for name, value in more.items()])

    def ask(self, stream: int, message: bytes = b"\x0a\x01a", path: str = "/etcdserverpb.KV/Range") -> bytes:
        """The frames of a whole call."""
        body = b"\x00" + struct.pack(">I", len(message)) + message
        return frame(HEADERS, 4, stream, self.block(path)) + frame(DATA, 1, stream, body)

    async def next(self) -> Frame:
        """Raises `EOFError` at the end."""
        try:
            head = await asyncio.wait_for(self.reader.readexactly(9), 20)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error
        size = int.from_bytes(head[:3], "big")
        came = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), await self.reader.readexactly(size))
        if came.kind == GOAWAY:
            self.went = came
        return came

    async def until(self, kind: int, stream: int | None = None) -> Frame:
        """The next one of that kind."""
        while True:
            came = await self.next()
            if came.kind == kind and stream in (None, came.stream):
                return came

    async def answer(self, stream: int) -> tuple[dict[bytes, bytes], bytes]:
        """All fields and the body of an answer, to its end."""
        fields: dict[bytes, bytes] = {}
        body = b""
        while True:
            came = await self.next()
            if came.kind == HEADERS:
                found = dict(self.decoder.decode(came.payload, raw=True))
                if came.stream == stream:
                    fields |= found
            if came.stream == stream and came.kind == DATA:
                body += came.payload
            if came.stream == stream and came.kind == RST_STREAM:
                raise ConnectionError(came.code)
            if came.stream == stream and came.flags & 1:
                return fields, body

    async def end(self) -> int | None:
        """Read to the end; the code of the GOAWAY before it."""
        try:
            while True:
                await self.next()
        except EOFError:
            return None if self.went is None else self.went.code


@asynccontextmanager
async def raw(port: int, settings: bytes = b"", hello: bool = True, source: str = "127.0.0.1") -> AsyncIterator[Raw]:
    """Connected, and introduced unless `hello` is False. `source`: whose it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        client = Raw(reader, writer)
        if hello:
            client.send(PREFACE, frame(SETTINGS, 0, 0, settings))
        yield client
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
