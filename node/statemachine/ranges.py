"""What a range finds, read as of one revision, in slices.

Why it exists: reads of clients and reads in a transaction follow the same rules, etcd's. It must not write, and not
decide whether a revision may be read.
"""

import sys

from node.statemachine.sorting import Sorter
from node.statemachine.untracked import untracked
from node.statemachine.versions import Versions
from node.statemachine.work import KEYS_SEEN_PER_UNIT, Meter, Slices
from node.statemachine.writes import Compare, DeleteRange, KeyValue, Range, RangeResult, SortOrder, SortTarget

COUNT_UNITS = 64
"""What counting the living keys of a range costs at most, whatever its length."""

SEEN_KEYS_MIN = 16
"""So many keys are looked at in one go, although fewer are missing: the next ones may be dead."""

STRIPPED_KEYS_MAX = 64
"""Versions that are stripped of their values in one go."""

STRIPPED_KEYS_PER_UNIT = 4
"""So many of them for one unit."""


def end_of(wanted: Range | DeleteRange | Compare) -> bytes | None:
    """Where [key, end) ends: after the key itself without `range_end`, None for "every key from here on"."""
    if wanted.range_end == b"\0":
        return None
    return wanted.range_end or wanted.key + b"\0"


def one_key(versions: Versions, wanted: Range, now: int) -> RangeResult:
    """What `wanted`, a range of one key, finds where `now` is the present revision."""
    kv = versions.at(wanted.key, wanted.revision if wanted.revision > 0 else now)
    count = 0 if kv is None else 1
    if kv is None or wanted.count_only or not _passes(kv, wanted):
        return RangeResult(now, (), count, False)
    return RangeResult(now, (_without_value(kv) if wanted.keys_only else kv,), count, False)


def count_now(versions: Versions, wanted: Range, now: int) -> int | None:
    """How many keys `wanted` counts, where that needs no walk: nothing was written after the revision it reads."""
    at = wanted.revision if wanted.revision > 0 else now
    return versions.count(wanted.key, end_of(wanted)) if at >= versions.last else None


def ranging(versions: Versions, wanted: Range, now: int, meter: Meter, count: int | None = None) -> Slices[RangeResult]:
    """What `wanted` finds. `now`: the present revision, to which it also belongs that later versions are not seen.
    `count`: how many keys it counts, if that is known: then a limited one need not walk to its end."""
    if not wanted.range_end:
        meter.left -= 1
        return one_key(versions, wanted, now)
    if count is None:
        count = count_now(versions, wanted, now)
        meter.left -= COUNT_UNITS
    at, end, limit = wanted.revision if wanted.revision > 0 else now, end_of(wanted), max(0, wanted.limit)
    taking = _Taking(wanted, limit, meter)
    start: bytes | None = wanted.key
    counted = 0
    while start is not None and not (taking.enough and count is not None):
        seen_max = meter.keys() if count is None else min(meter.keys(), max(SEEN_KEYS_MIN, taking.missing))
        found, start, seen = versions.look(start, end, at, seen_max)
        counted += len(found)
        meter.left -= 1 + seen // KEYS_SEEN_PER_UNIT
        if not taking.enough:
            yield from taking.take(found)
        if meter.left <= 0:
            yield
    kvs = yield from taking.taken()
    more = bool(limit) and taking.matched > limit
    if more:
        del kvs[limit:]
    if wanted.keys_only:
        yield from _strip(kvs, meter)
    return RangeResult(now, untracked(tuple(kvs)), counted if count is None else count, more)


class _Taking:
    """Of the versions in a range those that are wanted, in the order that is wanted. `matched`: how many they are, or
    more than the limit; `enough`: no further ones change the result.

    What etcd does with a limit: it reads one key more and no further, and sorts these; but where there are filters,
    or an order is named, it reads all of them.
    """

    def __init__(self, wanted: Range, limit: int, meter: Meter) -> None:
        self.enough = wanted.count_only
        self.matched = 0
        self._wanted = wanted
        self._filters = _filters(wanted)
        self._kvs: list[KeyValue] = untracked([])
        descending, by_key = wanted.sort_order is SortOrder.DESCEND, wanted.sort_target is SortTarget.KEY
        self._reversed = by_key and descending
        self._sorter = None if by_key else Sorter(wanted.sort_target, descending, limit, meter)
        in_order = by_key and not descending
        everything = self._filters or wanted.sort_order is not SortOrder.NONE
        self._matched_max = limit + 1 if limit and (in_order or not everything) else sys.maxsize

    @property
    def missing(self) -> int:
        """So many more keys in the range are enough."""
        return sys.maxsize if self._filters else self._matched_max - self.matched

    def take(self, found: list[KeyValue]) -> Slices[None]:
        """The next piece of the range."""
        if self._filters:
            found = [kv for kv in found if _passes(kv, self._wanted)]
        if self.matched + len(found) >= self._matched_max:
            found = found[: self._matched_max - self.matched]
            self.enough = True
        self.matched += len(found)
        if self._sorter is None:
            self._kvs += found
        else:
            yield from self._sorter.take(found)

    def taken(self) -> Slices[list[KeyValue]]:
        """All of them, or as many as the limit, in order."""
        if self._sorter is not None:
            return (yield from self._sorter.sorted())
        if self._reversed:
            self._kvs.reverse()
        return self._kvs


def _filters(wanted: Range) -> bool:
    return bool(
        wanted.min_mod_revision or wanted.max_mod_revision or wanted.min_create_revision or wanted.max_create_revision
    )


def _passes(kv: KeyValue, wanted: Range) -> bool:
    """Whether the filters let `kv` through; 0 is no filter."""
    if wanted.min_mod_revision and kv.mod_revision < wanted.min_mod_revision:
        return False
    if wanted.max_mod_revision and kv.mod_revision > wanted.max_mod_revision:
        return False
    if wanted.min_create_revision and kv.create_revision < wanted.min_create_revision:
        return False
    return not (wanted.max_create_revision and kv.create_revision > wanted.max_create_revision)


def _strip(kvs: list[KeyValue], meter: Meter) -> Slices[None]:
    """Leave the values out, in place."""
    for at in range(0, len(kvs), STRIPPED_KEYS_MAX):
        kvs[at : at + STRIPPED_KEYS_MAX] = map(_without_value, kvs[at : at + STRIPPED_KEYS_MAX])
        meter.left -= STRIPPED_KEYS_MAX // STRIPPED_KEYS_PER_UNIT
        if meter.left <= 0:
            yield


def _without_value(kv: KeyValue) -> KeyValue:
    return KeyValue(kv.key, b"", kv.create_revision, kv.mod_revision, kv.version, kv.lease)
