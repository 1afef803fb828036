"""The quick way to read the usual request: what clients really send, in a tenth of the time.

Why it exists: most bodies are small, correct and plain, and reading them exactly (`decoding.py`) costs more than
storing them. Whatever is unusual in the least (camelCase, null, floats, unknown or repeated fields, nested
transactions, base64 that is not plain) is left to the exact way. It must never accept what that refuses, or read it
otherwise: a test compares the two.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from node.api.etcd.schema import ENUMS, MESSAGES

BYTES_MAX = 256 * 1024
"""A longer body is left to the exact way, which works in steps; a value of this length takes 2 ms."""

UNCOUNTED_BYTES_MAX = 2048
"""A shorter body cannot hold much."""

MARKS_MAX = 4096
"""Commas, colons and opening brackets of a longer one; so many take 3 to 6 ms. The usual transaction has fewer."""

_DIGITS_MAX = 18


class _Unusual(Exception):
    pass


def _struct(message: str, inner: dict[str, type]) -> type[msgspec.Struct]:
    """A struct of a message's fields by their plain names; messages that are not in `inner` are left out."""
    plain: dict[str, Any] = {"bytes": str, "bool": bool, "int64": int | str}
    fields: list[tuple[str, Any, Any]] = []
    for field in MESSAGES[message]:
        kind = plain.get(field.type, int | str if field.type in ENUMS else inner.get(field.type))
        if kind is not None:
            fields.append((field.name, (list.__class_getitem__(kind) if field.repeated else kind) | UnsetType, UNSET))
    return msgspec.defstruct(message, fields, forbid_unknown_fields=True, gc=False)


_FLAT = {name: _struct(name, {}) for name in ("RangeRequest", "PutRequest", "DeleteRangeRequest", "Compare")}
_OPERATION = _struct("RequestOp", dict(_FLAT))
_STRUCTS = {
    **{name: _FLAT[name] for name in ("RangeRequest", "PutRequest", "DeleteRangeRequest")},
    "TxnRequest": _struct("TxnRequest", {"Compare": _FLAT["Compare"], "RequestOp": _OPERATION}),
}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(struct) for name, struct in _STRUCTS.items()
}
_FIELDS = {
    message: [(field.name, field.type, field.oneof, field.repeated) for field in fields]
    for message, fields in MESSAGES.items()
}


def decode_quickly(body: bytes, message: str) -> dict[str, Any] | None:
    """As `decoding.decode`, or None where that has to look."""
    decoder = _DECODERS.get(message)
    if decoder is None or not is_light(body):
        return None
    try:
        values, members = _convert(decoder.decode(body), message)
    except (ValueError, RecursionError, _Unusual):
        return None
    return values if members == body.count(b":") else None  # else a name is given twice


def is_light(body: bytes) -> bool:
    """Whether reading it at once holds nobody up."""
    size = len(body)
    return size <= UNCOUNTED_BYTES_MAX or (size <= BYTES_MAX and sum(map(body.count, b",:[{")) <= MARKS_MAX)


def _convert(struct: Any, message: str) -> tuple[dict[str, Any], int]:
    """The fields that are given, and how many names stand in the text; no value that is accepted holds a colon."""
    values: dict[str, Any] = {}
    members, groups = 0, 0
    for name, kind, oneof, repeated in _FIELDS[message]:
        given = getattr(struct, name, UNSET)
        if given is UNSET:
            continue
        members += 1
        if oneof:
            groups += 1
        if kind == "bytes":
            values[name] = _bytes(given)
        elif kind == "bool":
            values[name] = given
        elif kind == "int64":
            values[name] = _integer(given)
        elif kind in ENUMS:
            values[name] = _enum(given, ENUMS[kind])
        else:
            found = [_convert(item, kind) for item in (given if repeated else (given,))]
            members += sum(count for _, count in found)
            values[name] = [item for item, _ in found] if repeated else found[0][0]
    if groups > 1:
        raise _Unusual
    return values, members


def _bytes(text: str) -> bytes:
    try:
        data = a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        raise _Unusual from None
    if 4 * len(data) != 3 * len(text) - 4 * (text[-1:] == "=") - 4 * (text[-2:] == "=="):
        raise _Unusual  # padding that is too much gets past the strict mode
    return data


def _integer(given: int | str) -> int:
    if isinstance(given, int):
        if -(2**63) <= given < 2**63:
            return given
        raise _Unusual
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX or digits[0] == "0" != digits:
        raise _Unusual
    return int(given)


def _enum(given: int | str, names: dict[str, int]) -> int:
    number = names.get(given) if isinstance(given, str) else given
    if number is None or not -(2**31) <= number < 2**31:
        raise _Unusual
    return number
