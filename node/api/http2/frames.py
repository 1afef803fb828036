"""The frames of HTTP/2: their numbers, and the bytes of those that a server sends.

Why it exists: RFC 9113, sections 4, 6 and 7, as tables and small functions. It must not hold state.
"""

import enum
import struct
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

HEAD_BYTES = 9
FRAME_BYTES_MAX = 16384
"""Of a frame's payload, both ways: the least that the protocol allows, and enough."""

WINDOW_MAX = 2**31 - 1
WINDOW_DEFAULT = 65_535

read_head = struct.Struct(">BHBBL").unpack_from
"""Of 9 bytes: the length in two parts, type, flags, and the stream with its reserved bit."""

_HEAD = struct.Struct(">BHBBL").pack
_LONG = struct.Struct(">L")
_GOAWAY = struct.Struct(">LL").pack
_SETTING = struct.Struct(">HL")


class Type(enum.IntEnum):
    """Types of frames; all others are passed over."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20


class ErrorCode(enum.IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11


class Setting(enum.IntEnum):
    """What either side says of itself."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFault(Exception):
    """The client broke the protocol so that the connection must end (GOAWAY)."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamFault(Exception):
    """The same of one stream (RST_STREAM)."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Settings(NamedTuple):
    """What a client said in one SETTINGS frame; None: nothing of it."""

    window: int | None
    frame_bytes: int | None


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Any frame."""
    size = len(payload)
    return _HEAD(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def head(kind: int, flags: int, stream: int, size: int) -> bytes:
    """The nine bytes before a payload of `size` bytes."""
    return _HEAD(size >> 16, size & 0xFFFF, kind, flags, stream)


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(Type.SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


SETTINGS_ACK = frame(Type.SETTINGS, ACK, 0)


def window_update(stream: int, more: int) -> bytes:
    """The client may send `more` bytes."""
    return frame(Type.WINDOW_UPDATE, 0, stream, _LONG.pack(more))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    """The end of a stream."""
    return frame(Type.RST_STREAM, 0, stream, _LONG.pack(code))


def goaway(last_stream: int, code: ErrorCode, why: str = "") -> bytes:
    """No stream after `last_stream` was or will be looked at."""
    return frame(Type.GOAWAY, 0, 0, _GOAWAY(last_stream, code) + why.encode())


def read_long(payload: bytes) -> int:
    """Of a WINDOW_UPDATE or RST_STREAM, without the reserved bit."""
    number: int = _LONG.unpack(payload)[0]
    return number & 0x7FFFFFFF


def read_settings(payload: bytes) -> Settings:
    """Raises `ConnectionFault` for values that are not allowed."""
    window = frame_bytes = None
    for number, value in _SETTING.iter_unpack(payload):
        if number == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if number == Setting.INITIAL_WINDOW_SIZE:
            if value > WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the initial window is too large")
            window = value
        elif number == Setting.MAX_FRAME_SIZE:
            if not FRAME_BYTES_MAX <= value < 2**24:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range")
            frame_bytes = value
    return Settings(window, frame_bytes)


def unpadded(flags: int, payload: bytes) -> bytes:
    """The content of a DATA or HEADERS frame."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]
