"""What writes do to leases: granted, kept alive, revoked, and ended when their time is over, with their keys.

Why it exists: beside `executing`, which does what writes do to keys. All keys of a lease are deleted at one revision,
in their order; no reader sees a part of them gone, nor the lease gone before them: it is taken out when all of them are
deleted, in the last slice of the entry. It must not make a result depend on anything but the state and the entry.
"""

from node.raft.types import Entry
from node.statemachine.leases import ENDED_KEYS_MAX, LEASES_MAX, Leases
from node.statemachine.versions import Versions
from node.statemachine.work import Meter, Slices
from node.statemachine.writes import (
    LeaseExpire,
    LeaseGrant,
    LeaseGranted,
    LeaseKeepAlive,
    LeaseKept,
    LeaseRevoked,
    LeasesExpired,
    LeaseWrite,
    Refused,
    Result,
)

LEASE_UNITS = 4
"""What it costs to begin a lease, or to change when it ends."""

ENDING_UNITS = 3
"""What it costs to end one."""

NAMED_UNITS = 4
"""What it costs to look for a piece of its keys."""

KEY_UNITS = 4
"""What a key costs that is deleted with its lease."""

_MASK = (1 << 64) - 1


def leasing(versions: Versions, leases: Leases, write: LeaseWrite, entry: Entry, meter: Meter) -> Slices[Result]:
    """Do `write`, which stands in `entry`."""
    if isinstance(write, LeaseExpire):
        return (yield from _expiring(versions, leases, entry.time_us, meter))
    if isinstance(write, LeaseGrant):
        return _grant(versions, leases, write, entry, meter)
    meter.left -= LEASE_UNITS + leases.prepare(write.id)
    if isinstance(write, LeaseKeepAlive):
        kept = leases.keep(write.id, entry.time_us)
        return LeaseKept(versions.last, write.id, 0 if kept is None else kept.ttl_s)
    if write.id not in leases:
        return lease_not_found(write.id)
    yield from _deleting_keys_of(versions, leases, write.id, meter)
    leases.revoked(write.id)
    return LeaseRevoked(versions.last)


def lease_not_found(number: int) -> Refused:
    """There is none, or none any more."""
    return Refused("lease-not-found", f"there is no lease {number}")


def _grant(versions: Versions, leases: Leases, write: LeaseGrant, entry: Entry, meter: Meter) -> Result:
    number = write.id or _made_number(leases, entry)
    meter.left -= LEASE_UNITS + leases.prepare(number)
    if number in leases:
        return Refused("lease-exists", f"there is a lease {number} already")
    if len(leases) >= LEASES_MAX:
        return Refused("too-many-leases", f"there are {LEASES_MAX} leases, and no more may be: revoke some")
    lease = leases.grant(number, write.ttl_s, entry.time_us)
    return LeaseGranted(versions.last, lease.id, lease.ttl_s)


def _made_number(leases: Leases, entry: Entry) -> int:
    """A positive one that is free. It looks like chance, so that it meets none that somebody chose; and it is made from
    the entry alone, so that all nodes make the same, and a write that comes twice in a session is still the same."""
    at = entry.index ^ entry.time_us << 20
    while True:
        at = (at + 0x9E3779B97F4A7C15) & _MASK
        mixed = (at ^ at >> 30) * 0xBF58476D1CE4E5B9 & _MASK  # splitmix64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        number = (mixed ^ mixed >> 31) >> 1
        if number and number not in leases:
            return number


def _expiring(versions: Versions, leases: Leases, time_us: int, meter: Meter) -> Slices[Result]:
    """Each lease has a revision of its own, where it has keys."""
    ended: list[int] = []
    keys = 0
    for number in leases.due(time_us):
        keys += yield from _deleting_keys_of(versions, leases, number, meter)
        ended.append(number)
        meter.left -= ENDING_UNITS + leases.prepare(number)
        if meter.left <= 0:
            yield
        if keys >= ENDED_KEYS_MAX:
            break
    leases.expired(ended)
    return LeasesExpired(versions.last, len(ended))


def _deleting_keys_of(versions: Versions, leases: Leases, number: int, meter: Meter) -> Slices[int]:
    """All of them, at one revision; how many there were."""
    if not leases.has_keys:
        return 0
    revision, deleted, named = versions.last + 1, 0, 0
    start: bytes | None = b""
    while start is not None:
        keys, start = leases.named(number, start, max(1, meter.left // KEY_UNITS))
        named += len(keys)
        deleted += versions.delete_leased(keys, number, revision)
        meter.left -= NAMED_UNITS + KEY_UNITS * len(keys)
        if meter.left <= 0:
            yield
    if named:
        leases.void(number)
    return deleted
