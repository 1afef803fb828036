"""Group commit that goes to its worker only while the disk is slow; a quick disk is written from the event loop.

Why it exists: handing a write to a thread and back costs a few hundred microseconds under Python's global lock, more
than a fast disk's sync; yet a slow disk must not hold up the loop. What a sync takes decides, so nobody has to know
the disk beforehand. It must not know what is written.

The loop writes one turn *after* `flush`: what the same step sent to other nodes leaves first, so that their disks
work at the same time as this one.
"""

from collections.abc import Callable

from node.raft.effects import Persist
from node.storage.commit import Deliver, Done, ThreadedCommit, Write
from node.storage.errors import StorageError

QUICK_SECONDS_MAX = 0.002
"""A disk whose syncs take longer than this on average is slow."""

AVERAGE_SYNCS = 8
"""Over about how many syncs the average runs; one of 20 ms makes any disk slow."""

SLOW_GROUPS = 64
"""Groups that go to the worker once the disk was found slow; then the loop tries again."""


class AdaptiveCommit(ThreadedCommit):
    """`turn` runs what it is given in the loop's next turn (`call_soon`); `clock` counts seconds."""

    def __init__(
        self,
        write: Write,
        on_fatal: Callable[[StorageError], None],
        deliver: Deliver,
        name: str,
        turn: Deliver,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(write, on_fatal, deliver, name)
        self._turn = turn
        self._clock = clock
        self._turn_due = False
        self._average_s = 0.0
        self._slow_groups = 0

    def flush(self) -> None:
        if self._turn_due:
            return
        barriers_only = all(write.empty for write, _ in self._waiting)
        if barriers_only or self._slow_groups or not self._worker_idle:
            self._slow_groups = max(0, self._slow_groups - (not barriers_only))
            super().flush()
            return
        self._turn_due = True
        self._turn(self._write_here)

    @property
    def _worker_idle(self) -> bool:
        return self._outstanding == len(self._waiting)

    def _write_here(self) -> None:
        self._turn_due = False
        if not self._worker_idle or self._failed or self._closing:
            super().flush()  # meanwhile the queue ran over, or this is the end: the worker has it
            return
        batch: list[tuple[Persist, Done]] = self._waiting
        self._waiting = []
        self._waiting_bytes = 0
        began = self._clock()
        self._make_durable(batch)
        self._average_s += (self._clock() - began - self._average_s) / AVERAGE_SYNCS
        if self._average_s > QUICK_SECONDS_MAX:
            self._slow_groups = SLOW_GROUPS
            self._average_s = 0.0
        self._report()
