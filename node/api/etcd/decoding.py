"""A request body as a message: the JSON form of protocol buffers, with the words of Go's `protojson`.

Why it exists: what etcd accepts (both forms of a name, numbers as strings, both alphabets of base64, enums by number,
unknown fields) and what it refuses, and how, is part of its API. It must not judge what a message asks for.

A message is a dict of the fields that the body names, null left out; absent means default. Decoding is a loop over
tokens with a stack of its own, so nesting costs memory, not stack, and it works in steps.
"""

from typing import Any

from node.api.etcd.errors import EtcdError, invalid
from node.api.etcd.quick import decode_quickly
from node.api.etcd.scalars import INT32, INT64, UINT64, base64_bytes, go_quoted, integer, unescaped
from node.api.etcd.scanner import (
    LITERAL,
    NAME,
    STRING,
    TOKENS_PER_STEP,
    WORK_PER_TOKEN,
    EndOfBodyError,
    Tokens,
    scanning,
)
from node.api.etcd.schema import BY_NAME, ENUMS, MESSAGES, Field, Message
from node.api.slices import Steps

_NUMBERS = {"int64": INT64, "uint64": UINT64}

QUOTED_BYTES_MAX = 4096
"""Of the text that an error complains of, so much is repeated."""


def decoding(body: bytes, message: str) -> Steps[Message]:
    """The message of that name (see `schema`) in `body`; raises `EtcdError`."""
    usual = decode_quickly(body, message)
    if usual is not None:
        return usual
    return (yield from decoding_exactly(body, message))


def decoding_exactly(body: bytes, message: str) -> Steps[Message]:
    """The same, token by token."""
    try:
        tokens = yield from scanning(body)
    except EndOfBodyError:
        return {}
    return (yield from _Decoder(body, tokens).message(message))


class _Frame:
    """A message that is being read. `seen`: numbers of fields and names of groups that were given."""

    __slots__ = ("fields", "list_field", "seen", "values")

    def __init__(self, message: str, values: Message) -> None:
        self.fields = BY_NAME[message]
        self.values = values
        self.seen: set[int | str] = set()
        self.list_field: tuple[Field, list[Any]] | None = None


class _Decoder:
    def __init__(self, body: bytes, tokens: Tokens) -> None:
        self._body = body
        self._kinds, self._starts, self._ends = tokens.kinds, tokens.starts, tokens.ends
        self._next = 0
        self._told = 0

    def message(self, name: str) -> Steps[Message]:
        root: Message = {}
        stack = [self._open(name, root)]
        while stack:
            if self._next - self._told >= TOKENS_PER_STEP:
                yield self._work()
            frame = stack[-1]
            token = self._take()
            if frame.list_field is not None:
                field, items = frame.list_field
                if self._kinds[token] == ord("]"):
                    frame.list_field = None
                    continue
                self._next -= 1
                if field.type in MESSAGES:
                    inner: Message = {}
                    stack.append(self._open(field.type, inner))
                    items.append(inner)
                else:
                    items.append((yield from self._scalar(field)))
            elif self._kinds[token] == ord("}"):
                stack.pop()
            else:
                opened = yield from self._field(frame, token)
                if opened is not None:
                    stack.append(opened)
        return root

    def _work(self) -> int:
        """Of the tokens since it was asked last."""
        tokens = self._next - self._told
        self._told = self._next
        return tokens * WORK_PER_TOKEN

    def _open(self, message: str, values: Message) -> _Frame:
        token = self._take()
        if self._kinds[token] != ord("{"):
            raise self._unexpected(token)
        return _Frame(message, values)

    def _field(self, frame: _Frame, name: int) -> Steps[_Frame | None]:
        """One member of an object; the frame of the message that begins in it, if one does."""
        field = frame.fields.get((yield from self._text(name)))
        if field is None:
            yield from self._skip()
            return None
        if field.number in frame.seen:
            raise self._wrong(name, f"duplicate field {self._raw(name)}")
        frame.seen.add(field.number)
        if self._kinds[self._next] == LITERAL and self._raw(self._next) == "null":
            self._next += 1
            return None
        if field.repeated:
            token = self._take()
            if self._kinds[token] != ord("["):
                raise self._unexpected(token)
            items: list[Any] = []
            frame.values[field.name] = items
            frame.list_field = (field, items)
            return None
        if field.oneof:
            if field.oneof in frame.seen:
                raise self._wrong(name, f"error parsing {self._raw(name)}, oneof {field.oneof} is already set")
            frame.seen.add(field.oneof)
        if field.type in MESSAGES:
            inner: Message = {}
            frame.values[field.name] = inner
            return self._open(field.type, inner)
        value = yield from self._scalar(field)
        if value is not None:
            frame.values[field.name] = value
        return None

    def _scalar(self, field: Field) -> Steps[bytes | str | int | bool | None]:
        """None: an enum's name that is not known, which leaves the field alone."""
        token = self._take()
        text = (yield from self._text(token)) if self._kinds[token] == STRING else None
        raw = self._body[self._starts[token] : self._ends[token]].decode() if text is None else ""
        value: bytes | str | int | bool | None = None
        kind = field.type
        if kind == "bool":
            value = {"true": True, "false": False}.get(raw) if self._kinds[token] == LITERAL else None
        elif kind == "bytes":
            value = (yield from base64_bytes(text)) if text is not None else None
        elif kind == "string":
            value = text
        elif kind in _NUMBERS:
            value = integer(text if text is not None else raw, _NUMBERS[kind])
        else:
            kind = "enum"
            if text is not None:
                return ENUMS[field.type].get(text)
            value = integer(raw, INT32)
        if value is None:
            raise self._wrong(token, f"invalid value for {kind} field {field.json_name}: {self._raw(token)}")
        return value

    def _skip(self) -> Steps[None]:
        """Step over one value, which still has to be text that can be read."""
        depth = 0
        while True:
            if self._next - self._told >= TOKENS_PER_STEP:
                yield self._work()
            token = self._take()
            kind = self._kinds[token]
            if kind in b"{[":
                depth += 1
            elif kind in b"}]":
                depth -= 1
            elif kind in (NAME, STRING):
                yield from self._text(token)
            if not depth and kind != NAME:
                return

    def _take(self) -> int:
        """The next token, by its number."""
        self._next += 1
        return self._next - 1

    def _raw(self, token: int) -> str:
        """The token as it stands in the body, cut where it is long."""
        return self._body[self._starts[token] : min(self._ends[token], self._starts[token] + QUOTED_BYTES_MAX)].decode(
            "utf-8", "replace"
        )

    def _text(self, token: int) -> Steps[str]:
        """What a name or string says."""
        try:
            text = self._body[self._starts[token] + 1 : self._ends[token] - 1].decode()
        except UnicodeDecodeError:
            raise self._syntax(token, "invalid UTF-8 in string") from None
        if "\\" not in text:
            return text
        said, read_until = yield from unescaped(text)
        if read_until is not None:
            raise self._lone_surrogate(token, text[:read_until])
        return said

    def _lone_surrogate(self, token: int, before: str) -> EtcdError:
        """`before`: the string's text up to the end of the escape that lacks its other half."""
        start = self._starts[token] + 1 + len(before.encode())
        rest = self._body[start : min(start + 6, self._ends[-1])]
        if len(rest) < 6:
            return invalid("proto: unexpected EOF")
        return self._syntax(token, f"invalid escape code {go_quoted(rest)} in string")

    def _position(self, token: int) -> str:
        """Line and column; 10 ms at the end of the longest body, once, for a request that fails."""
        before = self._body[self._starts[0] : self._starts[token]]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", "replace")) + 1
        return f"(line {before.count(10) + 1}:{column})"

    def _unexpected(self, token: int) -> EtcdError:
        return self._syntax(token, f"unexpected token {self._raw(token)}")

    def _syntax(self, token: int, what: str) -> EtcdError:
        return invalid(f"proto: syntax error {self._position(token)}: {what}")

    def _wrong(self, token: int, what: str) -> EtcdError:
        return invalid(f"proto: {self._position(token)}: {what}")
