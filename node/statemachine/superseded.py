"""The superseded versions of all keys, oldest first: what the past is read from.

Why it exists: one key may have a million of them, and neither adding, finding nor dropping one may then take longer.
It must not decide which may go.

Shape: versions are packed (`packed.py`), so a key has addresses. Most keys have one, which stands for itself; more are
an array; of every `PIECE_VERSIONS_MAX` that are complete an array is put aside. Python's collector walks over none.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from node.statemachine.bykey import ByKey
from node.statemachine.packed import TOMBSTONE, Packed
from node.statemachine.untracked import untracked
from node.statemachine.writes import KeyValue

PIECE_VERSIONS_MAX = 512
"""Versions in one array: dropping the oldest of it moves the others."""

Addresses: TypeAlias = "array[int]"


class Superseded:
    """Versions by key, in the order in which they were added, which is that of their revisions."""

    def __init__(self) -> None:
        self._packed = Packed()
        self._revision = self._packed.revision
        self._last: ByKey[int | Addresses] = ByKey()
        self._full: dict[bytes, list[Addresses]] = {}

    def add(self, kv: KeyValue, superseded_at: int) -> None:
        """The newest of the superseded versions of its key was just superseded, at that revision."""
        self._append(kv.key, self._packed.add(kv, superseded_at))

    def load(self, kv: KeyValue) -> int:
        """Likewise, before anything is added; when it was superseded must be remembered elsewhere. Its address."""
        address = self._packed.load(kv)
        self._append(kv.key, address)
        return address

    def _append(self, key: bytes, address: int) -> None:
        part = self._last.part(key)
        last = part.get(key)
        if last is None:
            part[key] = address
        elif isinstance(last, int):
            part[key] = untracked(array("q", (last, address)))
            untracked(part)
        elif len(last) < PIECE_VERSIONS_MAX:
            last.append(address)
        else:
            self._full.setdefault(key, []).append(last)
            part[key] = address

    def at(self, key: bytes, revision: int) -> KeyValue | None:
        """The last version of `key` in here that was written at `revision` or before it."""
        last = self._last.part(key).get(key)
        if last is None:
            return None
        if isinstance(last, int):
            if self._revision(last) <= revision:
                return self._packed.get(key, last)
        elif position := bisect_right(last, revision, key=self._revision):
            return self._packed.get(key, last[position - 1])
        full = self._full.get(key)
        piece = bisect_right(full, revision, key=self._first_revision) if full else 0
        if not full or not piece:
            return None
        found = full[piece - 1]
        return self._packed.get(key, found[bisect_right(found, revision, key=self._revision) - 1])

    def oldest(self, key: bytes) -> KeyValue | None:
        """The oldest version of `key` in here."""
        return next(self.of(key), None)

    def few(self, key: bytes, count_max: int) -> list[KeyValue] | None:
        """All versions of `key` in here, oldest first; None where they are more than `count_max`, which must not be
        above `PIECE_VERSIONS_MAX`."""
        if self._full and key in self._full:
            return None
        last = self._last.part(key).get(key)
        if last is None:
            return []
        addresses = (last,) if isinstance(last, int) else last
        get = self._packed.get
        return [get(key, address) for address in addresses] if len(addresses) <= count_max else None

    def due(self, revision: int) -> Iterator[tuple[int, bytes]]:
        """See `Packed.due`."""
        return self._packed.due(revision)

    def key(self, address: int) -> bytes:
        """See `Packed.key`."""
        return self._packed.key(address)

    def drop(self, key: bytes, address: int) -> tuple[int, int]:
        """Forget that version of `key`, if it is the oldest that is left, and with it a tombstone that superseded it.
        How many went, and how many bytes of values."""
        part = self._last.part(key)
        last = part.get(key)
        if last is None or (self._full and key in self._full):
            return self._drop_of_many(key, address)
        if isinstance(last, int):
            if last != address:
                return 0, 0
            del part[key]
            return 1, self._packed.drop(address)
        if last[0] != address:
            return 0, 0
        versions = 1
        del last[0]
        if last and last[0] & TOMBSTONE:
            self._packed.drop(last.pop(0))
            versions = 2
        if not last:
            del part[key]
        return versions, self._packed.drop(address)

    def _drop_of_many(self, key: bytes, address: int) -> tuple[int, int]:
        if self._first(key) != address:
            return 0, 0
        value_bytes = self._drop_first(key)
        following = self._first(key)
        if following is None or not following & TOMBSTONE:
            return 1, value_bytes
        return 2, value_bytes + self._drop_first(key)

    def drop_tombstone(self, key: bytes, revision: int) -> tuple[int, int]:
        """Forget the oldest version of `key`, if it is a tombstone from `revision` or before it; likewise."""
        first = self._first(key)
        if first is None or not first & TOMBSTONE or self._revision(first) > revision:
            return 0, 0
        return 1, self._drop_first(key)

    def _first(self, key: bytes) -> int | None:
        full = self._full.get(key) if self._full else None
        first = full[0] if full else self._last.part(key).get(key)
        return first if first is None or isinstance(first, int) else first[0]

    def _drop_first(self, key: bytes) -> int:
        full = self._full.get(key) if self._full else None
        if full:
            address = full[0].pop(0)
            if not full[0]:
                del full[0]
                if not full:
                    del self._full[key]
            return self._packed.drop(address)
        part = self._last.part(key)
        last = part[key]
        if isinstance(last, int):
            del part[key]
            return self._packed.drop(last)
        address = last.pop(0)
        if not last:
            del part[key]
        return self._packed.drop(address)

    def has(self, key: bytes) -> bool:
        """Whether `key` has versions in here."""
        return key in self._last.part(key) or key in self._full

    def are_in(self, keys: Iterable[bytes]) -> list[bool]:
        """Whether each of these keys has versions in here."""
        return [last is not None for last in self._last.some_of(keys)]

    def following(self, key: bytes, after: int, until: int, count_max: int) -> list[KeyValue]:
        """Versions of `key` in here that were written after the revision `after` and not after `until`: the first
        ones, `count_max` at most and not all that there are, oldest first. None: there are none. Of several of one
        revision, the last."""
        piece = self._piece_after(key, after)
        first = bisect_right(piece, after, key=self._revision)
        wanted = (self._packed.get(key, address) for address in piece[first : first + count_max])
        by_revision = {kv.mod_revision: kv for kv in wanted if kv.mod_revision <= until}
        found = list(by_revision.values())
        if found:
            found[-1] = self.at(key, found[-1].mod_revision) or found[-1]
        return found

    def _piece_after(self, key: bytes, revision: int) -> Sequence[int]:
        """The versions of which the first one after `revision` is one, if there is one."""
        full = self._full.get(key, [])
        piece = bisect_right(full, revision, key=self._first_revision)
        if piece and self._revision(full[piece - 1][-1]) > revision:
            return full[piece - 1]
        if piece < len(full):
            return full[piece]
        last = self._last.part(key).get(key)
        return () if last is None else (last,) if isinstance(last, int) else last

    def _first_revision(self, piece: Addresses) -> int:
        return self._revision(piece[0])

    def _pieces(self, key: bytes) -> Iterator[Sequence[int]]:
        yield from self._full.get(key, ())
        last = self._last.part(key).get(key)
        if last is not None:
            yield (last,) if isinstance(last, int) else last

    def emptying(self) -> Iterator[int]:
        """Let everything go, piece by piece, and tell for each how many bytes of values went."""
        while self._full:
            _, pieces = self._full.popitem()
            while pieces:
                pieces.pop()
                yield 0
        for part in self._last.parts:
            while part:
                part.popitem()
                yield 0
        yield from self._packed.emptying()

    @property
    def block_bytes(self) -> int:
        """What the blocks of all versions take: for tests."""
        return self._packed.bytes

    def clearing(self) -> Iterator[None]:
        """Once it is empty: let its memory go, piece by piece."""
        return self._last.clearing()

    def of(self, key: bytes) -> Iterator[KeyValue]:
        """All versions of `key` in here, oldest first."""
        for piece in self._pieces(key):
            for address in piece:
                yield self._packed.get(key, address)

    def __len__(self) -> int:
        return sum(sum(map(len, self._pieces(key))) for part in self._last.parts for key in part)
