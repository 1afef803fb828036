"""An entry in a few words, for people who read a log: `put a/b (5 bytes)`.

Why it exists: a log of checksums tells nobody anything. It must show keys and sizes only, never values, and never
fail: what is in a log may come from a newer version. A page shows a thousand entries at once, so that a long one must
not cost more than a short one.
"""

import msgspec

from node.raft.types import Configuration, Entry, EntryKind
from node.statemachine.auth_writes import (
    AsUser,
    AuthDisable,
    AuthEnable,
    AuthWrite,
    LogIn,
    LogOut,
    RoleAdd,
    RoleDelete,
    RoleGrantPermission,
    RoleRevokePermission,
    UserAdd,
    UserDelete,
    UserGrantRole,
    UserPassword,
    UserRevokeRole,
)
from node.statemachine.decoding import is_long
from node.statemachine.writes import (
    Compact,
    DeleteRange,
    InSession,
    LeaseExpire,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    Put,
    Register,
    Txn,
    Write,
)

KEY_CHARACTERS_MAX = 40

TRANSACTION_BYTES_MAX = 1024
"""Of a longer transaction only its size is told: to read it would take longer than a line may."""

_DECODER: msgspec.msgpack.Decoder[Write] = msgspec.msgpack.Decoder(Write)


def describe(entry: Entry) -> str:
    """One short line, printable."""
    if entry.kind is EntryKind.NOOP:
        return "a new leader's first entry"
    try:
        if entry.kind is EntryKind.CONFIGURATION:
            return f"members {' '.join(member.name for member in Configuration.decode(entry.data).voters)}"
        return _anything(entry.data)
    except (ValueError, RecursionError):
        return f"{len(entry.data)} bytes that this version cannot read"


def _anything(data: bytes) -> str:
    write, by, once = _decode(data), "", ""
    if isinstance(write, AsUser):
        by = f", for the user {_name(write.user)}" if write.user else ""
        write = _decode(write.write)
    if isinstance(write, InSession):
        once = ", once"
        write = _decode(write.write)
    return f"{_write(write)}{once}{by}"


def _decode(data: bytes) -> Write | int:
    """The write; of a long transaction, how many bytes it has."""
    return len(data) if is_long(data, TRANSACTION_BYTES_MAX) else _DECODER.decode(data)


def _write(write: Write | int) -> str:
    match write:
        case int():
            return f"transaction of {write} bytes"
        case Put(key, value, lease):
            return f"put {_key(key)} ({len(value)} bytes)" + (f" with lease {lease}" if lease else "")
        case DeleteRange(key, range_end):
            return f"delete {_key(key)}" + (f" to {_key(range_end)}" if range_end else "")
        case Txn(compare, success, failure):
            return f"transaction: {len(compare)} compares, {len(success)} or {len(failure)} operations"
        case Compact(revision):
            return f"compact to revision {revision}"
        case LeaseGrant(number, ttl_s):
            return f"grant lease {number} for {ttl_s} s"
        case LeaseKeepAlive(number):
            return f"keep lease {number} alive"
        case LeaseRevoke(number):
            return f"revoke lease {number}"
        case LeaseExpire():
            return "end the leases whose time is over"
        case Register(idle_us):
            return f"register a session that may be idle for {idle_us / 1e6:g} s"
        case InSession() | AsUser():
            return "a session in a session, or one user for another, which nobody does"
        case _:
            return _auth(write)


def _auth(write: AuthWrite) -> str:
    """Names and keys alone: a hash of a password is nobody's to read."""
    match write:
        case AuthEnable():
            return "put users in force"
        case AuthDisable():
            return "users are in force no more"
        case UserAdd(name):
            return f"add user {_name(name)}"
        case UserDelete(name):
            return f"delete user {_name(name)}"
        case UserPassword(name):
            return f"change the password of user {_name(name)}"
        case UserGrantRole(name, role):
            return f"give user {_name(name)} the role {_name(role)}"
        case UserRevokeRole(name, role):
            return f"take the role {_name(role)} from user {_name(name)}"
        case RoleAdd(name):
            return f"add role {_name(name)}"
        case RoleDelete(name):
            return f"delete role {_name(name)}"
        case RoleGrantPermission(name, kind, key, end):
            return f"permit role {_name(name)} to {kind.name.lower()} {_key(key)}" + (f" to {_key(end)}" if end else "")
        case RoleRevokePermission(name, key, end):
            return f"take from role {_name(name)} {_key(key)}" + (f" to {_key(end)}" if end else "")
        case LogIn(name):
            return f"user {_name(name)} has logged in"
        case LogOut():
            return "a user has logged out"


def _name(name: str) -> str:
    return _key(name.encode("utf-8", "backslashreplace"))


def _key(key: bytes) -> str:
    text = key[: 4 * KEY_CHARACTERS_MAX + 4].decode("utf-8", "backslashreplace")  # a character has 4 bytes at most
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:KEY_CHARACTERS_MAX])
    return shown if len(text) <= KEY_CHARACTERS_MAX else f"{shown}…"
