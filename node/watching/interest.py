"""Who wants to know of a key: watches grouped by what they follow, found by the key in a few look-ups.

Why it exists: of thousands of watches a write concerns few, and those that follow the same share one list of recent
events. It must not decide what a watch has been told.

A range is mostly a prefix; those are found by the beginnings of the key, one look-up for each length that a prefix has.
"""

from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

from node.statemachine.writes import prefix_end
from node.watching.events import Event

if TYPE_CHECKING:
    from node.watching.watch import Watch

Told = tuple[int, list[Event]]
"""A revision and what of it a group wants."""

Shape = tuple[bytes, bytes] | int | None
"""What of a range is looked at for each key that is written: a range that is no prefix itself, the length of a prefix;
of a key alone nothing."""

_REVISION = itemgetter(0)


def shape_of(start: bytes, end: bytes) -> Shape:
    """Of [start, end)."""
    if not end:
        return None
    return len(start) if start and end == prefix_end(start) else (start, end)


class Group:
    """All watches of [start, end): of `start` alone where `end` is empty, of everything from it on where it is a zero.
    `recent` has all that changed since the revision `since`, as far as the hub has come."""

    __slots__ = ("end", "recent", "since", "start", "watches")

    def __init__(self, start: bytes, end: bytes, since: int) -> None:
        self.start = start
        self.end = end
        self.since = since
        self.watches: dict[Watch, None] = {}
        self.recent: list[Told] | None = None

    def contains(self, key: bytes) -> bool:
        """Whether it follows that key."""
        if not self.end:
            return key == self.start
        return key >= self.start and (key < self.end or self.end == b"\0")

    def after(self, revision: int) -> int:
        """The place in `recent` of what came after that revision."""
        recent = self.recent
        return 0 if recent is None else bisect_left(recent, revision + 1, key=_REVISION)


class Interests:
    """Groups by what they follow, and by the keys that they follow."""

    def __init__(self) -> None:
        self._groups: dict[tuple[bytes, bytes], Group] = {}
        self._exact: dict[bytes, Group] = {}
        self._prefixes: dict[bytes, Group] = {}
        self._prefix_lengths: dict[int, int] = {}
        """How many prefixes have each length."""
        self._ranges: dict[tuple[bytes, bytes], Group] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def group(self, start: bytes, end: bytes, since: int) -> Group:
        """The group of that range; a new one knows all that changes since that revision."""
        group = self._groups.get((start, end))
        if group is None:
            group = self._groups[start, end] = Group(start, end, since)
            if not end:
                self._exact[start] = group
            elif isinstance(shape_of(start, end), int):
                self._prefixes[start] = group
                self._prefix_lengths[len(start)] = self._prefix_lengths.get(len(start), 0) + 1
            else:
                self._ranges[start, end] = group
        return group

    def drop(self, group: Group) -> None:
        """Nobody is in it any more."""
        start, end = group.start, group.end
        group.recent = None
        del self._groups[start, end]
        if not end:
            del self._exact[start]
        elif self._prefixes.get(start) is group:
            del self._prefixes[start]
            self._prefix_lengths[len(start)] -= 1
            if not self._prefix_lengths[len(start)]:
                del self._prefix_lengths[len(start)]
        else:
            del self._ranges[start, end]

    def of(self, key: bytes) -> list[Group]:
        """Those that follow `key`."""
        found = []
        exact = self._exact.get(key)
        if exact is not None:
            found.append(exact)
        prefixes = self._prefixes
        if prefixes:
            for length in self._prefix_lengths:
                group = prefixes.get(key[:length])
                if group is not None and len(key) >= length:
                    found.append(group)
        if self._ranges:
            found += [group for group in self._ranges.values() if group.contains(key)]
        return found

    @property
    def cost(self) -> int:
        """Of asking for one key, in look-ups."""
        return 1 + len(self._prefix_lengths) + len(self._ranges)
