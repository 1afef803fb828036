"""What stands in a request's header block, judged as RFC 9113, section 8, has it.

Why it exists: what is malformed ends its stream, whoever it is meant for. It must not know what a request asks.
"""

import re
from collections.abc import Iterable, Mapping

from node.api.http2.frames import ErrorCode, StreamFault

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_NEEDED = (b":method", b":scheme", b":path")
_OF_CONNECTIONS = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_ONCE = frozenset((b"authorization", b"token", b"content-length"))
"""Given twice these are one with a comma, as RFC 9110 reads it: a credential of nobody, and no number."""
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Head:
    """The head of a request. One object serves all requests with the same head, so whoever is asked may keep in
    `route` what it found out about it. `length`: of the body, where the client says it."""

    __slots__ = ("fields", "length", "method", "path", "route")

    def __init__(self, method: bytes, path: bytes, fields: Mapping[bytes, bytes], length: int | None) -> None:
        self.method = method
        self.path = path
        self.fields = fields
        self.length = length
        self.route: object = None


def head_of(fields: Iterable[tuple[bytes, bytes]]) -> Head:
    """Of a decoded block; raises `StreamFault`. Of any other field that is given twice the last
    counts."""
    pseudo: dict[bytes, bytes] = {}
    regular: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] == b":":
            if regular or name not in _PSEUDO or name in pseudo:
                raise _malformed("a pseudo-header field is unknown, given twice, or after the others")
            pseudo[name] = value
        else:
            _check(name, value)
            regular[name] = regular[name] + b", " + value if name in _ONCE and name in regular else value
    if not all(pseudo.get(name) for name in _NEEDED):
        raise _malformed("a pseudo-header field is missing")
    length = regular.get(b"content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise _malformed("content-length is no number")
    return Head(pseudo[b":method"], pseudo[b":path"], regular, None if length is None else int(length))


def check_trailers(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """What comes after a body holds no pseudo-header field."""
    for name, value in fields:
        _check(name, value)


def _check(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise _malformed("a field's name is not in lower case")
    if not _VALUE.fullmatch(value):
        raise _malformed("a field's value holds a line end")
    if name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
        raise _malformed("a field is one of HTTP/1.1's connections")


def _malformed(why: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, why)
