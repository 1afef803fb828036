"""One JSON value of a request body as tokens, with the words in which Go's `encoding/json` says what is wrong.

Why it exists: etcd's gateway reads one value and ignores what follows it, and clients see its complaints. The scan
is a loop, not a recursion, so that no nesting exhausts a stack. It must not know what the value means.
"""

import re
from typing import NamedTuple

from node.api.etcd.errors import invalid

DEPTH_MAX = 10_000
"""Objects and arrays inside each other, as in Go."""


class Token(NamedTuple):
    """`kind`: one of `{ } [ ] N S D L`: name, string, number (D), literal; `start`, `end`: where in the body."""

    kind: str
    start: int
    end: int


_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_STRING_BEGINNING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+")
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_NUMBER_STARTS = frozenset(b"-0123456789")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


class EndOfBodyError(Exception):
    """There is no value at all: to the gateway, a message without fields."""


def scan(body: bytes) -> list[Token]:
    """The tokens of the first value in `body`. Commas and colons are checked and left out."""
    at = _skip(body, 0)
    if at == len(body):
        raise EndOfBodyError
    tokens: list[Token] = []
    open_: list[int] = []
    wants_name = False
    while True:
        at = _member(body, at, tokens) if wants_name else at
        first = _at(body, at)
        if first in _CLOSING:
            if len(open_) == DEPTH_MAX:
                raise _unexpected(first, "exceeded max depth")
            tokens.append(Token(chr(first), at, at + 1))
            open_.append(first)
            at = _skip(body, at + 1)
            if _at(body, at) != _CLOSING[first]:
                wants_name = first == ord("{")
                continue
        else:
            at = _scalar(body, at, tokens)
        at = _close(body, at, tokens, open_)
        if not open_:
            return tokens
        wants_name = open_[-1] == ord("{")


def _close(body: bytes, at: int, tokens: list[Token], open_: list[int]) -> int:
    """After a value, or at the closing of an empty one: close what ends here, then step over the comma."""
    while open_:
        at = _skip(body, at)
        found, innermost = _at(body, at), open_[-1]
        if found == _CLOSING[innermost]:
            tokens.append(Token(chr(found), at, at + 1))
            open_.pop()
            at += 1
        elif found == ord(","):
            return _skip(body, at + 1)
        else:
            raise _unexpected(found, "after object key:value pair" if innermost == ord("{") else "after array element")
    return at


def _member(body: bytes, at: int, tokens: list[Token]) -> int:
    """A name and its colon."""
    first = _at(body, at)
    if first != ord('"'):
        raise _unexpected(first, "looking for beginning of object key string")
    end = _string(body, at)
    tokens.append(Token("N", at, end))
    at = _skip(body, end)
    found = _at(body, at)
    if found != ord(":"):
        raise _unexpected(found, "after object key")
    return _skip(body, at + 1)


def _scalar(body: bytes, at: int, tokens: list[Token]) -> int:
    first = _at(body, at)
    if first == ord('"'):
        end, kind = _string(body, at), "S"
    elif first in _NUMBER_STARTS:
        end, kind = _number(body, at), "D"
    elif first in _LITERALS:
        end, kind = _literal(body, at, _LITERALS[first]), "L"
    else:
        raise _unexpected(first, "looking for beginning of value")
    tokens.append(Token(kind, at, end))
    return end


def _string(body: bytes, at: int) -> int:
    found = _STRING.match(body, at)
    if found is not None:
        return found.end()
    beginning = _STRING_BEGINNING.match(body, at)
    at = len(body) if beginning is None else beginning.end()
    if _at(body, at) != ord("\\"):
        raise _unexpected(_at(body, at), "in string literal")
    escape = _at(body, at + 1)
    if escape != ord("u"):
        raise _unexpected(escape, "in string escape code")
    for digit in range(at + 2, at + 6):
        if _at(body, digit) not in b"0123456789abcdefABCDEF":
            raise _unexpected(_at(body, digit), "in \\u hexadecimal character escape")
    raise AssertionError("a whole escape is part of the beginning")


def _number(body: bytes, at: int) -> int:
    found = _NUMBER.match(body, at)
    if found is None:
        raise _unexpected(_at(body, at + 1), "in numeric literal")
    end = found.end()
    following = body[end : end + 1]
    number = found[0].lower()
    if following == b"." and b"." not in number and b"e" not in number:
        raise _unexpected(_at(body, end + 1), "after decimal point in numeric literal")
    if following in (b"e", b"E") and b"e" not in number:
        sign = end + 1 if _at(body, end + 1) not in b"+-" else end + 2
        raise _unexpected(_at(body, sign), "in exponent of numeric literal")
    return end


def _literal(body: bytes, at: int, literal: bytes) -> int:
    for offset, expected in enumerate(literal):
        found = _at(body, at + offset)
        if found != expected:
            raise _unexpected(found, f"in literal {literal.decode()} (expecting '{chr(expected)}')")
    return at + len(literal)


def _skip(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return at if found is None else found.end()


def _at(body: bytes, at: int) -> int:
    if at >= len(body):
        raise invalid("unexpected EOF")
    return body[at]


def _unexpected(byte: int, where: str) -> Exception:
    return invalid(f"invalid character {_quoted(byte)} {where}")


_NAMED = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 39: "\\'", 92: "\\\\", 34: '"'}


def _quoted(byte: int) -> str:
    """A byte as Go quotes the character of that number."""
    if byte in _NAMED:
        return f"'{_NAMED[byte]}'"
    if byte < 0x20 or byte == 0x7F:
        return f"'\\x{byte:02x}'"
    if 0x80 <= byte <= 0xA0 or byte == 0xAD:
        return f"'\\u{byte:04x}'"
    return f"'{chr(byte)}'"
