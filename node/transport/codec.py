"""Frames: a message's msgpack bytes under a checksum, and back, refusing whatever a correct peer could not have said.

Why it exists: it is the one gate between bytes from the network and the core. What passes has the right types, *is
possible* (`checks.py`) and is what was sent: TCP's own sum misses a flipped bit now and then (one damaged segment in
65,536), and an entry with a flipped bit would be stored as truth. It must not know the state of this node: whether a
possible message is believed is the core's business.

    frame   msgpack of the message | CRC-32 (as in zlib) of all bytes before it, 4 bytes, big-endian

It finds every flipped bit, any two of them, and every burst of up to 32. The checksum of a hello is at the same time
the last field of its array, so that a peer of version 1, which knows no checksum, reads the hello and refuses it by its
version; and a hello of version 1, which has none, is read here for the same sentence. Later versions keep both.
"""

import zlib

import msgspec

from node.raft.messages import Lane, Message
from node.transport.checks import CHECKS, FrameError, check_hello
from node.transport.port import FRAME_BYTES_MAX

PROTOCOL_VERSION = 6
"""Grows when a peer that does not know the change would misunderstand this one. 2: every frame has a checksum. 4: a
follower that needs what a log does not hold any more gets a snapshot. 6: writes in sessions. None is one flipped bit
away from `UNCHECKED_VERSION`, so there was no 3 and no 5."""

PROTOCOL_OLDEST = 6
"""The oldest that is spoken as well: that of the release before this one, so that nodes of both talk while one follows
the other (UPGRADING.md). Where the two differ, what is said to a peer is what the version common to both knows."""

UNCHECKED_VERSION = 1
"""The version whose frames had no checksum."""

CHECKSUM_BYTES = 4
COPY_BYTES_MAX = 4096
"""A body up to this is cut off by copying it, which costs less than a view of it."""

_HELLO_AT = slice(1, 7)
_HELLO = b"\xa5hello"
"""The tag in its place, behind the first byte: an array of at most 15 fields."""
_CHECKSUM_FIELD = b"\xce"
"""msgpack's mark of an integer of four bytes."""


class Hello(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="hello"):
    """The first frame of every link, and again when the sender was born meanwhile.

    `cluster_id` is empty while the sender is not born. `boot` is new in every process. `host` and `port` are where the
    sender's own peer listener is reached; an empty host: it does not say, or is of a version that cannot. `oldest`: the
    oldest version that it speaks beside its own; 0: it speaks no other, or is from before it was told. Later versions
    may add fields at the end: those are skipped here, and what they mean may not matter to whoever skips them.
    """

    version: int
    cluster_id: str
    name: str
    incarnation: str
    boot: str
    lane: Lane
    host: str = ""
    port: int = 0
    oldest: int = 0


class DamagedFrame(FrameError):
    """The bytes are not those that were sent."""


_encode = msgspec.msgpack.Encoder().encode
_MESSAGES: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_decode_hello = msgspec.msgpack.Decoder(Hello).decode


def encode(message: Message | Hello) -> bytes:
    """The frame of a message. The caller compares its length with `FRAME_BYTES_MAX`."""
    body = _encode(message)
    if isinstance(message, Hello):
        body = bytes((body[0] + 1,)) + body[1:] + _CHECKSUM_FIELD
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big")


def decode(frame: bytes) -> Message | Hello:
    """The message of a frame. Raises `FrameError`, and nothing else, on any other bytes; `DamagedFrame` where the
    checksum says so. A hello may be of another version: then nothing but that version may be believed."""
    if len(frame) > FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {len(frame)} bytes is over the limit of {FRAME_BYTES_MAX}")
    body = frame[:-CHECKSUM_BYTES] if len(frame) <= COPY_BYTES_MAX else memoryview(frame)[:-CHECKSUM_BYTES]
    whole = zlib.crc32(body) == int.from_bytes(frame[-CHECKSUM_BYTES:], "big") and len(frame) > CHECKSUM_BYTES
    if frame[_HELLO_AT] == _HELLO:
        return _hello(frame, whole)
    if not whole:
        raise DamagedFrame(f"a frame of {len(frame)} bytes was damaged on its way (checksum mismatch)")
    try:
        message = _MESSAGES.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise FrameError(f"not a message: {error}") from None
    CHECKS[type(message)](message)
    return message


def common_version(hello: Hello) -> int:
    """The version in which that peer and this node talk: the newest that both speak; 0: there is none."""
    common = min(PROTOCOL_VERSION, hello.version)
    return common if common >= max(PROTOCOL_OLDEST, hello.oldest or hello.version) else 0


def _hello(frame: bytes, whole: bool) -> Hello:
    """Its checksum is taken off first: it is not to be taken for a field that the sender does not have."""
    try:
        hello = _decode_hello(_without_checksum(frame) if whole else frame)
    except (ValueError, RecursionError) as error:
        if not whole:
            raise DamagedFrame("a hello was damaged on its way (checksum mismatch)") from None
        raise FrameError(f"not a hello: {error}") from None
    if not whole and hello.version != UNCHECKED_VERSION:
        raise DamagedFrame("a hello was damaged on its way (checksum mismatch)")
    texts = hello.name, hello.incarnation, hello.boot
    check_hello((hello.oldest, hello.version), hello.cluster_id, texts, hello.host, hello.port)
    return hello


def _without_checksum(frame: bytes) -> bytes:
    """The hello's array without its last field."""
    end = len(frame) - CHECKSUM_BYTES - len(_CHECKSUM_FIELD)
    if frame[end : end + len(_CHECKSUM_FIELD)] != _CHECKSUM_FIELD:
        raise ValueError("its checksum is not its last field")
    return bytes((frame[0] - 1,)) + frame[1:end]
