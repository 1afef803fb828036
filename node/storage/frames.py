"""The bytes of the log: a segment's header, and its frames, each under its own checksum and chained to the one before.

Why it exists: reading and writing must agree on one format, and recovery's rule (`scanning.py`) rests on three of its
properties. This module must not touch a file.

Segment file: a fixed size, zeros where nothing was written; sector 0 is the header, frames follow, then perhaps a seal.
Since version 2 a segment is made together with its first frame, which says where the log stood before it (`start`), so
that the segments before may be removed; only the log of a node that is not born begins without a frame.

    header  512 B   magic 8 | version u32 | crc u32 | length u32 | msgpack `SegmentHeader` | zeros
    frame   32 B    marker 4 | length u32 | sequence u64 | previous u32 | body crc u32 | flags u32 | header crc u32
            then    `length` bytes of msgpack `FrameBody`, then 8 to 39 bytes 0xFF, so that the next begins at a
                    multiple of 32
    seal    32 B    a frame header alone, flag SEAL: "a later segment exists"

`header crc` covers the 28 bytes before it, salted with the incarnation so that user data cannot pass for a header;
it is also the frame's *chain* value, and the next frame's `previous`. So a frame's checksum covers the one before it,
and a swapped, duplicated or missing frame is noticed, yet a frame found alone can still be recognised.

The properties that recovery needs, on a disk that writes sectors of 512 bytes whole or not at all:
1. A frame header never straddles two sectors (32 divides 512), so a write leaves it whole or absent, never half.
2. Every sector's share of a whole frame has at least two bytes that are not zero (a payload with a long run of zeros
   is *stuffed*: 0xFF after every 255 bytes). So a share of nothing but zeros was never written, and no single damaged
   byte can imitate that.
3. The first byte of a frame is not zero, and nothing but zeros lies behind the last frame.

The checksum is CRC-32 as in zlib: it finds every single damaged byte and every burst up to 32 bits, as CRC-32C does,
and the standard library computes it at several GB/s; CRC-32C would need a dependency and gain nothing measurable.
"""

import struct
import zlib

import msgspec

from node.raft.types import Base, Entry, HardState

SECTOR_BYTES = 512
FORMAT_VERSION = 2
"""The version that is written. Version 1 is read: no start in its segments, no base in its frames."""

_FIRST_VERSION = 1
FRAME_PAYLOAD_BYTES_MAX = 8 * 1024 * 1024
"""A longer payload is refused when reading; writers split before they come near."""

ENTRY_FRAME_BYTES_MAX = 64
"""What an entry can cost in a payload beside its data."""

NAME_BYTES_MAX = 253
"""A node name's length (a DNS name's limit); with an incarnation of up to 64 bytes it fits into a segment header."""

HEADER_BYTES = 32
_ALIGN_BYTES = 32
_END_MARK_BYTES = 8
_MAGIC = b"RAFTWAL\n"
_SECTOR_HEAD = struct.Struct("<8sIII")
_MARKER = b"\xf7FRM"
_HEADER = struct.Struct("<4sIQIIII")
_STUFFED = 1
_SEAL = 2
_ZEROS = bytes(256)
_RUN_BYTES = 255
_PADDING = b"\xff" * (_ALIGN_BYTES + _END_MARK_BYTES)


class SegmentHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a segment says of itself. `cluster_id` is empty until birth; `chain` is the last frame's before it.

    `version` is the file's, and stands before the rest.
    """

    number: int
    size_bytes: int
    name: str
    incarnation: str
    cluster_id: str
    first_sequence: int
    chain: int
    version: int = FORMAT_VERSION


class FrameBody(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one frame does, in this order: set the base, truncate, append, set the hard state. Later versions add at
    the end.

    `base`: everything before goes, the log is empty after this base. `start` does nothing: it says where the log stood
    before this frame, so that a log can begin with it; the hard state is then given as well.
    """

    hard_state: HardState | None
    truncate_from: int | None
    entries: list[Entry]
    base: Base | None = None
    start: Base | None = None


class FrameHeader(msgspec.Struct, frozen=True, gc=False):
    """A frame's header whose own checksum is right. `size_bytes` is the whole frame's, padding included."""

    length: int
    sequence: int
    previous: int
    body_crc: int
    flags: int
    chain: int
    size_bytes: int

    @property
    def seal(self) -> bool:
        return bool(self.flags & _SEAL)


class Malformed(Exception):
    """Bytes that are not what they should be; the text says what, for the caller's sentence."""


class LaterFormat(Malformed):
    """Bytes of a format that a later release writes: nothing is wrong with them."""


_encode_body = msgspec.msgpack.Encoder().encode
_decode_body = msgspec.msgpack.Decoder(FrameBody).decode
_encode_segment = msgspec.msgpack.Encoder().encode
_decode_segment = msgspec.msgpack.Decoder(SegmentHeader).decode


def _frame_size(length: int) -> int:
    unpadded = HEADER_BYTES + length + _END_MARK_BYTES
    return (unpadded + _ALIGN_BYTES - 1) // _ALIGN_BYTES * _ALIGN_BYTES


FRAME_BYTES_MAX = _frame_size(FRAME_PAYLOAD_BYTES_MAX)


def salt_of(incarnation: str) -> int:
    """What every frame header of a log is salted with."""
    return zlib.crc32(incarnation.encode())


def encode_segment_header(header: SegmentHeader) -> bytes:
    """One sector; raises `ValueError` when the names in it are too long."""
    body = _encode_segment(header)
    if _SECTOR_HEAD.size + len(body) > SECTOR_BYTES:
        raise ValueError("node name, incarnation and cluster id do not fit into a segment header of 512 bytes")
    covered = body.ljust(SECTOR_BYTES - _SECTOR_HEAD.size, b"\0")
    crc = zlib.crc32(covered, zlib.crc32(struct.pack("<8sII", _MAGIC, FORMAT_VERSION, len(body))))
    return _SECTOR_HEAD.pack(_MAGIC, FORMAT_VERSION, crc, len(body)) + covered


def decode_segment_header(data: bytes) -> SegmentHeader:
    """Inverse of `encode_segment_header` on a file's first bytes; raises `Malformed`."""
    if len(data) < SECTOR_BYTES:
        raise Malformed(f"the file ends inside its header, after {len(data)} bytes")
    magic, version, crc, length = _SECTOR_HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise Malformed("this is not a log segment, or its header is damaged")
    covered = data[_SECTOR_HEAD.size : SECTOR_BYTES]
    if crc != zlib.crc32(covered, zlib.crc32(struct.pack("<8sII", magic, version, length))):
        raise Malformed("the segment header is damaged (checksum mismatch)")
    if not _FIRST_VERSION <= version <= FORMAT_VERSION:
        raise (LaterFormat if version > FORMAT_VERSION else Malformed)(
            f"the log has format version {version}, and this program reads versions {_FIRST_VERSION} to"
            f" {FORMAT_VERSION} only"
        )
    try:
        return msgspec.structs.replace(_decode_segment(covered[:length]), version=version)
    except msgspec.MsgspecError as error:
        raise Malformed(f"the segment header does not decode ({error})") from error


def encode_frame(body: FrameBody, sequence: int, previous: int, salt: int) -> tuple[bytes, int]:
    """(the whole frame, its chain value)."""
    payload = _encode_body(body)
    flags = 0
    if len(payload) >= len(_ZEROS) and _ZEROS in payload:
        payload, flags = _stuff(payload), _STUFFED
    length = len(payload)
    fields = (_MARKER, length, sequence, previous, zlib.crc32(payload), flags)
    chain = zlib.crc32(_HEADER.pack(*fields, 0)[:-4], salt)
    padding = _frame_size(length) - HEADER_BYTES - length
    return b"".join((_HEADER.pack(*fields, chain), payload, b"\xff" * padding)), chain


def encode_seal(sequence: int, previous: int, salt: int) -> bytes:
    """The mark at the end of a segment that has a successor; `sequence` is the next frame's, over there."""
    fields = (_MARKER, 0, sequence, previous, 0, _SEAL)
    return _HEADER.pack(*fields, zlib.crc32(_HEADER.pack(*fields, 0)[:-4], salt))


def decode_frame_header(data: bytes, offset: int, salt: int) -> FrameHeader:
    """The frame header at `offset`; raises `Malformed` when there is none that can be trusted."""
    if offset + HEADER_BYTES > len(data):
        raise Malformed("no room for a frame header is left")
    marker, length, sequence, previous, body_crc, flags, crc = _HEADER.unpack_from(data, offset)
    if marker != _MARKER or crc != zlib.crc32(data[offset : offset + HEADER_BYTES - 4], salt):
        raise Malformed("the frame header is damaged (checksum mismatch)")
    if length > FRAME_PAYLOAD_BYTES_MAX or flags & ~(_STUFFED | _SEAL):
        raise Malformed("the frame header is of an unknown kind or names an impossible length")
    return FrameHeader(
        length, sequence, previous, body_crc, flags, crc, HEADER_BYTES if flags & _SEAL else _frame_size(length)
    )


def whole_payload(data: bytes, offset: int, header: FrameHeader) -> bytes | None:
    """The payload behind the header at `offset`; None where that, or its padding, is not what was written."""
    start, end = offset + HEADER_BYTES, offset + header.size_bytes
    stop = start + header.length
    payload = data[start:stop]
    whole = end <= len(data) and zlib.crc32(payload) == header.body_crc
    return payload if whole and data.startswith(_PADDING[: end - stop], stop) else None


def decode_frame_body(payload: bytes, header: FrameHeader) -> FrameBody:
    """The body of a frame from its whole payload; raises `Malformed`."""
    try:
        return _decode_body(_unstuff(payload) if header.flags & _STUFFED else payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the frame does not decode ({error})") from error


def has_unwritten_sector(data: bytes, start: int, end: int) -> bool:
    """Whether some sector's share of data[start:end] is all zero: property 2 says that share was never written."""
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if not any(data[start:stop]):
            return True
        start = stop
    return False


def find_frame(data: bytes, start: int, salt: int) -> int | None:
    """The offset of the first trustworthy frame header at or after `start`, or None."""
    at = data.find(_MARKER, start)
    while at >= 0:
        if at % _ALIGN_BYTES == 0:
            try:
                decode_frame_header(data, at, salt)
            except Malformed:
                pass
            else:
                return at
        at = data.find(_MARKER, at + 1)
    return None


def _stuff(payload: bytes) -> bytes:
    return b"\xff".join(payload[i : i + _RUN_BYTES] for i in range(0, len(payload), _RUN_BYTES))


def _unstuff(payload: bytes) -> bytes:
    step = _RUN_BYTES + 1
    return b"".join(payload[i : i + _RUN_BYTES] for i in range(0, len(payload), step))
