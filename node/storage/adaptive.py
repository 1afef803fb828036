"""Group commit for a disk that nobody knows beforehand: the loop writes while it is quick, its worker when it is not.

Why it exists: handing a write to a thread and back costs some 80 microseconds of two processors' time, more than a fast
disk's sync; yet a slow disk must not hold up the loop. What syncs took decides. It must not know what is written.

Who writes, in this order:
- the worker, and the loop does not wait: the disk is slow, or the worker still has something to do;
- the worker, and the loop waits `LOOP_WAIT_SECONDS_MAX` for it: no sync has succeeded for `TRUST_SECONDS_MAX`, so it is
  not known whether the disk still answers;
- the loop itself: a sync has succeeded within that time, and those before it were quick.

What remains: a disk that falls silent between two writes less than `TRUST_SECONDS_MAX` apart holds the loop for as long
as that one sync takes. The node is then as if stopped: the others elect another leader. `--fsync-mode threaded` has no
such moment.

Before `flush` is called, what others are to be told leaves: their disks work at the same time as this one.
"""

from collections import deque
from collections.abc import Callable

from node.raft.effects import Persist
from node.storage.commit import Clock, Deliver, Done, Writer
from node.storage.errors import StorageError
from node.storage.threaded import ThreadedCommit

LOOP_WAIT_SECONDS_MAX = 0.005
"""How long a turn of the loop waits for the worker: a third of what any piece of work may hold it (15 ms)."""

TRUST_SECONDS_MAX = 0.02
"""How long after a sync the disk is believed to answer still. One client that waits for each of its writes keeps below
it, and then the hand-over would be felt; who writes less often does not feel it."""

QUICK_SECONDS_MAX = 0.002
"""A disk whose syncs take longer than this on average is slow."""

ONE_SECONDS_MAX = 0.015
"""A single sync that takes longer makes a disk slow at once."""

AVERAGE_SYNCS = 8
"""Over about how many syncs the average runs."""

SLOW_GROUPS = 64
"""Groups that the loop neither writes nor waits for once the disk was found slow; then it tries again."""


class AdaptiveCommit(ThreadedCommit):
    """`clock` counts seconds, on any thread."""

    def __init__(
        self,
        writer: Writer,
        on_fatal: Callable[[StorageError], None],
        clock: Clock,
        deliver: Deliver,
        name: str,
    ) -> None:
        self._clock = clock
        self._watched = False
        self._sync_seconds: deque[float] = deque()
        self._synced_at = -TRUST_SECONDS_MAX
        self._average_s = 0.0
        self._slow_groups = 0
        super().__init__(writer, on_fatal, clock, deliver, name)

    def flush(self) -> None:
        if not self._waiting:
            return  # asked in every turn of the loop, and most turns write nothing
        barriers_only = all(write.empty for write, _ in self._waiting)
        if barriers_only or self._slow_groups or self._closing or not self._worker_idle:
            self._slow_groups = max(0, self._slow_groups - (not barriers_only))
            super().flush()
        elif self._clock() - self._synced_at < TRUST_SECONDS_MAX:
            self._write_here()
        else:
            self._let_write_and_wait()

    @property
    def _worker_idle(self) -> bool:
        """Whether it neither does anything nor was asked to: that is what lets this thread touch the log. A group may
        be reported before the worker has put it down and seen whether it has chores."""
        untouched = self._outstanding == len(self._waiting)
        return untouched and not (self._wanted or self._busy or self._chores_due)

    def _write_here(self) -> None:
        batch, self._waiting = self._waiting, []
        self._ages.taken()
        self._watched = True
        self._make_durable(batch)
        self._watched = False
        if self._writer.due:
            self._end_group()  # the worker does the chores
        self._report()

    def _let_write_and_wait(self) -> None:
        self._watched = True
        super().flush()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._wanted, LOOP_WAIT_SECONDS_MAX)
            self._watched = False
        self._report()

    def _make_durable(self, batch: list[tuple[Persist, Done]]) -> None:
        """Only what the loop waits for is measured: beside a busy loop, the worker's time goes into Python's lock."""
        measures, began = self._watched, self._clock()
        super()._make_durable(batch)
        self._synced_at = self._clock()
        if measures:
            self._sync_seconds.append(self._synced_at - began)

    def _tell(self) -> None:
        if self._watched:
            self._end_group()  # the loop waits for it, and reports
        else:
            super()._tell()

    def _report(self) -> None:
        while self._sync_seconds:
            self._judge(self._sync_seconds.popleft())
        super()._report()

    def _judge(self, seconds: float) -> None:
        self._average_s += (seconds - self._average_s) / AVERAGE_SYNCS
        if self._average_s > QUICK_SECONDS_MAX or seconds > ONE_SECONDS_MAX:
            self._slow_groups = SLOW_GROUPS
            self._average_s = 0.0
