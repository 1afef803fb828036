"""The bytes of a snapshot: a header, chunks under a chain of checksums, and a record that closes it.

Why it exists: whoever writes one, reads one or looks at one must agree on the format, and on what makes it whole. It
must not touch a file, nor know what a chunk holds.

    header   20 B   magic 8 | version u32 | crc u32 | length u32, then `length` bytes of msgpack `SnapshotHeader`
    chunk     8 B   length u32 | crc u32, then `length` bytes (at least 1)
    closing  20 B   0 u32 | crc u32 | chunks u32 | size of the file u64; nothing follows

Every checksum is CRC-32 and goes on from the one before it, so each covers all of the file up to there, and the last
one names the whole: two files with the same base, size and last checksum are the same snapshot. Nothing here may be
torn: a snapshot gets its name when all of it is durable, and is read back before anyone relies on it.
"""

import contextlib
import struct
import zlib
from collections.abc import Callable

import msgspec

from node.raft.types import Base, SnapshotInfo
from node.storage.frames import LaterFormat, Malformed

SNAPSHOT_VERSION = 1
CHUNK_BYTES_MAX = 2 * 1024 * 1024 + 64 * 1024
"""A longer chunk is refused: the longest value, with room for what stands round it."""

READ_BYTES = 1024 * 1024
"""What is read of a file at once."""

_MAGIC = b"RAFTSNP\n"
_HEAD = struct.Struct("<8sIII")
_RECORD = struct.Struct("<II")
_CLOSING = struct.Struct("<IIIQ")
_HEADER_BYTES_MAX = 1024 * 1024

ReadRange = Callable[[int, int], bytes]
"""(offset, how many bytes): those bytes of the file, fewer only where it ends."""


class SnapshotHeader(msgspec.Struct, frozen=True):
    """What a snapshot says of itself, whatever its name: the last entry that it holds, and the program that made it."""

    base: Base
    made_by: str = ""


class Position(msgspec.Struct, frozen=True):
    """Between two records: bytes and chunks before, and the checksum of all that."""

    offset: int
    chunks: int
    chain: int


_decode_header = msgspec.msgpack.Decoder(SnapshotHeader).decode


class SnapshotEncoder:
    """Makes the records of one file, in order."""

    def __init__(self, header: SnapshotHeader) -> None:
        self.base = header.base
        body = msgspec.msgpack.encode(header)
        crc = zlib.crc32(body, zlib.crc32(_HEAD.pack(_MAGIC, SNAPSHOT_VERSION, 0, len(body))))
        self.head = _HEAD.pack(_MAGIC, SNAPSHOT_VERSION, crc, len(body)) + body
        self.position = Position(len(self.head), 0, crc)

    def chunk(self, data: bytes) -> bytes:
        """The record of a chunk that fits (`check_chunk`)."""
        before = self.position
        crc = _chunk_crc(data, before.chain)
        self.position = Position(before.offset + _RECORD.size + len(data), before.chunks + 1, crc)
        return b"".join((_RECORD.pack(len(data), crc), data))

    def closing(self) -> tuple[bytes, SnapshotInfo]:
        """The last record, and what the file is then."""
        at = self.position
        size = at.offset + _CLOSING.size
        crc = _closing_crc(at.chunks, size, at.chain)
        return _CLOSING.pack(0, crc, at.chunks, size), SnapshotInfo(self.base, size, at.chunks, crc)


def check_chunk(data: bytes) -> None:
    """Raises `ValueError` where a chunk is empty or too long."""
    if not 0 < len(data) <= CHUNK_BYTES_MAX:
        raise ValueError(f"a chunk of {len(data)} bytes fits into no snapshot")


class SnapshotReader:
    """Reads a file's records in order, each verified. `position` is where the next one begins, or the damage is.

    Every method raises `Malformed` for bytes that no snapshot has, and whatever `read` raises.
    """

    def __init__(self, read: ReadRange, size_bytes: int) -> None:
        self._read = read
        self._size_bytes = size_bytes
        self._buffer = b""
        self._buffer_offset = 0
        self.position = Position(0, 0, 0)
        self.header = self._header()

    def chunk(self) -> bytes | None:
        """The next chunk; None after the last, when the closing record was found right."""
        at = self.position
        length, crc = _RECORD.unpack(self._bytes(at.offset, _RECORD.size))
        if length == 0:
            self._close()
            return None
        if length > CHUNK_BYTES_MAX:
            raise Malformed("the chunk is damaged (an impossible length)")
        data = self._bytes(at.offset + _RECORD.size, length)
        if crc != _chunk_crc(data, at.chain):
            raise Malformed(f"chunk {at.chunks + 1} is damaged (checksum mismatch)")
        self.position = Position(at.offset + _RECORD.size + length, at.chunks + 1, crc)
        return data

    def to_the_end(self) -> SnapshotInfo:
        """Verify all that is left."""
        while self.chunk() is not None:
            pass
        return self.info

    @property
    def info(self) -> SnapshotInfo:
        """What the file is, once its closing record was read."""
        return SnapshotInfo(self.header.base, self.position.offset, self.position.chunks, self.position.chain)

    def _header(self) -> SnapshotHeader:
        magic, version, crc, length = _HEAD.unpack(self._bytes(0, _HEAD.size))
        if magic != _MAGIC:
            raise Malformed("this is no snapshot, or its header is damaged")
        if length > _HEADER_BYTES_MAX:
            raise Malformed("the snapshot header is damaged (an impossible length)")
        body = self._bytes(_HEAD.size, length)
        if crc != zlib.crc32(body, zlib.crc32(_HEAD.pack(magic, version, 0, length))):
            raise Malformed("the snapshot header is damaged (checksum mismatch)")
        if version != SNAPSHOT_VERSION:
            raise (LaterFormat if version > SNAPSHOT_VERSION else Malformed)(
                f"the snapshot has format version {version}, and this program reads version {SNAPSHOT_VERSION} only"
            )
        self.position = Position(_HEAD.size + length, 0, crc)
        try:
            return _decode_header(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Malformed(f"the snapshot header does not decode ({error})") from error

    def _close(self) -> None:
        at = self.position
        _, crc, chunks, size = _CLOSING.unpack(self._bytes(at.offset, _CLOSING.size))
        if crc != _closing_crc(chunks, size, at.chain):
            raise Malformed("the closing record is damaged (checksum mismatch)")
        if (chunks, size) != (at.chunks, at.offset + _CLOSING.size):
            raise Malformed(f"the closing record counts {chunks} chunks and {size} bytes, and these are others")
        if size != self._size_bytes:
            raise Malformed("there is data behind the closing record")
        self.position = Position(size, chunks, crc)

    def _bytes(self, offset: int, size_bytes: int) -> bytes:
        start = offset - self._buffer_offset
        if start < 0 or start + size_bytes > len(self._buffer):
            self._buffer = self._read(offset, max(size_bytes, READ_BYTES))
            self._buffer_offset, start = offset, 0
        data = self._buffer[start : start + size_bytes]
        if len(data) < size_bytes:
            raise Malformed(f"the file ends after {offset + len(data)} bytes, inside a record")
        return data


def intact_bytes(read: ReadRange, size_bytes: int) -> int:
    """How many bytes of a file that is not complete can be kept: all up to its last whole record."""
    try:
        reader = SnapshotReader(read, size_bytes)
    except Malformed:
        return 0
    with contextlib.suppress(Malformed):
        reader.to_the_end()
    return reader.position.offset


def _chunk_crc(data: bytes, chain: int) -> int:
    return zlib.crc32(data, zlib.crc32(len(data).to_bytes(4, "little"), chain))


def _closing_crc(chunks: int, size_bytes: int, chain: int) -> int:
    return zlib.crc32(_CLOSING.pack(0, 0, chunks, size_bytes), chain)
