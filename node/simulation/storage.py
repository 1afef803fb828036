"""The device under a simulated server: it takes time, goes silent, fails, and loses its power.

Why it exists: a disk that answers late or never stops a cluster in other ways than one that loses data (disk.py). The
production log runs on it. It must not decide when anything breaks: see faults.py.

A silent device takes what is written to it and does not answer, as a hung disk does below the log's worker thread: the
process goes on without it. What waited is written when the device answers, if the process is still there.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from node.raft.effects import Persist
from node.simulation.chance import Chance
from node.simulation.disk import SimulatedDisk
from node.simulation.scheduler import Scheduler
from node.storage.errors import StorageError
from node.storage.wal import Wal

T = TypeVar("T")

SYNC_US_MAX = 1_500
"""How long a sync takes, mostly."""

LATE_SYNC_US_MAX = 40_000
"""How long one of fifty takes."""


class PowerCut(BaseException):
    """The power fails in the middle of a disk operation. Not an Exception: no code of the product may catch it."""


class FragileDisk(SimulatedDisk):
    """A disk that a world can break while it is in use."""

    cut_after_operations: int | None = None
    """At which of its next operations its server loses its power."""
    slow_us: int = 0
    """Up to how long a sync takes instead; 0: as usual."""
    failing: bool = False
    """Whether a failure that it reports is one that was wanted."""
    silent: bool = False

    def __init__(self, folder: str = "disk") -> None:
        super().__init__(folder)
        self._unanswered: list[Callable[[], None]] = []

    def count(self, operation: str) -> None:
        if self.cut_after_operations is not None:
            self.cut_after_operations -= 1
            if self.cut_after_operations <= 0:
                self.cut_after_operations = None
                raise PowerCut
        super().count(operation)

    def break_down(self, operation: str, error: int) -> None:
        """`operation` fails with `error` from now on, until `recover`."""
        self.failing = True
        self.fail(operation, error)

    def when_it_answers(self, action: Callable[[], None]) -> None:
        """`action` now, or as soon as the device is silent no more."""
        if self.silent:
            self._unanswered.append(action)
        else:
            action()

    def answer(self) -> None:
        """Be silent no more: what waited happens, in order."""
        self.silent = False
        waited, self._unanswered = self._unanswered, []
        for action in waited:
            action()

    def recover(self) -> None:
        """Work as a good disk does, from now on; what was lost stays lost."""
        self.cut_after_operations, self.slow_us, self.failing = None, 0, False
        self.heal()
        self.answer()


class TimedWorker:
    """Satisfies `node.storage.worker.FileWorker`: work takes time, one piece after the other, beside the log."""

    def __init__(
        self,
        disk: FragileDisk,
        scheduler: Scheduler,
        rng: Chance,
        guard: Callable[[Callable[[], None]], None],
        on_fatal: Callable[[StorageError], None],
    ) -> None:
        self._disk = disk
        self._scheduler = scheduler
        self._rng = rng
        self._guard = guard
        self._on_fatal = on_fatal
        self._queue: deque[Callable[[], None]] = deque()
        self._busy = False

    def do(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        def run() -> None:
            try:
                result = work()
            except StorageError as error:
                self._on_fatal(error)
                return
            then(result)

        self._queue.append(run)
        self._begin()

    def close(self) -> None:
        self._queue.clear()

    def _begin(self) -> None:
        if self._busy or not self._queue:
            return
        self._busy = True
        run = self._queue.popleft()

        def complete() -> None:
            self._busy = False
            run()
            self._begin()

        def end() -> None:
            self._disk.when_it_answers(lambda: self._guard(complete))

        self._scheduler.schedule(self._scheduler.now() + 50 + int(self._rng.random() * SYNC_US_MAX), end)


class TimedStorage:
    """The production log behind a disk that takes time: what is submitted meanwhile shares the next write.

    `guard` runs an action in the process that this belongs to, if it still lives.
    """

    def __init__(
        self,
        wal: Wal,
        disk: FragileDisk,
        scheduler: Scheduler,
        rng: Chance,
        guard: Callable[[Callable[[], None]], None],
    ) -> None:
        self._wal = wal
        self._disk = disk
        self._scheduler = scheduler
        self._rng = rng
        self._guard = guard
        self._queued: list[tuple[Persist, Callable[[int], None]]] = []
        self._busy = False
        self._superfluous = 0

    def compact(self, index: int) -> None:
        """As the log's, behind what is on its way to it."""
        self._superfluous = index
        if not (self._busy or self._queued):
            self._wal.compact(index)

    def submit(self, write: Persist, done: Callable[[int], None]) -> None:
        self._queued.append((write, done))

    def flush(self) -> None:
        if self._busy or not self._queued:
            return
        self._busy = True
        batch, self._queued = self._queued, []

        def complete() -> None:
            self._busy = False
            for write, done in batch:
                self._wal.submit(write, done)
            self._wal.flush()
            if self._superfluous and not self._queued:
                self._wal.compact(self._superfluous)
            self.flush()

        def end() -> None:
            self._disk.when_it_answers(lambda: self._guard(complete))

        self._scheduler.schedule(self._scheduler.now() + self._latency_us(), end)

    def _latency_us(self) -> int:
        late = self._rng.random() < 0.02
        most_us = self._disk.slow_us or (LATE_SYNC_US_MAX if late else SYNC_US_MAX)
        return int(self._rng.random() * most_us) + 50
