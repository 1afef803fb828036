"""What is printed of a lock that is held and of who leads: for people a line each, for programs one JSON object."""

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from node.cli import stdout

if TYPE_CHECKING:
    from raftclient import Lock


def tell_lock(lock: "Lock", as_json: bool) -> None:
    """Its key; for programs the token, too."""
    stdout.done(f"the lock was had (token {lock.token}) and is released")
    _print({**_named("key", lock.key), "token": lock.token} if as_json else shown(lock.key))


def tell_lead(key: bytes, value: bytes, token: int, as_json: bool) -> None:
    """The key and what is proclaimed."""
    told = {**_named("key", key), **_named("value", value), "token": token}
    _print(told if as_json else f"{shown(key)}\n{shown(value)}")


def shown(data: bytes) -> str:
    """As it is, where a line can hold it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"base64:{_base64(data)}"
    return text if text.isprintable() else msgspec.json.encode(text).decode()


def _named(name: str, data: bytes) -> dict[str, Any]:
    """As the node's own JSON has it: the text where it is one, and always the bytes."""
    try:
        text: str | None = data.decode()
    except UnicodeDecodeError:
        text = None
    return {name: text, f"{name}_base64": _base64(data)}


def _base64(data: bytes) -> str:
    return str(msgspec.json.encode(data)[1:-1], "ascii")


def _print(told: "dict[str, Any] | str") -> None:
    print(told if isinstance(told, str) else msgspec.json.encode(told).decode())
    sys.stdout.flush()
