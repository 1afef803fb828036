"""One JSON value of a request body as tokens, with the words in which Go's `encoding/json` says what is wrong.

Why it exists: etcd's gateway reads one value and ignores what follows it, and clients see its complaints. The scan
is a loop, not a recursion, so that no nesting exhausts a stack, and it works in steps, so that no body holds the event
loop. It must not know what the value means.
"""

import re
from array import array

from node.api.etcd.errors import Code, EtcdError, invalid
from node.api.slices import Steps

DEPTH_MAX = 10_000
"""Objects and arrays inside each other, as in Go."""

TOKENS_MAX = 32_768
"""Tokens of one body; more are refused as too long a message is. A transaction of as many operations as are allowed,
each with every field that it can have, has fewer."""

NUMBER_BYTES_MAX = 16_384
"""Of one number; a longer one is refused likewise."""

TOKENS_PER_STEP = 64
WORK_PER_TOKEN = 2

BYTES_PER_STEP = 16_384
BYTES_PER_WORK = 256
"""What a pattern steps over in about the time of one unit."""


NAME, STRING, NUMBER, LITERAL = b"NSDL"


class Tokens:
    """What was found, in order, by number. `kinds`: of `{}[]NSDL`: name, string, number (D), literal; `starts` and
    `ends`: where in the body. Flat arrays: 32,768 objects would have the collector look through the whole process."""

    __slots__ = ("ends", "kinds", "starts")

    def __init__(self) -> None:
        self.kinds = bytearray()
        self.starts = array("I")
        self.ends = array("I")

    def __len__(self) -> int:
        return len(self.kinds)

    def add(self, kind: int, start: int, end: int) -> None:
        self.kinds.append(kind)
        self.starts.append(start)
        self.ends.append(end)


SPACES_MAX = 64
"""In a row; more are stepped over in another way, which is quicker only then."""

_SPACE = re.compile(rb"[ \t\r\n]{0,%d}+" % SPACES_MAX)
_PIECE = re.compile(rb'(?:[^"\\\x00-\x1f]{1,64}+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){0,256}+')
"""Of a string: at most 16 KiB, and 256 escapes."""

_DIGITS = rb"[0-9]{1,%d}+" % NUMBER_BYTES_MAX
_NUMBER = re.compile(rb"-?(?:0|[1-9](?:%b)?+)(?:\.%b)?+(?:[eE][+-]?%b)?+" % (_DIGITS, _DIGITS, _DIGITS))
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_NUMBER_STARTS = frozenset(b"-0123456789")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


class EndOfBodyError(Exception):
    """There is no value at all: to the gateway, a message without fields."""


def too_many(what: str) -> EtcdError:
    """429, code 8, as for a message that is too long."""
    return EtcdError(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({what})")


def scanning(body: bytes) -> Steps[Tokens]:
    """The tokens of the first value in `body`. Commas and colons are checked and left out."""
    at = _skip(body, 0)
    if at == len(body):
        raise EndOfBodyError
    tokens = Tokens()
    open_: list[int] = []
    wants_name = False
    told, told_at = 0, at
    while True:
        if len(tokens) - told >= TOKENS_PER_STEP or at - told_at >= BYTES_PER_STEP:
            yield (len(tokens) - told) * WORK_PER_TOKEN + (at - told_at) // BYTES_PER_WORK
            told, told_at = len(tokens), at
            if told > TOKENS_MAX:
                raise too_many(f"more than {TOKENS_MAX} tokens of JSON")
        if wants_name:
            at = yield from _member(body, at, tokens)
        first = _at(body, at)
        if first in _CLOSING:
            if len(open_) == DEPTH_MAX:
                raise _unexpected(first, "exceeded max depth")
            tokens.add(first, at, at + 1)
            open_.append(first)
            at = _skip(body, at + 1)
            if _at(body, at) != _CLOSING[first]:
                wants_name = first == ord("{")
                continue
        elif first == ord('"'):
            end = yield from _string(body, at)
            tokens.add(STRING, at, end)
            at = end
        else:
            at = _plain(body, at, tokens)
        at = yield from _close(body, at, tokens, open_)
        if not open_:
            return tokens
        wants_name = open_[-1] == ord("{")


def _close(body: bytes, at: int, tokens: Tokens, open_: list[int]) -> Steps[int]:
    """After a value, or at the closing of an empty one: close what ends here, then step over the comma."""
    while open_:
        if len(open_) % TOKENS_PER_STEP == 0:
            yield WORK_PER_TOKEN * TOKENS_PER_STEP
        at = _skip(body, at)
        found, innermost = _at(body, at), open_[-1]
        if found == _CLOSING[innermost]:
            tokens.add(found, at, at + 1)
            open_.pop()
            at += 1
        elif found == ord(","):
            return _skip(body, at + 1)
        else:
            raise _unexpected(found, "after object key:value pair" if innermost == ord("{") else "after array element")
    return at


def _member(body: bytes, at: int, tokens: Tokens) -> Steps[int]:
    """A name and its colon."""
    first = _at(body, at)
    if first != ord('"'):
        raise _unexpected(first, "looking for beginning of object key string")
    end = yield from _string(body, at)
    tokens.add(NAME, at, end)
    at = _skip(body, end)
    found = _at(body, at)
    if found != ord(":"):
        raise _unexpected(found, "after object key")
    return _skip(body, at + 1)


def _plain(body: bytes, at: int, tokens: Tokens) -> int:
    """A number or a literal."""
    first = _at(body, at)
    if first in _NUMBER_STARTS:
        end, kind = _number(body, at), NUMBER
    elif first in _LITERALS:
        end, kind = _literal(body, at, _LITERALS[first]), LITERAL
    else:
        raise _unexpected(first, "looking for beginning of value")
    tokens.add(kind, at, end)
    return end


def _string(body: bytes, at: int) -> Steps[int]:
    """Where the string that begins at `at` ends."""
    at += 1
    while (end := _end(_PIECE, body, at)) > at:
        at = end
        if body[at : at + 1] == b'"':
            return at + 1
        yield BYTES_PER_STEP // BYTES_PER_WORK
    found = _at(body, at)
    if found == ord('"'):
        return at + 1
    if found != ord("\\"):
        raise _unexpected(found, "in string literal")
    escape = _at(body, at + 1)
    if escape != ord("u"):
        raise _unexpected(escape, "in string escape code")
    for digit in range(at + 2, at + 6):
        if _at(body, digit) not in b"0123456789abcdefABCDEF":
            raise _unexpected(_at(body, digit), "in \\u hexadecimal character escape")
    raise AssertionError("a whole escape is part of a piece")


def _number(body: bytes, at: int) -> int:
    found = _NUMBER.match(body, at)
    if found is None:
        raise _unexpected(_at(body, at + 1), "in numeric literal")
    end = found.end()
    if end - at > NUMBER_BYTES_MAX:
        raise too_many(f"a number of more than {NUMBER_BYTES_MAX} digits")
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
    """Step over white space; four megabytes of it take 5 ms."""
    end = _end(_SPACE, body, at)
    if end - at < SPACES_MAX:
        return end
    while end < len(body):
        chunk = body[end : end + BYTES_PER_STEP]
        spaces = chunk[: len(chunk) - len(chunk.lstrip())]
        spaces = spaces.partition(b"\v")[0].partition(b"\f")[0]  # to Python these two are white space, too
        end += len(spaces)
        if len(spaces) < len(chunk):
            break
    return end


def _end(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Where a match of `pattern`, which may be empty, ends."""
    found = pattern.match(body, at)
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
