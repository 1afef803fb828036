"""Etcd's Auth service in JSON: its routes, and how their answers are written.

Why it exists: beside `json_door`; all these answers are small, and written by the table of messages. It must not know
what a call does.
"""

from base64 import b64encode

import msgspec

from node.api.etcd.auth_calls import AuthAnswer, AuthCalls
from node.api.etcd.auth_methods import AuthMethod, methods_of
from node.api.etcd.json_door import Handler, JsonDoor
from node.api.etcd.rendering import header_text
from node.api.etcd.schema import ANSWERS, ENUMS, Field


def routes_of(calls: AuthCalls, door: JsonDoor) -> dict[str, Handler]:
    """By path, all of them POST."""
    return {f"/v3/auth/{each.path}": _handler(each, door) for each in methods_of(calls)}


def _handler(method: AuthMethod, door: JsonDoor) -> Handler:
    answer = f"{method.message}Response"
    return door.plain(f"{method.message}Request", method.call, lambda found: _body(found, answer))


def _body(answer: AuthAnswer, message: str) -> bytes:
    said = _said(answer.fields, message)
    rest = f",{msgspec.json.encode(said).decode()[1:]}" if said else "}"
    return f'{{"header":{{{header_text(answer.header)}}}{rest}\n'.encode()


def _said(fields: dict[str, object], message: str) -> dict[str, object]:
    """What JSON says of a message: what is empty is left out."""
    said: dict[str, object] = {}
    for field in ANSWERS[message]:
        value = fields.get(field.name)
        if not value:
            continue
        if field.repeated and isinstance(value, list):
            said[field.name] = [_value(each, field) for each in value]
        else:
            said[field.name] = _value(value, field)
    return said


def _value(value: object, field: Field) -> object:
    if isinstance(value, dict):
        return _said(value, field.type)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, (bool, str)):
        return value
    if field.type in ENUMS:
        return next(name for name, number in ENUMS[field.type].items() if number == value)
    return str(value)
