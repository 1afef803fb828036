"""Every kept version of every key: the multi-version map below the store.

Why it exists: the store decides what a write means, this decides where versions live and when they go. It must
not know writes or errors: revisions given to it are valid.

Shape: the newest version of each remembered key, living or a tombstone, in a dictionary, and all these keys in order;
earlier versions beside it. Whoever reads says as of which revision, and steps over what is newer: so a reader that
takes many turns, and everybody while an entry is applied in many turns, sees one revision. A compaction is a number
that takes effect at once; what it freed is removed a bounded number of versions at a time, and not while a reader
may still see it.
"""

import hashlib
from collections import deque
from weakref import WeakKeyDictionary

import msgspec

from node.statemachine.ordered import OrderedKeys
from node.statemachine.superseded import Superseded
from node.statemachine.untracked import untracked
from node.statemachine.writes import KeyValue

FIRST_REVISION = 1
"""The revision of an empty store."""


class Versions:
    """Versions by key and revision. A revision argument must not lie below `compacted`, unless it is held."""

    def __init__(self) -> None:
        self.compacted = -1
        """Revisions below it are not readable any more; -1: never compacted."""
        self.last = FIRST_REVISION
        """The revision of the last change."""
        self._newest: dict[bytes, KeyValue] = {}
        self._keys = OrderedKeys(lambda key: self._newest[key].version != 0)
        self._older = Superseded()
        self._superseding: deque[KeyValue] = untracked(deque())
        self._held: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    @property
    def living(self) -> int:
        """Keys that live after the last change."""
        return self._keys.living

    def at(self, key: bytes, revision: int) -> KeyValue | None:
        """The version that was living at `revision`, or None."""
        kv = self._newest.get(key)
        if kv is not None and kv.mod_revision > revision:
            kv = self._older.at(key, revision)
        return kv if kv is not None and kv.version else None

    def put(self, key: bytes, value: bytes, lease: int, revision: int) -> KeyValue | None:
        """Add a version; returns the living one that it replaced."""
        self.last = revision
        previous = self._newest.get(key)
        if previous is None:
            self._newest[key] = KeyValue(key, value, revision, revision, 1, lease)
            self._keys.add(key)
            return None
        if previous.version:
            kv = KeyValue(key, value, previous.create_revision, revision, previous.version + 1, lease)
        else:
            kv = KeyValue(key, value, revision, revision, 1, lease)
            self._keys.revive(key)
        self._newest[key] = kv
        self._older.add(previous)
        self._superseding.append(kv)
        return previous if previous.version else None

    def delete(
        self, start: bytes, end: bytes | None, revision: int, keys_max: int
    ) -> tuple[list[KeyValue], bytes | None, int]:
        """Delete the first living keys of [start, end), after looking at `keys_max` keys at most. What they were,
        where to go on (None: that was all), and how many keys were seen. `end` None: to the last."""
        keys, following = self._keys.piece(start, end, keys_max, living=True)
        doomed = [kv for kv in map(self._newest.__getitem__, keys) if kv.version]
        if doomed:
            self.last = revision
            tombstones = [KeyValue(kv.key, b"", 0, revision, 0) for kv in doomed]
            self._newest.update((kv.key, kv) for kv in tombstones)
            for kv in doomed:
                self._older.add(kv)
            self._superseding.extend(tombstones)
            self._keys.bury(doomed[0].key, len(doomed))
        return doomed, following, len(keys)

    def look(
        self, start: bytes, end: bytes | None, revision: int, keys_max: int
    ) -> tuple[list[KeyValue], bytes | None, int]:
        """What of [start, end) was living at `revision`, after looking at `keys_max` keys at most: versions in order,
        where to go on (None: that was all), and the work of it in keys that were seen. `end` None: to the last."""
        present = revision >= self.last
        keys, following = self._keys.piece(start, end, keys_max, living=present)
        newest = map(self._newest.__getitem__, keys)
        if present:
            return [kv for kv in newest if kv.version], following, len(keys)
        older = self._older.at
        seen = [kv if kv.mod_revision <= revision else older(kv.key, revision) for kv in newest]
        return [kv for kv in seen if kv is not None and kv.version], following, 2 * len(keys)

    def count(self, start: bytes, end: bytes | None) -> int:
        """How many keys of [start, end) live after the last change, without a walk over them."""
        return self._keys.count(start, end)

    def compact(self, revision: int) -> None:
        """Keep only what a reader at `revision` or later can see."""
        self.compacted = revision

    def hold(self, reader: object) -> None:
        """Remove nothing that can be read now, until `release`, or until `reader` is garbage."""
        self._held[reader] = self.compacted

    def release(self, reader: object) -> None:
        """`reader` reads no more; no harm where it did not."""
        self._held.pop(reader, None)

    def purge(self, steps_max: int) -> int:
        """Remove a part of what compaction freed, a version a step; invisible to every reader. Returns the steps."""
        queue = self._superseding
        unseen = min(self._held.values(), default=self.compacted)
        steps = 0
        while steps < steps_max and queue and queue[0].mod_revision <= unseen:
            steps += 1
            self._purge(queue.popleft())
        return steps

    def _purge(self, by: KeyValue) -> None:
        """Nobody reads a revision before `by` any more: what it superseded goes, and it itself if it is a tombstone.
        (A tombstone that went so is not there any more when its own turn as the superseded one comes.)"""
        key = by.key
        oldest = self._older.oldest(key)
        if oldest is not None and oldest is not by:
            self._older.drop_oldest(key)
        if by.version:
            return
        if self._newest[key] is by:
            del self._newest[key]
            self._keys.remove(key)
        elif self._older.oldest(key) is by:
            self._older.drop_oldest(key)

    @property
    def stored(self) -> int:
        """Versions in memory, tombstones and not yet removed ones included; walks everything: for tests."""
        return len(self._newest) + len(self._older)

    def digest(self) -> str:
        """A hash (hex) of all that readers at any revision can see; walks everything: for tests."""
        state = hashlib.sha256(msgspec.msgpack.encode((self.last, self.compacted)))
        for key in sorted(self._newest):
            kept = [*self._older.of(key), self._newest[key]]
            passed = sum(kv.mod_revision <= self.compacted for kv in kept)
            first = passed - 1 if passed and kept[passed - 1].version else passed
            for kv in kept[first:]:
                state.update(msgspec.msgpack.encode(kv))
        return state.hexdigest()
