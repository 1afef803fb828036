"""Leases: numbers that live for a while in log time, and the keys that die with them.

Why it exists: a key that was put with a lease is deleted when the lease ends, whoever leads then. When that is depends
on entries alone: a lease ends at the log time of its grant, or of the last keep-alive, plus its time to live. Log time
stands still while nobody leads and never runs faster than a clock, so no change of leaders, no pause and no clock that
leaps makes a lease shorter. It must not know revisions, or what ends it.

Which keys a lease has is what the versions say (`KeyValue.lease`). The index here finds them, and may name more: what
a put or a delete took away stays in it until `purge`, so that whoever still reads the past finds it. Expiry and index
are kept as bytes in order, which costs little memory and nothing in Python's collector.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

import msgspec

from node.statemachine.ordered import OrderedKeys
from node.statemachine.untracked import untracked
from node.statemachine.versions import Versions
from node.statemachine.work import Meter, Slices
from node.statemachine.writes import Integer, Natural

TTL_S_MIN = 2
"""A shorter time to live is raised to it, as etcd does with its usual timing (one and a half election timeouts)."""

TTL_S_MAX = 9_000_000_000
"""A longer one is refused by the API, as by etcd."""

LEASES_MAX = 1_000_000
"""Leases at a time; one more is refused. They take `LEASE_BYTES` each: 300 MB in all."""

LEASE_BYTES = 300
"""What a lease takes in memory, about; it counts for the quota."""

ENDED_PER_ENTRY_MAX = 1_000
"""Leases that one entry ends because their time is over; the next entry ends the next ones."""

ENDED_KEYS_MAX = 10_000
"""Keys that one entry deletes with them: the lease that reaches it is the last of the entry."""

PARTS = 256
"""Tables of leases: none takes long to grow, or to be copied for whoever walks over all of them."""

COPIED_PER_UNIT = 16
"""Leases of a part that are copied for one unit."""

MERGED_PER_UNIT = 2
"""Leases that are put in order for one unit."""

_BIAS = 1 << 63
"""Numbers are signed; their bytes must be in the order of their values."""


class Lease(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """`ttl_s`: what each keep-alive gives it anew. `expiry_us`: log time from which on it may be ended. A value: a
    snapshot keeps it while the lease goes on."""

    id: Integer
    ttl_s: Natural
    expiry_us: Natural


Part = Mapping[int, Lease]
_BY_ID = attrgetter("id")


class Leases:
    """All leases, and the index of the keys that `versions` hold with one."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._count = 0
        self._parts: list[dict[int, Lease]] = [{} for _ in range(PARTS)]
        self._shared = bytearray(PARTS)
        """Which of them somebody walks over: they are copied before they change."""
        self._by_expiry = OrderedKeys(lambda _key: True)
        self._index = OrderedKeys(lambda _key: True)
        self._stale: deque[tuple[bytes, bytes | None]] = deque()
        """Ranges of the index in which something is not true any more."""

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return number in self._parts[_part_of(number)]

    def get(self, number: int) -> Lease | None:
        """The lease of that number; None: there is none (any more)."""
        return self._parts[_part_of(number)].get(number)

    @property
    def revision(self) -> int:
        """Of the versions, for whoever does a write."""
        return self._versions.last

    @property
    def size_bytes(self) -> int:
        """About what they take in memory."""
        return self._count * LEASE_BYTES

    # --- entries ---------------------------------------------------------------------------------------------

    def prepare(self, number: int) -> int:
        """Before a change of that lease; returns the units that it took, for somebody may walk over its part."""
        return len(self._own(number)) // COPIED_PER_UNIT if self._shared[_part_of(number)] else 0

    def grant(self, number: int, ttl_s: int, now_us: int) -> Lease:
        """A new one; `number` must be free."""
        ttl_s = min(max(ttl_s, TTL_S_MIN), TTL_S_MAX)
        lease = Lease(number, ttl_s, now_us + ttl_s * 1_000_000)
        self._own(number)[number] = lease
        self._count += 1
        self._by_expiry.add(_expiry_key(lease))
        return lease

    def keep(self, number: int, now_us: int) -> Lease | None:
        """Its time begins anew. None: there is no such lease, or its time is over although nothing has ended it yet."""
        before = self.get(number)
        if before is None or before.expiry_us <= now_us:
            return None
        lease = Lease(number, before.ttl_s, now_us + before.ttl_s * 1_000_000)
        self._own(number)[number] = lease
        self._by_expiry.drop(_expiry_key(before))
        self._by_expiry.add(_expiry_key(lease))
        return lease

    def due(self, now_us: int) -> list[int]:
        """Whose time is over, the longest first; `ENDED_PER_ENTRY_MAX` at most."""
        found: list[int] = []
        start: bytes | None = b""
        end = _bytes8(now_us + 1)
        while start is not None and len(found) < ENDED_PER_ENTRY_MAX:
            keys, start = self._by_expiry.piece(start, end, ENDED_PER_ENTRY_MAX - len(found))
            found += [int.from_bytes(key[8:]) - _BIAS for key in keys]
        return found

    @property
    def next_expiry_us(self) -> int | None:
        """When the first one ends; None: there is none."""
        first = self._by_expiry.first
        return None if first is None else int.from_bytes(first[:8])

    def revoked(self, number: int) -> None:
        """This one, whose keys are deleted, is no more."""
        self._by_expiry.drop(_expiry_key(self._own(number).pop(number)))
        self._count -= 1

    def expired(self, numbers: Sequence[int]) -> None:
        """These, the first that are `due`, whose keys are deleted, are no more: all at once."""
        for number in numbers:
            del self._own(number)[number]
        self._by_expiry.drop_first(len(numbers))
        self._count -= len(numbers)

    # --- keys ------------------------------------------------------------------------------------------------

    def attach(self, number: int, key: bytes) -> None:
        """A put gave `key` to it."""
        entry = _bytes8(number + _BIAS) + key
        if not self._index.piece(entry, entry + b"\0", 1)[0]:
            self._index.add(entry)

    def detach(self, number: int, key: bytes) -> None:
        """A put or a delete took `key` away from it."""
        entry = _bytes8(number + _BIAS) + key
        self._stale.append((entry, entry + b"\0"))

    @property
    def has_keys(self) -> bool:
        """Whether any key has one, or had until lately."""
        return self._index.first is not None

    def keys(self, number: int, start: bytes, revision: int, keys_max: int) -> tuple[list[bytes], bytes | None]:
        """The first of its keys from `start` on, in order, as of `revision`, after looking at `keys_max` at most. And
        where to go on, None: that was all."""
        entries, following = self._entries(number, start, keys_max)
        return [e[8:] for e in entries if self._is_true(e, revision)], None if following is None else following[8:]

    def named(self, number: int, start: bytes, keys_max: int) -> tuple[list[bytes], bytes | None]:
        """The same of what the index names, true or not."""
        entries, following = self._entries(number, start, keys_max)
        return [entry[8:] for entry in entries], None if following is None else following[8:]

    def void(self, number: int) -> None:
        """What the index names of it is not true any more."""
        self._stale.append(_range_of(number))

    def _entries(self, number: int, start: bytes, keys_max: int) -> tuple[list[bytes], bytes | None]:
        first, end = _range_of(number)
        return self._index.piece(first + start, end, keys_max)

    def _is_true(self, entry: bytes, revision: int) -> bool:
        kv = self._versions.at(entry[8:], revision)
        return kv is not None and kv.lease == int.from_bytes(entry[:8]) - _BIAS

    def purge(self, steps_max: int) -> int:
        """Remove a part of what the index names in vain, a key a step, unless somebody reads. Returns the steps."""
        steps = 0
        while self._stale and steps < steps_max and not self._versions.held:
            start, end = self._stale.popleft()
            entries, following = self._index.piece(start, end, steps_max - steps)
            for entry in entries:
                if not self._is_true(entry, self._versions.last):
                    self._index.drop(entry)
            if following is not None:
                self._stale.appendleft((following, end))
            steps += 1 + len(entries)
        return steps

    # --- all of them -----------------------------------------------------------------------------------------

    def view(self) -> list[Part]:
        """All as they are now, in parts that never change, in no order."""
        self._shared[:] = b"\1" * PARTS
        return list(self._parts)

    def load(self, lease: Lease) -> None:
        """The next one of a whole state. Raises `ValueError` where it cannot be."""
        if lease.id in self or not lease.id or not TTL_S_MIN <= lease.ttl_s <= TTL_S_MAX:
            raise ValueError(f"lease {lease.id} stands in the snapshot where it cannot, or twice")
        self._own(lease.id)[lease.id] = lease
        self._count += 1
        self._by_expiry.add(_expiry_key(lease))

    @property
    def held(self) -> bool:
        """Whether somebody reads in here."""
        return self._versions.held

    def emptying(self) -> Iterator[int]:
        """Let everything go, piece by piece, and tell for each in how many steps."""
        for ordered in (self._by_expiry, self._index):
            for keys in ordered.emptying():
                yield len(keys)
        while self._stale:
            self._stale.popleft()
            yield 1
        while self._parts:
            yield 1 + len(self._parts.pop())

    def _own(self, number: int) -> dict[int, Lease]:
        """The table of that lease, to be changed."""
        at = _part_of(number)
        if self._shared[at]:
            self._parts[at] = dict(self._parts[at])
            self._shared[at] = 0
        return self._parts[at]


def in_order(parts: Sequence[Part], meter: Meter, *, by_expiry: bool = False) -> Slices[list[Lease]]:
    """All of a view, by number or by when they end."""
    order = _expiry_key if by_expiry else _BY_ID
    pieces: list[list[Lease]] = []
    for part in parts:
        if part:
            pieces.append(sorted(part.values(), key=order))
            meter.left -= 1 + len(part) // MERGED_PER_UNIT
            if meter.left <= 0:
                yield
    merged: list[Lease] = untracked([])
    for number, lease in enumerate(heapq.merge(*pieces, key=order), 1):
        merged.append(lease)
        if not number % MERGED_PER_UNIT:
            meter.left -= 1
            if meter.left <= 0:
                yield
    return merged


def _part_of(number: int) -> int:
    """Numbers that follow each other, or differ in high bits alone, are far apart."""
    return (number * 0x9E3779B97F4A7C15 >> 40) % PARTS


def _bytes8(number: int) -> bytes:
    return number.to_bytes(8)


def _expiry_key(lease: Lease) -> bytes:
    return _bytes8(lease.expiry_us) + _bytes8(lease.id + _BIAS)


def _range_of(number: int) -> tuple[bytes, bytes | None]:
    """Begin and end of its keys in the index; nothing follows those of the highest number."""
    return _bytes8(number + _BIAS), _bytes8(number + _BIAS + 1) if number < _BIAS - 1 else None
