"""Group commit for a disk that nobody knows beforehand: its worker writes, and the loop waits a moment for a quick one.

Why it exists: a report that comes back to a busy event loop from a thread waits for the loop's next turns, which costs
more than a quick disk's sync; so the loop waits for the worker where that is short. Yet no disk may hold up the loop:
it waits `LOOP_WAIT_SECONDS_MAX` at most, and not at all for a while once the disk was found slow. A disk that falls
silent in the middle of a sync holds a thread that nobody else needs. It must not know what is written.

The loop waits one turn *after* `flush`: what the same step sent to other nodes leaves first, so that their disks work
at the same time as this one.
"""

from collections import deque
from collections.abc import Callable

from node.raft.effects import Persist
from node.storage.commit import Clock, Deliver, Done, Idle, ThreadedCommit, Write
from node.storage.errors import StorageError

LOOP_WAIT_SECONDS_MAX = 0.005
"""How long a turn of the loop waits for a sync: a third of what any piece of work may hold it (15 ms)."""

QUICK_SECONDS_MAX = 0.002
"""A disk whose syncs take longer than this on average is slow."""

AVERAGE_SYNCS = 8
"""Over about how many syncs the average runs; one of 20 ms makes any disk slow."""

SLOW_GROUPS = 64
"""Groups that the loop does not wait for once the disk was found slow; then it tries again."""


class AdaptiveCommit(ThreadedCommit):
    """`turn` runs what it is given in the loop's next turn (`call_soon`); `clock` counts seconds, on any thread."""

    def __init__(
        self,
        write: Write,
        idle: Idle,
        on_fatal: Callable[[StorageError], None],
        clock: Clock,
        deliver: Deliver,
        name: str,
        turn: Deliver,
    ) -> None:
        self._turn = turn
        self._clock = clock
        self._turn_due = False
        self._watched = False
        self._sync_seconds: deque[float] = deque()
        self._average_s = 0.0
        self._slow_groups = 0
        super().__init__(write, idle, on_fatal, clock, deliver, name)

    def flush(self) -> None:
        if self._turn_due:
            return
        barriers_only = all(write.empty for write, _ in self._waiting)
        if barriers_only or self._slow_groups or not self._worker_idle:
            self._slow_groups = max(0, self._slow_groups - (not barriers_only))
            super().flush()
            return
        self._turn_due = True
        self._turn(self._write_and_wait)

    @property
    def _worker_idle(self) -> bool:
        return self._outstanding == len(self._waiting)

    def _write_and_wait(self) -> None:
        self._turn_due = False
        if not self._worker_idle or self._failed or self._closing:
            super().flush()  # meanwhile something else was handed over, or this is the end
            return
        self._watched = True
        super().flush()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._wanted, LOOP_WAIT_SECONDS_MAX)
            self._watched = False
        self._report()

    def _make_durable(self, batch: list[tuple[Persist, Done]]) -> None:
        """On the worker. Only what the loop waits for is measured: beside a busy loop, time is spent on its lock."""
        measures, began = self._watched, self._clock()
        super()._make_durable(batch)
        if measures:
            self._sync_seconds.append(self._clock() - began)

    def _tell(self) -> None:
        with self._changed:
            if self._watched:
                self._busy = False
                self._changed.notify_all()  # the loop waits for it, and reports
                return
        super()._tell()

    def _report(self) -> None:
        while self._sync_seconds:
            self._judge(self._sync_seconds.popleft())
        super()._report()

    def _judge(self, seconds: float) -> None:
        self._average_s += (seconds - self._average_s) / AVERAGE_SYNCS
        if self._average_s > QUICK_SECONDS_MAX:
            self._slow_groups = SLOW_GROUPS
            self._average_s = 0.0
