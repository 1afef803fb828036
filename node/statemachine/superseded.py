"""The superseded versions of all keys, oldest first: what the past is read from.

Why it exists: one key may have a million of them, and neither adding, finding nor dropping one may then take longer.
It must not decide which may go.

Shape: most keys have one, which stands for itself; more are a list; of every `PIECE_VERSIONS_MAX` that are complete a
list is put aside. Python's collector walks over none of them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter

from node.statemachine.bykey import ByKey
from node.statemachine.untracked import untracked
from node.statemachine.writes import KeyValue

PIECE_VERSIONS_MAX = 512
"""Versions in one list: dropping the oldest of it moves the others."""

_REVISION = attrgetter("mod_revision")


def _first_revision(piece: list[KeyValue]) -> int:
    return piece[0].mod_revision


class Superseded:
    """Versions by key, in the order in which they were added, which is that of their revisions."""

    def __init__(self) -> None:
        self._last: ByKey[KeyValue | list[KeyValue]] = ByKey()
        self._full: dict[bytes, list[list[KeyValue]]] = {}

    def add(self, kv: KeyValue) -> None:
        """The newest of the superseded versions of its key."""
        part = self._last.part(kv.key)
        last = part.get(kv.key)
        if last is None:
            part[kv.key] = kv
        elif not isinstance(last, list):
            part[kv.key] = untracked([last, kv])
            untracked(part)
        elif len(last) < PIECE_VERSIONS_MAX:
            last.append(kv)
        else:
            self._full.setdefault(kv.key, []).append(last)
            part[kv.key] = kv

    def at(self, key: bytes, revision: int) -> KeyValue | None:
        """The last version of `key` in here that was written at `revision` or before it."""
        last = self._last.part(key).get(key)
        if last is None:
            return None
        if not isinstance(last, list):
            if last.mod_revision <= revision:
                return last
            last = []
        position = bisect_right(last, revision, key=_REVISION)
        if position:
            return last[position - 1]
        full = self._full.get(key)
        piece = bisect_right(full, revision, key=_first_revision) if full else 0
        if not full or not piece:
            return None
        return full[piece - 1][bisect_right(full[piece - 1], revision, key=_REVISION) - 1]

    def oldest(self, key: bytes) -> KeyValue | None:
        """The oldest version of `key` in here."""
        full = self._full.get(key)
        oldest = full[0] if full else self._last.part(key).get(key)
        return oldest[0] if isinstance(oldest, list) else oldest

    def drop_oldest(self, key: bytes) -> KeyValue:
        """Forget it; there is one. What it was."""
        full = self._full.get(key)
        if full:
            dropped = full[0].pop(0)
            if not full[0]:
                del full[0]
                if not full:
                    del self._full[key]
            return dropped
        part = self._last.part(key)
        last = part[key]
        if isinstance(last, list) and len(last) > 1:
            return last.pop(0)
        del part[key]
        return last[0] if isinstance(last, list) else last

    def are_in(self, keys: Iterable[bytes]) -> list[bool]:
        """Whether each of these keys has versions in here."""
        return [last is not None for last in self._last.some_of(keys)]

    def following(self, key: bytes, after: int, until: int, count_max: int) -> list[KeyValue]:
        """Versions of `key` in here that were written after the revision `after` and not after `until`: the first
        ones, `count_max` at most and not all that there are, oldest first. None: there are none. Of several of one
        revision, the last."""
        piece = self._piece_after(key, after)
        first = bisect_right(piece, after, key=_REVISION)
        by_revision = {kv.mod_revision: kv for kv in piece[first : first + count_max] if kv.mod_revision <= until}
        found = list(by_revision.values())
        if found:
            found[-1] = self.at(key, found[-1].mod_revision) or found[-1]
        return found

    def _piece_after(self, key: bytes, revision: int) -> list[KeyValue]:
        """The versions of which the first one after `revision` is one, if there is one."""
        full = self._full.get(key, [])
        piece = bisect_right(full, revision, key=_first_revision)
        if piece and full[piece - 1][-1].mod_revision > revision:
            return full[piece - 1]
        if piece < len(full):
            return full[piece]
        last = self._last.part(key).get(key)
        return last if isinstance(last, list) else [] if last is None else [last]

    def emptying(self) -> Iterator[KeyValue]:
        """All versions in here, each taken out before it is told."""
        while self._full:
            _, pieces = self._full.popitem()
            while pieces:
                piece = pieces.pop()
                while piece:
                    yield piece.pop()
        for part in self._last.parts:
            while part:
                _, last = part.popitem()
                if isinstance(last, list):
                    while last:
                        yield last.pop()
                else:
                    yield last

    def clearing(self) -> Iterator[None]:
        """Once it is empty: let its memory go, piece by piece."""
        return self._last.clearing()

    def of(self, key: bytes) -> Iterator[KeyValue]:
        """All versions of `key` in here, oldest first."""
        for piece in self._full.get(key, ()):
            yield from piece
        last = self._last.part(key).get(key)
        if isinstance(last, list):
            yield from last
        elif last is not None:
            yield last

    def __len__(self) -> int:
        return sum(sum(1 for _ in self.of(key)) for part in self._last.parts for key in part)
