"""How gRPC says how a call ended: in a header block at its end. And what it asks for in the one at its beginning.

Why it exists: the constant blocks of answers, and the few fields of a request that mean something, in one place. It
must not know a call.
"""

import re

from node.api.etcd.errors import Code, EtcdError
from node.api.http2.blocks import literal

PREFIX_BYTES = 5
"""Before each message: whether it is compressed, and how long it is."""

SENTENCE_CHARS_MAX = 1024
"""Of an error; longer ones are cut."""

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_US = {b"H": 3_600_000_000, b"M": 60_000_000, b"S": 1_000_000, b"m": 1000, b"u": 1}
_HEAD_FIELDS = ((b":status", b"200"), (b"content-type", b"application/grpc"))

HEAD = literal(_HEAD_FIELDS)
"""Before every answer."""

OK = literal(((b"grpc-status", b"0"), (b"grpc-message", b"")))
"""After one that is no error."""

DEADLINE = EtcdError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")


def prefixed(message: bytes) -> bytes:
    """A message as it stands in a body."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def trailers(error: EtcdError) -> bytes:
    """After an answer that was begun and ends with an error."""
    return literal(_fields(error))


def only_trailers(error: EtcdError) -> bytes:
    """An answer that is an error and nothing else."""
    return literal((*_HEAD_FIELDS, *_fields(error)))


def plain(status: int) -> bytes:
    """The head of an answer to what is not gRPC."""
    return literal(((b":status", str(status).encode()), (b"content-type", b"text/plain; charset=utf-8")))


def _fields(error: EtcdError) -> tuple[tuple[bytes, bytes], ...]:
    sentence = error.message[:SENTENCE_CHARS_MAX].encode()
    escaped = b"".join(b"%c" % byte if 0x20 <= byte < 0x7F and byte != 0x25 else b"%%%02X" % byte for byte in sentence)
    return (b"grpc-status", b"%d" % error.code), (b"grpc-message", escaped)


def timeout_us(text: bytes | None) -> int | None:
    """Of the field `grpc-timeout`; None: the client names no time. Raises `EtcdError` for what is no time."""
    if text is None:
        return None
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise EtcdError(Code.INTERNAL, "malformed grpc-timeout")
    if found[2] == b"n":
        return int(found[1]) // 1000
    return int(found[1]) * _UNIT_US[found[2]]
