"""An entry in a few words, for people who read a log: `put a/b (5 bytes)`.

Why it exists: a log of checksums tells nobody anything. It must show keys and sizes only, never values, and never
fail: what is in a log may come from a newer version. A page shows a thousand entries at once, so that a long one must
not cost more than a short one.
"""

import msgspec

from node.raft.types import Configuration, Entry, EntryKind
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
        write = _decode(entry.data)
        if isinstance(write, InSession):
            return f"{_write(_decode(write.write))}, once"
        return _write(write)
    except (ValueError, RecursionError):
        return f"{len(entry.data)} bytes that this version cannot read"


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
        case InSession():
            return "a session in a session, which nobody does"


def _key(key: bytes) -> str:
    text = key[: 4 * KEY_CHARACTERS_MAX + 4].decode("utf-8", "backslashreplace")  # a character has 4 bytes at most
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:KEY_CHARACTERS_MAX])
    return shown if len(text) <= KEY_CHARACTERS_MAX else f"{shown}…"
