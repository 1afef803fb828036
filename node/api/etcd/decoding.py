"""A request body as a message: the JSON form of protocol buffers, with the words of Go's `protojson`.

Why it exists: what etcd accepts (both forms of a name, numbers as strings, both alphabets of base64, enums by number,
unknown fields) and what it refuses, and how, is part of its API. It must not judge what a message asks for.

A message is a dict of the fields that the body names, null left out; absent means default. Decoding is a loop over
tokens with a stack of its own, so nesting costs memory, not stack.
"""

import re
from base64 import b64decode, urlsafe_b64decode
from typing import Any

from node.api.etcd.errors import EtcdError, invalid
from node.api.etcd.quick import decode_quickly
from node.api.etcd.scanner import EndOfBodyError, Token, scan
from node.api.etcd.schema import BY_NAME, ENUMS, MESSAGES, Field

Message = dict[str, Any]

INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_PADDED = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_BARE = re.compile(r"[A-Za-z0-9+/_-]*")
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_DIGITS_MAX = 20


def decode(body: bytes, message: str) -> Message:
    """The message of that name (see `schema`) in `body`; raises `EtcdError`."""
    usual = decode_quickly(body, message)
    return decode_exactly(body, message) if usual is None else usual


def decode_exactly(body: bytes, message: str) -> Message:
    """The same, token by token."""
    try:
        tokens = scan(body)
    except EndOfBodyError:
        return {}
    return _Decoder(body, tokens).message(message)


class _Frame:
    """A message that is being read. `seen`: numbers of fields and names of groups that were given."""

    __slots__ = ("fields", "list_field", "seen", "values")

    def __init__(self, message: str, values: Message) -> None:
        self.fields = BY_NAME[message]
        self.values = values
        self.seen: set[int | str] = set()
        self.list_field: tuple[str, list[Message]] | None = None


class _Decoder:
    def __init__(self, body: bytes, tokens: list[Token]) -> None:
        self._body = body
        self._tokens = tokens
        self._next = 0

    def message(self, name: str) -> Message:
        root: Message = {}
        stack = [self._open(name, root)]
        while stack:
            frame = stack[-1]
            token = self._take()
            if frame.list_field is not None:
                item_type, items = frame.list_field
                if token.kind == "]":
                    frame.list_field = None
                    continue
                self._next -= 1
                inner: Message = {}
                stack.append(self._open(item_type, inner))
                items.append(inner)
            elif token.kind == "}":
                stack.pop()
            else:
                opened = self._field(frame, token)
                if opened is not None:
                    stack.append(opened)
        return root

    def _open(self, message: str, values: Message) -> _Frame:
        token = self._take()
        if token.kind != "{":
            raise self._unexpected(token)
        return _Frame(message, values)

    def _field(self, frame: _Frame, name: Token) -> _Frame | None:
        """One member of an object; the frame of the message that begins in it, if one does."""
        field = frame.fields.get(self._text(name))
        if field is None:
            self._skip()
            return None
        if field.number in frame.seen:
            raise self._wrong(name, f"duplicate field {self._raw(name)}")
        frame.seen.add(field.number)
        following = self._tokens[self._next]
        if following.kind == "L" and self._raw(following) == "null":
            self._next += 1
            return None
        if field.repeated:
            token = self._take()
            if token.kind != "[":
                raise self._unexpected(token)
            items: list[Message] = []
            frame.values[field.name] = items
            frame.list_field = (field.type, items)
            return None
        if field.oneof:
            if field.oneof in frame.seen:
                raise self._wrong(name, f"error parsing {self._raw(name)}, oneof {field.oneof} is already set")
            frame.seen.add(field.oneof)
        if field.type in MESSAGES:
            inner: Message = {}
            frame.values[field.name] = inner
            return self._open(field.type, inner)
        value = self._scalar(field)
        if value is not None:
            frame.values[field.name] = value
        return None

    def _scalar(self, field: Field) -> bytes | int | bool | None:
        """None: an enum's name that is not known, which leaves the field alone."""
        token = self._take()
        text = self._text(token) if token.kind == "S" else None
        raw = self._raw(token) if token.kind != "S" else ""
        value: bytes | int | bool | None = None
        kind = field.type
        if kind == "bool":
            value = {"true": True, "false": False}.get(raw) if token.kind == "L" else None
        elif kind == "bytes":
            value = _bytes(text) if text is not None else None
        elif kind == "int64":
            value = _integer(text if text is not None else raw, INT64)
        else:
            kind = "enum"
            if text is not None:
                return ENUMS[field.type].get(text)
            value = _integer(raw, INT32)
        if value is None:
            raise self._wrong(token, f"invalid value for {kind} field {field.json_name}: {self._raw(token)}")
        return value

    def _skip(self) -> None:
        """Step over one value, which still has to be text that can be read."""
        depth = 0
        while True:
            token = self._take()
            if token.kind in "{[":
                depth += 1
            elif token.kind in "}]":
                depth -= 1
            elif token.kind in "NS":
                self._text(token)
            if not depth and token.kind != "N":
                return

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _raw(self, token: Token) -> str:
        return self._body[token.start : token.end].decode("utf-8", "replace")

    def _text(self, token: Token) -> str:
        """What a name or string says."""
        try:
            text = self._body[token.start + 1 : token.end - 1].decode()
        except UnicodeDecodeError:
            raise self._syntax(token, "invalid UTF-8 in string") from None
        return self._unescaped(token, text) if "\\" in text else text

    def _unescaped(self, token: Token, text: str) -> str:
        parts: list[str] = []
        at = 0
        while True:
            backslash = text.find("\\", at)
            if backslash < 0:
                return "".join((*parts, text[at:]))
            parts.append(text[at:backslash])
            found = _ESCAPE.match(text, backslash)
            if found is None:
                raise AssertionError("the scanner lets no other escape through")
            at = found.end()
            if found[1] is None:
                parts.append(_ESCAPED.get(found[2], found[2]))
                continue
            code = int(found[1], 16)
            if 0xD800 <= code < 0xE000:
                code = self._surrogate(token, text, at, code)
                at += 6
            parts.append(chr(code))

    def _surrogate(self, token: Token, text: str, at: int, high: int) -> int:
        """The character that the escape at `at` makes of the one before it."""
        low = _ESCAPE.match(text, at)
        if high < 0xDC00 and low is not None and low[1] is not None and 0xDC00 <= int(low[1], 16) < 0xE000:
            return 0x10000 + ((high - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        start = token.start + 1 + len(text[:at].encode())
        rest = self._body[start : self._tokens[-1].end]
        if len(rest) < 6:
            raise invalid("proto: unexpected EOF")
        raise self._syntax(token, f"invalid escape code {_go_quoted(rest[:6])} in string")

    def _position(self, token: Token) -> str:
        before = self._body[self._tokens[0].start : token.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", "replace")) + 1
        return f"(line {before.count(10) + 1}:{column})"

    def _unexpected(self, token: Token) -> EtcdError:
        return self._syntax(token, f"unexpected token {self._raw(token)}")

    def _syntax(self, token: Token, what: str) -> EtcdError:
        return invalid(f"proto: syntax error {self._position(token)}: {what}")

    def _wrong(self, token: Token, what: str) -> EtcdError:
        return invalid(f"proto: {self._position(token)}: {what}")


def _integer(text: str, allowed: range) -> int | None:
    """A JSON number that is whole ("1", "1.0", "1e1") and in range; else None."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction = found[1], found[2].lstrip("0"), (found[3] or "").rstrip("0")
    if not whole and not fraction:
        return 0
    exponent_text = found[4] or "0"
    if len(exponent_text.lstrip("+-0")) > 10 or int(exponent_text) not in INT32:
        return None
    exponent = int(exponent_text)
    if exponent >= 0:
        if len(fraction) > exponent or len(whole) + exponent > _DIGITS_MAX:
            return None
        digits = whole + fraction + "0" * (exponent - len(fraction))
    else:
        kept = len(whole) + exponent
        if fraction or kept < 0 or whole[kept:].strip("0"):
            return None
        digits = whole[:kept] or "0"
    if len(digits) > _DIGITS_MAX:
        return None
    value = int(sign + digits)
    return value if value in allowed else None


def _bytes(text: str) -> bytes | None:
    """Base64 of either alphabet, padded or not, line ends ignored, as Go's decoder has it; else None."""
    padded = len(text) % 4 == 0
    url = "-" in text or "_" in text
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    if (_PADDED if padded else _BARE).fullmatch(text) is None:
        return None
    if url and ("+" in text or "/" in text):
        return None
    if (len(text) % 4 and padded) or len(text) % 4 == 1:
        return None
    text += "=" * (-len(text) % 4)
    return urlsafe_b64decode(text) if url else b64decode(text)


def _go_quoted(data: bytes) -> str:
    """As Go's %q has it."""
    text = data.decode("utf-8", "surrogateescape")
    return '"' + "".join(_go_character(c) for c in text) + '"'


def _go_character(character: str) -> str:
    named = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r", '"': '\\"'}
    if character in named or character == "\\":
        return named.get(character, "\\\\")
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def size_of(message: Message, name: str) -> int:
    """How many bytes the message takes in etcd's own encoding, which etcd's limits are about."""
    size = 0
    waiting: list[tuple[Message, str]] = [(message, name)]
    # An inner message's length prefix depends on its size; nesting is rare, so 4 bytes are taken for each.
    while waiting:
        values, kind = waiting.pop()
        for field in MESSAGES[kind]:
            value = values.get(field.name)
            if value is None or (not value and not field.oneof):
                continue
            tag_bytes = 1 if field.number < 16 else 2
            if isinstance(value, bytes):
                size += tag_bytes + _varint_bytes(len(value)) + len(value)
            elif isinstance(value, (bool, int)):
                size += tag_bytes + _varint_bytes(int(value) % 2**64)
            else:
                inner = value if isinstance(value, list) else [value]
                size += len(inner) * (tag_bytes + 3)
                waiting.extend((item, field.type) for item in inner)
    return size


def _varint_bytes(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)
