"""Protobuf's bytes, read and written by the table of `schema`: no other package knows what a message is.

Why it exists: a message of gRPC becomes the same dict of fields that JSON becomes, so that calls have one meaning.
Reading walks with a stack of its own, whatever lies inside what, and can pause anywhere. It must refuse what etcd's own
decoder refuses, and skip fields that it does not know.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import ANSWERS, ENUMS, GRPC_MESSAGES, MESSAGES, Field, Message
from node.api.slices import Steps

FIELDS_MAX = 65_536
"""Of one message, with those of all inside."""

FIELDS_PER_STEP = 64
WORK_PER_FIELD = 2

SKIPPED_MAX = 1024
"""Fields of a group that is skipped, and numbers of one list: nobody who speaks this protocol sends either so long."""

DEPTH_MAX = 1024
"""Messages inside each other; a transaction takes two for each level, and may have 129."""

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)


class _Known(NamedTuple):
    """A field as it is read. `others`: what else of its group is void once it is given. `table`: of a message."""

    name: str
    type: str
    repeated: bool
    others: tuple[str, ...]
    wire: int
    kind: str


def _wire(field: Field) -> int:
    return _VARINT if field.type in _INTEGERS or field.type in ENUMS else _BYTES


_INTEGERS = ("int64", "uint64", "uint32", "bool")


def _table(fields: tuple[Field, ...]) -> dict[int, _Known]:
    found = {}
    for field in fields:
        others = tuple(one.name for one in fields if field.oneof and one.oneof == field.oneof and one is not field)
        kind = "enum" if field.type in ENUMS else field.type if field.type in (*_INTEGERS, "bytes", "string") else ""
        found[field.number] = _Known(field.name, field.type, field.repeated, others, _wire(field), kind)
    return found


_TABLES = {name: _table(fields) for name, fields in {**MESSAGES, **GRPC_MESSAGES}.items()}


def unreadable(why: str) -> EtcdError:
    """Code 13, as grpc-go says it."""
    return EtcdError(Code.INTERNAL, f"grpc: error unmarshalling request: {why}")


def decoding(data: bytes, name: str) -> Steps[Message]:
    """The message `name` (see `schema`) that `data` is; raises `EtcdError`."""
    outermost: Message = {}
    message, table, at, end = outermost, _TABLES[name], 0, len(data)
    outer: list[tuple[Message, dict[int, _Known], int, str]] = []
    fields = 0
    while True:
        while at == end:
            if not outer:
                return outermost
            message, table, end, name = outer.pop()
        fields += 1
        if not fields % FIELDS_PER_STEP:
            yield FIELDS_PER_STEP * WORK_PER_FIELD
            if fields >= FIELDS_MAX:
                raise _too_many()
        tag, at = _varint(data, at, end)
        known = table.get(tag >> 3)
        wire = tag & 7
        if known is None or wire == _END_GROUP:
            at = _skip(data, at, end, tag, name)
            continue
        if wire != known.wire:
            if wire == _BYTES and known.repeated and known.wire == _VARINT:
                at = _packed(data, at, end, known, message)
                continue
            raise unreadable(f"proto: wrong wireType = {wire} for field {_go_name(known.name)}")
        for other in known.others:
            message.pop(other, None)
        number, at = _varint(data, at, end)
        kind = known.kind
        if wire == _VARINT:
            value: Any = _integer(number, kind)
        else:
            if number > end - at:
                raise _cut_short(number)
            if not kind:
                inner = _inner(message, known)
                if len(outer) >= DEPTH_MAX:
                    raise EtcdError(Code.RESOURCE_EXHAUSTED, "etcdserver: messages are too deep inside each other")
                outer.append((message, table, end, name))
                message, table, end, name = inner, _TABLES[known.type], at + number, known.type
                continue
            value = data[at : at + number]
            at += number
            if kind == "string":
                value = value.decode("utf-8", "replace")
        if known.repeated:
            message.setdefault(known.name, []).append(value)
        else:
            message[known.name] = value


def _cut_short(size: int) -> EtcdError:
    """A length that reaches beyond its message; Go takes the longest for negative ones."""
    return unreadable("unexpected EOF" if size < 2**63 else "proto: negative length found during unmarshaling")


def _too_many() -> EtcdError:
    return EtcdError(Code.RESOURCE_EXHAUSTED, "etcdserver: a message has too many fields")


def decoded_quickly(data: bytes, name: str) -> Message | None:
    """The same at once, where it has few fields; else None."""
    steps = decoding(data, name)
    try:
        next(steps)
    except StopIteration as end:
        found: Message = end.value
        return found
    steps.close()
    return None


def _inner(message: Message, known: _Known) -> Message:
    """Where the fields of an inner message go; one that is not repeated and comes again is merged."""
    if known.repeated:
        inner: Message = {}
        message.setdefault(known.name, []).append(inner)
        return inner
    found: Message = message.setdefault(known.name, {})
    return found


def _packed(data: bytes, at: int, end: int, known: _Known, message: Message) -> int:
    size, at = _varint(data, at, end)
    if size > end - at:
        raise unreadable("unexpected EOF")
    values, last = message.setdefault(known.name, []), at + size
    while at < last:
        if len(values) >= SKIPPED_MAX:
            raise _too_many()
        number, at = _varint(data, at, last)
        values.append(_integer(number, known.kind))
    return at


def _integer(number: int, kind: str) -> int | bool:
    if kind == "bool":
        return number != 0
    if kind == "int64":
        return number - 2**64 if number >= 2**63 else number
    if kind == "enum":
        number &= 0xFFFFFFFF
        return number - 2**32 if number >= 2**31 else number
    return number & 0xFFFFFFFF if kind == "uint32" else number


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at >= end:
        raise unreadable("unexpected EOF")
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    for place in range(at + 1, min(end, at + 10)):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, place + 1
        shift += 7
    raise unreadable("proto: integer overflow" if shift >= 70 else "unexpected EOF")


def _skip(data: bytes, at: int, end: int, tag: int, name: str) -> int:
    """Past a field that is not known, with all that is inside of a group."""
    number, wire, depth, skipped = (tag >> 3) & 0xFFFFFFFF, tag & 7, 0, 0
    if wire == _END_GROUP:
        raise unreadable(f"proto: {name}: wiretype end group for non-group")
    if not 0 < number < 2**31:
        number = number - 2**32 if number >= 2**31 else number
        raise unreadable(f"proto: {name}: illegal tag {number} (wire type {tag})")
    while True:
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _FIXED64:
            at += 8
        elif wire == _BYTES:
            size, at = _varint(data, at, end)
            at += size
        elif wire == _GROUP:
            depth += 1
        elif wire == _END_GROUP:
            if not depth:
                raise unreadable("proto: unexpected end of group")
            depth -= 1
        elif wire == _FIXED32:
            at += 4
        else:
            raise unreadable(f"proto: illegal wireType {wire}")
        if at > end:
            raise unreadable("unexpected EOF")
        if not depth:
            return at
        skipped += 1
        if skipped > SKIPPED_MAX:
            raise _too_many()
        tag, at = _varint(data, at, end)
        wire = tag & 7


def _go_name(name: str) -> str:
    """As Go calls the field."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


# --- writing -------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Of a number, also of one below zero."""
    if 0 <= number < 0x80:
        return _SHORT[number]
    if number < 0:
        number += 2**64
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SHORT = [bytes((number,)) for number in range(0x80)]


def encode(values: Mapping[str, Any], name: str) -> bytes:
    """An answer: its fields by name; what has its default is left out. Inner messages are mappings, or bytes that were
    encoded already."""
    out = []
    for field in ANSWERS[name]:
        value = values.get(field.name)
        if value is None or (not value and not field.repeated and not isinstance(value, Mapping | bytes)):
            continue
        for one in value if field.repeated else (value,):
            out.append(_encoded(field, one))
    return b"".join(out)


def _encoded(field: Field, value: Any) -> bytes:
    content: bytes
    if _wire(field) == _VARINT:
        return varint(field.number << 3) + varint(int(value))
    if isinstance(value, Mapping):
        content = encode(value, field.type)
    elif isinstance(value, str):
        content = value.encode()
    elif not value and field.type == "bytes" and not field.repeated:
        return b""
    else:
        content = value
    return varint(field.number << 3 | _BYTES) + varint(len(content)) + content
