"""Where the log stands after each frame, and with which segments a log may begin.

Why it exists: a log ends at its beginning too. Once a snapshot holds what the first segments do, they go; what is left
must be a whole log, so its first segment has to say what came before: its *start*. Whoever writes frames, and whoever
reads them at a start, passes them through here. It must not know files.
"""

import msgspec

from node.raft.types import UNBORN, Base, Configuration, Entry, EntryKind, base_of_birth
from node.storage.frames import FrameBody, Malformed


class Starts:
    """`end` is the base that would follow the last frame; None while that cannot be said, which is after a truncation
    that no entry followed: what came before is known to the core alone, and the next entry ends it."""

    def __init__(self) -> None:
        self.end: Base | None = UNBORN
        self._before = UNBORN
        """The base before all of it: what it says of the cluster holds for every start."""
        self._configurations = [(0, UNBORN.configuration)]
        """The base's, and each one in the log, with the index from which on it holds; never empty."""
        self._starts: list[tuple[int, int]] = []
        """Number and index of each segment's start, ascending: a truncation takes those away that it reaches behind."""

    def take(self, segment: int, body: FrameBody) -> None:
        """`body` was written to `segment`, or read there."""
        if body.start is not None:
            if not self._before.cluster_id:
                self._begin(body.start)
            self._starts.append((segment, body.start.index))
        if body.base is not None:
            self._begin(body.base)
            self._starts.append((segment, body.base.index))
        if body.truncate_from is not None:
            self._truncate(body.truncate_from)
        if body.entries:
            self._append(body)

    def removable(self, index: int, first: int) -> int:
        """With which segment the log may begin where nobody needs entries up to `index`; `first`: with no later one."""
        return next((segment for segment, start in reversed(self._starts) if start <= index), first)

    def removed(self, segment: int) -> None:
        """The log begins with `segment` now."""
        index = max((start for number, start in self._starts if number <= segment), default=0)
        self._starts = [start for start in self._starts if start[0] > segment]
        while len(self._configurations) > 1 and self._configurations[1][0] <= index:
            del self._configurations[0]

    def _begin(self, base: Base) -> None:
        self.end = self._before = base
        self._configurations = [(base.index, base.configuration)]

    def _truncate(self, index: int) -> None:
        self._starts = [start for start in self._starts if start[1] < index]
        while len(self._configurations) > 1 and self._configurations[-1][0] >= index:
            self._configurations.pop()
        self.end = None

    def _append(self, body: FrameBody) -> None:
        for entry in body.entries:
            if entry.kind is EntryKind.CONFIGURATION:
                self._configurations.append((entry.index, _configuration_of(entry)))
        if not self._before.cluster_id:
            self._before = base_of_birth(body.entries[0])
        last, before = body.entries[-1], self._before
        in_force = self._configurations[-1][1]
        self.end = Base(last.index, last.term, last.time_us, in_force, before.cluster_id, before.birth)


def _configuration_of(entry: Entry) -> Configuration:
    try:
        return Configuration.decode(entry.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the configuration of entry {entry.index} cannot be read ({error})") from error
