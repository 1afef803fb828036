"""Compacts the store's revisions by itself, as etcd does: what is older than so long, or than so many revisions.

Why it exists: every version of every key is kept until a compaction, so a store that is only written to would fill the
memory. Every node notes how far the store was at which time, so that whoever leads next knows it, too; the leader alone
proposes. What is lost with a restart is knowledge of the past: the next compaction then comes later, never earlier. It
must not decide what a compaction does.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from node.statemachine.writes import Compact, encode_write

NOTES_PER_RETENTION = 10
"""How often within the time that is kept the store is looked at: a tenth more than that time is kept at most."""

LOOK_SECONDS_MIN = 1.0
LOOK_SECONDS_BY_REVISION = 30.0
"""Between two looks where only revisions count."""


class Compactable(Protocol):
    """What is asked of the store."""

    @property
    def revision(self) -> int: ...
    @property
    def compact_revision(self) -> int: ...


class AutoCompaction:
    """`leads`: whether this node does. `propose` puts a write into the log and forgets it: where that fails, the next
    look does it. `later(seconds, action)`: until the node stops. `keep_seconds`, and `keep_revisions` counted from the
    newest: 0: whatever is older stays."""

    def __init__(
        self,
        leads: Callable[[], bool],
        store: Compactable,
        propose: Callable[[bytes], None],
        later: Callable[[float, Callable[[], None]], None],
        keep_seconds: float,
        keep_revisions: int,
    ) -> None:
        self._leads = leads
        self._store = store
        self._propose = propose
        self._later = later
        self._keep_seconds = keep_seconds
        self._keep_revisions = keep_revisions
        self._notes: deque[int] = deque(maxlen=NOTES_PER_RETENTION + 1)
        """The store's revision at the last looks, the oldest first."""
        self._interval = LOOK_SECONDS_BY_REVISION
        if keep_seconds:
            self._interval = max(LOOK_SECONDS_MIN, keep_seconds / NOTES_PER_RETENTION)

    def start(self) -> None:
        """Look again and again, where there is anything to do at all."""
        if self._keep_seconds or self._keep_revisions:
            self._later(self._interval, self.look)

    def look(self) -> None:
        """Note where the store is, and as leader compact what is too old."""
        self._later(self._interval, self.look)
        self._notes.append(self._store.revision)
        if not self._leads():
            return
        revision = self._too_old()
        if revision > max(self._store.compact_revision, 1):
            self._propose(encode_write(Compact(revision)))

    def _too_old(self) -> int:
        """The newest revision that need not be kept; 0: none."""
        by_time = self._notes[0] if self._keep_seconds and len(self._notes) == self._notes.maxlen else 0
        by_count = self._store.revision - self._keep_revisions if self._keep_revisions else 0
        return max(by_time, by_count)
