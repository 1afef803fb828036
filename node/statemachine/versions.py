"""Every kept version of every key: the multi-version map below the store.

Why it exists: the store decides what a write means, this decides where versions live and when they go. It must
not know writes or errors: revisions given to it are valid.

Shape: the newest version of each remembered key, living or a tombstone, by key, and all these keys in order;
earlier versions beside it. Whoever reads says as of which revision, and steps over what is newer: so a reader that
takes many turns, and everybody while an entry is applied in many turns, sees one revision. A compaction is a number
that takes effect at once; what it freed is removed a bounded number of versions at a time, and not while a reader
may still see it.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from weakref import WeakKeyDictionary

import msgspec

from node.statemachine.bykey import ByKey
from node.statemachine.history import History
from node.statemachine.ordered import OrderedKeys
from node.statemachine.superseded import Superseded
from node.statemachine.superseding import Superseding
from node.statemachine.writes import KeyValue

FIRST_REVISION = 1
"""The revision of an empty store."""

VERSION_BYTES = 200
"""What a version takes in memory beside its key and value, about."""

FREED_BYTES_PER_STEP = 64 * 1024
"""Bytes of values that are let go for one step."""

STEPS_PER_TABLE = 512
"""What it counts to let an emptied part of a table of keys go: with a million keys it has a megabyte."""


class Versions:
    """Versions by key and revision. A revision argument must not lie below `compacted`, unless it is held."""

    def __init__(self) -> None:
        self.compacted = -1
        """Revisions below it are not readable any more; -1: never compacted."""
        self.last = FIRST_REVISION
        """The revision of the last change."""
        self.size_bytes = 0
        """Keys, values and `VERSION_BYTES` of all versions that are in memory."""
        self._newest: ByKey[KeyValue] = ByKey()
        self._keys = OrderedKeys(lambda key: self._newest.part(key)[key].version != 0)
        self._older = Superseded()
        self._superseding = Superseding()
        self.changes = History()
        """Which keys each revision from `compacted` on changed."""
        self._loaded: KeyValue | None = None
        """The last one that was loaded."""
        self._held: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    @property
    def living(self) -> int:
        """Keys that live after the last change."""
        return self._keys.living

    def at(self, key: bytes, revision: int) -> KeyValue | None:
        """The version that was living at `revision`, or None."""
        kv = self._newest.part(key).get(key)
        if kv is not None and kv.mod_revision > revision:
            kv = self._older.at(key, revision)
        return kv if kv is not None and kv.version else None

    def put(self, key: bytes, value: bytes, lease: int, revision: int) -> KeyValue | None:
        """Add a version; returns the living one that it replaced."""
        self.last = revision
        self.size_bytes += len(key) + len(value) + VERSION_BYTES
        newest = self._newest.part(key)
        previous = newest.get(key)
        if previous is None:
            newest[key] = KeyValue(key, value, revision, revision, 1, lease)
            self._keys.add(key)
            self.changes.add(revision, key)
            return None
        if previous.version:
            kv = KeyValue(previous.key, value, previous.create_revision, revision, previous.version + 1, lease)
        else:
            kv = KeyValue(previous.key, value, revision, revision, 1, lease)
            self._keys.revive(key)
        newest[key] = kv
        self._older.add(previous, revision)
        self.changes.add(revision, previous.key)
        return previous if previous.version else None

    def delete(
        self, start: bytes, end: bytes | None, revision: int, keys_max: int
    ) -> tuple[list[KeyValue], bytes | None, int]:
        """Delete the first living keys of [start, end), after looking at `keys_max` keys at most. What they were,
        where to go on (None: that was all), and how many keys were seen. `end` None: to the last."""
        keys, following = self._keys.piece(start, end, keys_max, living=True)
        doomed = [kv for kv in self._newest.of(keys) if kv.version]
        if doomed:
            self._bury(doomed, revision)
            self._keys.bury(doomed[0].key, len(doomed))
        return doomed, following, len(keys)

    def delete_leased(self, keys: Sequence[bytes], lease: int, revision: int) -> int:
        """Delete those of `keys` that live and have that lease; how many did."""
        doomed = [kv for kv in self._newest.some_of(keys) if kv is not None and kv.version and kv.lease == lease]
        if doomed:
            self._bury(doomed, revision)
            for kv in doomed:
                self._keys.bury(kv.key)
        return len(doomed)

    def _bury(self, doomed: Sequence[KeyValue], revision: int) -> None:
        """All but what `_keys` knows of it."""
        self.last = revision
        changed, supersede, part_of = self.changes.add, self._older.add, self._newest.part
        key_bytes = 0
        for kv in doomed:
            key = kv.key
            supersede(kv, revision)
            changed(revision, key)
            part_of(key)[key] = KeyValue(key, b"", 0, revision, 0)
            key_bytes += len(key)
        self.size_bytes += key_bytes + VERSION_BYTES * len(doomed)

    def look(
        self, start: bytes, end: bytes | None, revision: int, keys_max: int
    ) -> tuple[list[KeyValue], bytes | None, int]:
        """What of [start, end) was living at `revision`, after looking at `keys_max` keys at most: versions in order,
        where to go on (None: that was all), and the work of it in keys that were seen. `end` None: to the last."""
        present = revision >= self.last
        keys, following = self._keys.piece(start, end, keys_max, living=present)
        newest = self._newest.of(keys)
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
        unseen = min(self._held.values(), default=self.compacted) if self._held else self.compacted
        steps = 0
        while self._superseding and steps < steps_max:
            due = self._superseding.pop(unseen)
            if due is None:
                return steps
            address, key = (due, self._older.key(due)) if isinstance(due, int) else (None, due)
            steps += self._purge(address, key, unseen)
        if steps < steps_max:
            for at, key in self._older.due(unseen):
                steps += self._purge(at, key, unseen)
                if steps >= steps_max:
                    break
        if steps < steps_max:
            steps += self.changes.cut(unseen, steps_max - steps)
        return steps

    def _purge(self, address: int | None, key: bytes, unseen: int) -> int:
        """The superseded version there goes (None: a tombstone that superseded none), and with it a tombstone that
        superseded it, which is not there any more when its own turn comes; and of `key` the newest version, if it is a
        tombstone and all that is left. Returns the steps."""
        older = self._older
        versions, value_bytes = older.drop(key, address) if address is not None else older.drop_tombstone(key, unseen)
        part = self._newest.part(key)
        newest = part.get(key)
        if newest is not None and not newest.version and newest.mod_revision <= unseen and not older.has(key):
            del part[key]
            self._keys.remove(key)
            versions += 1
        self.size_bytes -= value_bytes + versions * (len(key) + VERSION_BYTES)
        return 1 + value_bytes // FREED_BYTES_PER_STEP

    # --- the whole state -------------------------------------------------------------------------------------

    def keys(self, start: bytes, keys_max: int) -> tuple[list[bytes], bytes | None]:
        """The first remembered keys from `start` on, at most `keys_max`, and where to go on (None: that was all)."""
        return self._keys.piece(start, None, keys_max)

    def soles(self, keys: Sequence[bytes]) -> list[KeyValue | None]:
        """The only version of each key, tombstones included; None where there are several, or none."""
        newest, several = self._newest.some_of(keys), self._older.are_in(keys)
        return [None if others else kv for kv, others in zip(newest, several, strict=True)]

    def few(self, key: bytes, count_max: int) -> list[KeyValue] | None:
        """All that is kept of `key`, tombstones included, oldest first; None where that is more than a few: `count_max`
        and the newest."""
        found = self._older.few(key, count_max)
        newest = self._newest.part(key).get(key)
        if found is not None and newest is not None:
            found.append(newest)
        return found

    def history(self, key: bytes, after: int, until: int, count_max: int) -> list[KeyValue]:
        """What was written to `key` after the revision `after` and not after `until`, tombstones included: the first
        ones, `count_max` at most and not all that there are, oldest first. None: there are none. Of several of one
        revision, the last."""
        newest = self._newest.part(key).get(key)
        if newest is None or newest.mod_revision <= after:
            return []
        found = self._older.following(key, after, min(until, newest.mod_revision - 1), count_max)
        return found or ([newest] if newest.mod_revision <= until else [])

    def load(self, kvs: Sequence[KeyValue]) -> None:
        """The next ones of a whole state, which replace nothing: in the order of keys, those of a key oldest first.
        `last` and `compacted` are set."""
        keys = [kv.key for kv in kvs]
        before, new = self._loaded, list[bytes]()
        load_older, supersede = self._older.load, self._superseding.load
        compacted, changed = self.compacted, self.changes.add
        for kv, key in zip(kvs, keys, strict=True):
            if before is None or before.key != key:
                new.append(key)
                if not kv.version:
                    self._keys.append(new)
                    new = []
                    self._keys.bury(key)
                    supersede(key, kv.mod_revision)
            else:
                supersede(load_older(before), kv.mod_revision)
                if not (kv.version and before.version):
                    self._keys.append(new)
                    new = []
                    self._changed_life(before, kv)
            if kv.mod_revision >= compacted:
                changed(kv.mod_revision, kv.key)
            before = kv
        self._loaded = before
        self._keys.append(new)
        self._newest.keep(keys, kvs)
        self.size_bytes += sum(map(len, keys)) + sum(len(kv.value) for kv in kvs) + VERSION_BYTES * len(kvs)

    def _changed_life(self, before: KeyValue, kv: KeyValue) -> None:
        if before.version:
            self._keys.bury(kv.key)
        elif kv.version:
            self._keys.revive(kv.key)

    @property
    def held(self) -> bool:
        """Whether somebody reads in here."""
        return bool(self._held)

    def emptying(self) -> Iterator[int]:
        """Let everything go, piece by piece, and tell for each in how many steps. Nobody may read in here any more."""
        while self._superseding.pop(sys.maxsize) is not None:
            yield 1
        yield from self.changes.emptying()
        for freed_bytes in self._older.emptying():
            yield 1 + freed_bytes // FREED_BYTES_PER_STEP
        for part in self._newest.parts:
            while part:
                yield 1 + len(part.popitem()[1].value) // FREED_BYTES_PER_STEP
        for keys in self._keys.emptying():
            yield len(keys)
        for _ in chain(self._newest.clearing(), self._older.clearing()):
            yield STEPS_PER_TABLE

    @property
    def stored(self) -> int:
        """Versions in memory, tombstones and not yet removed ones included; walks everything: for tests."""
        return len(self._newest) + len(self._older)

    def digest(self) -> str:
        """A hash (hex) of all that readers at any revision can see; walks everything: for tests."""
        state = hashlib.sha256(msgspec.msgpack.encode((self.last, self.compacted)))
        for key in sorted(key for part in self._newest.parts for key in part):
            newest = self._newest.part(key)[key]
            kept = list({kv.mod_revision: kv for kv in (*self._older.of(key), newest)}.values())
            passed = sum(kv.mod_revision <= self.compacted for kv in kept)
            first = passed - 1 if passed and kept[passed - 1].version else passed
            for kv in kept[first:]:
                state.update(msgspec.msgpack.encode(kv))
        return state.hexdigest()
