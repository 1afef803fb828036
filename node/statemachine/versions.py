"""Every kept version of every key: the multi-version map below the store.

Why it exists: the store decides what a command means, this decides where versions live and when they go. It must
not know commands or errors: revisions given to it are valid.

Shape: the newest versions in two ordered maps, one of living keys and one of tombstones, so that reading the
present never steps over the dead; earlier versions in plain lists a key, oldest first. A compaction is a number
that takes effect at once; what it freed is removed a bounded number of versions at a time, because one step that
removes a million would stop the heartbeats.
"""

import hashlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter

import msgspec
from sortedcontainers import SortedDict

from node.statemachine.commands import KeyValue

PURGE_STEPS_PER_APPLY = 512
"""Superseded versions looked at after each batch of commands, to remove what compaction freed."""

_REVISION = attrgetter("mod_revision")


class Versions:
    """Versions by key and revision. A revision argument must not lie below `compacted`."""

    def __init__(self) -> None:
        self.compacted = -1
        """Revisions below it are not readable any more; -1: never compacted."""
        self._live: SortedDict[bytes, KeyValue] = SortedDict()
        self._dead: SortedDict[bytes, KeyValue] = SortedDict()
        self._older: dict[bytes, list[KeyValue]] = {}
        self._superseding: deque[KeyValue] = deque()

    def newest(self, key: bytes) -> KeyValue | None:
        """The living version, or None."""
        return self._live.get(key)

    def at(self, key: bytes, revision: int) -> KeyValue | None:
        """The version that was living at `revision`, or None."""
        newest = self._live.get(key) or self._dead.get(key)
        if newest is not None and newest.mod_revision > revision:
            older = self._older.get(key, [])
            position = bisect_right(older, revision, key=_REVISION)
            newest = older[position - 1] if position else None
        return newest if newest is not None and newest.version else None

    def put(self, key: bytes, value: bytes, lease: int, revision: int) -> KeyValue | None:
        """Add a version; returns the living one that it replaced."""
        previous = self._live.get(key)
        if previous is not None:
            kv = KeyValue(key, value, previous.create_revision, revision, previous.version + 1, lease)
            self._supersede(previous, kv)
        else:
            kv = KeyValue(key, value, revision, revision, 1, lease)
            tombstone = self._dead.pop(key, None)
            if tombstone is not None:
                self._supersede(tombstone, kv)
        self._live[key] = kv
        return previous

    def delete(self, key: bytes, revision: int) -> None:
        """Add a tombstone to a living key."""
        tombstone = KeyValue(key, b"", 0, revision, 0)
        self._supersede(self._live.pop(key), tombstone)
        self._dead[key] = tombstone

    def _supersede(self, previous: KeyValue, by: KeyValue) -> None:
        self._older.setdefault(by.key, []).append(previous)
        self._superseding.append(by)

    def present(self, key: bytes, end: bytes | None) -> Iterator[KeyValue]:
        """Living versions of [key, end) in order; `end` None: to the last. The map must not change meanwhile."""
        return map(self._live.__getitem__, self._live.irange(key, end, (True, False)))

    def past(self, key: bytes, end: bytes | None, revision: int) -> Iterator[KeyValue]:
        """The same as it was at `revision`. Steps over every key that exists or is remembered in the range."""
        bounds = (True, False)
        for candidate in merge(self._live.irange(key, end, bounds), self._dead.irange(key, end, bounds)):
            kv = self.at(candidate, revision)
            if kv is not None:
                yield kv

    def count(self, key: bytes, end: bytes | None) -> int:
        """How many keys of [key, end) are living, without a walk over them."""
        last = len(self._live) if end is None else self._live.bisect_left(end)
        return max(0, last - self._live.bisect_left(key))

    def compact(self, revision: int) -> None:
        """Keep only what a reader at `revision` or later can see."""
        self.compacted = revision

    def purge(self, steps: int = PURGE_STEPS_PER_APPLY) -> None:
        """Remove a part of what compaction freed; invisible to every reader."""
        queue = self._superseding
        while steps > 0 and queue and queue[0].mod_revision <= self.compacted:
            steps -= 1
            by = queue.popleft()
            older = self._older.get(by.key)
            if older is not None:
                del older[: self._hidden(older, by.key)]
                if not older:
                    del self._older[by.key]
            tombstone = self._dead.get(by.key)
            if tombstone is not None and tombstone.mod_revision <= self.compacted:
                del self._dead[by.key]

    def _hidden(self, older: list[KeyValue], key: bytes) -> int:
        """How many of `older` no reader at or after the compacted revision can see."""
        newest = self._live.get(key) or self._dead[key]
        if newest.mod_revision <= self.compacted:
            return len(older)
        passed = bisect_right(older, self.compacted, key=_REVISION)
        return passed - 1 if passed and older[passed - 1].version else passed

    @property
    def stored(self) -> int:
        """Versions in memory, tombstones and not yet removed ones included."""
        return len(self._live) + len(self._dead) + sum(map(len, self._older.values()))

    def digest(self, revision: int) -> str:
        """A hash (hex) of all that readers at any revision up to `revision` can see; walks everything: for tests."""
        state = hashlib.sha256(msgspec.msgpack.encode((revision, self.compacted)))
        for key in merge(self._live, self._dead):
            newest = self._live.get(key) or self._dead[key]
            older = self._older.get(key, [])
            seen = older[self._hidden(older, key) :]
            if newest.version or newest.mod_revision > self.compacted:
                seen = [*seen, newest]
            for kv in seen:
                state.update(msgspec.msgpack.encode(kv))
        return state.hexdigest()
