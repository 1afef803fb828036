"""When this node takes a snapshot of its own state, and its way to the disk, a slice in each turn of the loop.

Why it exists: a log must end (section 7), and writes go on while it is cut: the state machine is asked for what it held
at one moment, the disk takes it on a thread of its own, and only when all of it has been read back may the entries
before it go. A tail of the log stays for followers that are a little behind: it is far cheaper for them than the
whole state. It must not know what a chunk holds.
"""

from bisect import bisect_left
from collections.abc import Callable

import msgspec

from node.raft.core import Raft
from node.raft.events import Compact, Event
from node.raft.messages import PIECE_BYTES_MAX
from node.raft.types import Base, SnapshotInfo
from node.runtime.ports import StateMachine, TraceSink
from node.runtime.snapshot_ports import SnapshotJob, Snapshots, SnapshotWriter

SNAPSHOT_WORK_PER_TURN_MAX = 1_000
"""Units of work (see `Job`) in one turn of the loop, beside those of applying."""

SLICE_EVERY_US = 6_000
"""From one slice to the next, at least: a fifth of the time is spent on it. A node that works without a pause waits
for its turn on the processor as all do that work so, with whatever clients ask of it; one that sleeps is let in when it
wakes."""

WAITING_BYTES_MAX = 8 * 1024 * 1024
"""Chunks that are made and not yet written: a disk that is slow is waited for, not buried."""

RETRY_US = 10_000_000
"""After a snapshot that failed (a full disk, say): soon enough, and no load."""

TAIL_SHARE = 8
"""The tail before a snapshot has at most this part of what the log may hold. Counted in entries alone, 10,000 of 26 kB
would fill all of it, and no snapshot would make room."""


class SnapshotSettings(msgspec.Struct, frozen=True):
    """A snapshot is due when so much was applied since the last: `entries`, or `size_bytes` of them. Of a store that is
    larger than `size_bytes` it takes as many times more: what a snapshot costs grows with the store, and is to stay a
    fraction of what the writes cost. `tail_entries` before it stay in the log, if they take no more than a part of it
    (`TAIL_SHARE`), and `piece_bytes` of it are one message.
    """

    entries: int = 100_000
    size_bytes: int = 64 * 1024 * 1024
    tail_entries: int = 10_000
    piece_bytes: int = PIECE_BYTES_MAX


SNAPSHOT_DEFAULTS = SnapshotSettings()

Ended = Callable[[SnapshotInfo | None, str], None]


class SnapshotTaking:
    """`needed_index()`: the log may not lose what comes after it, for a follower that is just being helped; None: no
    follower is."""

    def __init__(
        self,
        core: Raft,
        machine: StateMachine,
        snapshots: Snapshots,
        trace: TraceSink,
        wake: Callable[[], None],
        settings: SnapshotSettings,
        needed_index: Callable[[], int | None],
    ) -> None:
        self._core = core
        self._machine = machine
        self._snapshots = snapshots
        self._trace = trace
        self._wake = wake
        self._settings = settings
        self._needed_index = needed_index
        self._job: SnapshotJob | None = None
        self._writer: SnapshotWriter | None = None
        self._base = Base()
        self._walked = False
        self._next_slice_us: int | None = None
        """When the next slice is due; None: at once, or there is none."""
        self._retry_us = 0
        self._began_us = 0
        self.last: tuple[int, int] | None = None
        """When the last that this process took was done, and how long it took; None: none yet."""
        self._result: tuple[SnapshotInfo | None, str] | None = None
        self._compacted = 0
        self._tail_of = self._before_tail = 0
        self._wanted: tuple[int, Ended] | None = None

    @property
    def under_way(self) -> bool:
        """Whether a snapshot is being taken."""
        return self._writer is not None

    def waits(self, now: int) -> bool:
        """Whether `run` may have something to do later on although nothing is applied until then."""
        return self._writer is not None or self._wanted is not None or now < self._retry_us

    @property
    def has_work(self) -> bool:
        """Whether `run` has something to do at once."""
        walks = self._job is not None and not self._walked and self._next_slice_us is None
        return walks or self._result is not None

    @property
    def deadline(self) -> int | None:
        """When `run` is wanted for the next slice; None: at once, or not at all."""
        return self._next_slice_us

    def run(self, now: int, *, may_begin: bool) -> list[Event]:
        """One slice. `may_begin`: the state machine holds all that the core calls applied, and no part of what comes
        after it. Returns what the core is to be told."""
        if self._result is not None:
            self._ended(now)
        if may_begin and self._writer is None and (self._lacks_wanted() or (now >= self._retry_us and self._due())):
            self._begin(now)
        if self._next_slice_us is None or now >= self._next_slice_us:
            self._next_slice_us = None
            if self._job is not None and self._writer is not None and not self._walked:
                self._walk(self._job, self._writer)
                self._next_slice_us = None if self._walked else now + SLICE_EVERY_US
        if self._wanted is not None and not self._lacks_wanted():
            self._answer_wanted(self._snapshots.latest, "")
        return self._compact()

    def want(self, index: int, done: Ended) -> None:
        """Somebody wants one that holds all up to `index`, which is applied, whether or not one is due. `done` as that
        of a writer, in a later turn, also where it is there already. One at a time: an earlier one is not told."""
        self._wanted = index, done

    def forget(self) -> None:
        """It is not wanted any more."""
        self._wanted = None

    def abort(self) -> None:
        """The state that is walked was replaced, or the node stops."""
        if self._writer is not None and self._result is None:
            self._writer.abort()
        self._close()
        self._writer = self._result = None

    def _lacks_wanted(self) -> bool:
        latest = self._snapshots.latest
        return self._wanted is not None and (latest is None or latest.base.index < self._wanted[0])

    def _answer_wanted(self, info: SnapshotInfo | None, problem: str) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted[1](info, problem)

    def _due(self) -> bool:
        latest = self._snapshots.latest
        core, settings = self._core, self._settings
        since, size_bytes = (latest.base.index, latest.size_bytes) if latest is not None else (0, 0)
        times = max(1.0, size_bytes / settings.size_bytes)
        if core.applied - since >= settings.entries * times:
            return True
        # A log that is half full makes one due, whatever the settings say: else it would end all writing.
        bytes_max = min(settings.size_bytes * times, core.log_bytes_max // 2)
        return core.log_bytes >= bytes_max and core.applied > since and core.bytes_applied_after(since) >= bytes_max

    def _begin(self, now: int) -> None:
        self._began_us = now
        self._base = self._core.base_at(self._core.applied)
        self._job = self._machine.begin_snapshot()
        self._writer = self._snapshots.begin(self._base)
        self._walked = False
        self._tell("begun")

    def _walk(self, job: SnapshotJob, writer: SnapshotWriter) -> None:
        if writer.waiting_bytes > WAITING_BYTES_MAX:
            return  # a later turn goes on: at the latest that of the next heartbeat
        self._walked = job.run(SNAPSHOT_WORK_PER_TURN_MAX)
        for chunk in job.take():
            writer.add(chunk)
        if self._walked:
            self._close()
            writer.finish(self._done)

    def _done(self, info: SnapshotInfo | None, problem: str) -> None:
        if self._writer is not None:
            self._result = info, problem
            self._wake()

    def _ended(self, now: int) -> None:
        info, problem = self._result or (None, "")
        self._writer = self._result = None
        if info is None:
            self._retry_us = now + RETRY_US
            self._tell("failed", reason=problem)
            self._answer_wanted(None, problem)
        else:
            self.last = now, now - self._began_us
            self._tell("taken", bytes=info.size_bytes)

    def _compact(self) -> list[Event]:
        """The entries before the tail may go, in memory and on disk, but for what a follower is about to need."""
        latest = self._snapshots.latest
        if latest is None:
            return []
        last = latest.base.index
        if last != self._tail_of and last <= self._core.applied:
            self._tail_of, self._before_tail = last, self._tail_begins(last)
        index = self._before_tail
        needed = self._needed_index()
        if needed is not None and self._core.log_bytes < self._core.log_bytes_max // 2:
            index = min(index, needed)
        if index <= self._compacted:
            return []
        self._compacted = index
        self._snapshots.compact(index)
        return [Compact(index)]

    def _tail_begins(self, last: int) -> int:
        """The entry before the tail of those up to `last`."""
        core, first = self._core, self._core.base.index
        after = core.bytes_applied_after(last) + core.log_bytes_max // TAIL_SHARE
        fitting = bisect_left(range(first, last), -after, key=lambda at: -core.bytes_applied_after(at))
        return max(first + fitting, last - self._settings.tail_entries)

    def _close(self) -> None:
        if self._job is not None:
            self._job.close()
            self._job = self._next_slice_us = None

    def _tell(self, phase: str, **detail: str | int) -> None:
        core = self._core
        self._trace.transition(
            "snapshot", core.term, core.role.value, {"phase": phase, "index": self._base.index, **detail}
        )
