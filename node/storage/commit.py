"""Group commit: what waits while one sync runs goes into the next, on the caller's thread or on one worker.

Why it exists: `Storage.submit` hides whether a thread does the work. With few clients a worker keeps the event loop
answering while the disk syncs; with many, handing over can cost more than a fast disk's sync. It must not know what
is written. No call of a `ThreadedCommit` but `close` waits for a disk.

What waits has no limit of its own, because a queue that is full could only wait or lie. It holds references to entries
that the core's log holds as well, and the core takes no more of those than its settings allow: a leader refuses
proposals above `log_bytes_max`, a follower's leader has at most `inflight_bytes_max` unacknowledged on the way to it.
Entries that were truncated while they waited are kept by the queue alone: at most one leader's `inflight_bytes_max`
for each change of leaders. `oldest_pending_s` shows a disk that does not answer.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.raft.effects import Persist
from node.storage.errors import StorageError

CHORES_AT_ONCE_MAX = 8
"""Pieces of chores that are done at once where no thread does them."""

Done = Callable[[int], None]
Deliver = Callable[[Callable[[], None]], object]
Clock = Callable[[], float]


class Writer(Protocol):
    """Who touches the disk (`SegmentWriter`), on one thread at a time."""

    @property
    def due(self) -> bool:
        """Whether `prepare` has something to do."""

    def write(self, writes: Sequence[Persist]) -> None:
        """Make all of it durable; raises `StorageError`, and then never is called again."""

    def prepare(self) -> None:
        """One piece of what is better done when nobody waits; it raises nothing for a disk that fails."""


class GroupCommit(Protocol):
    """`submit`, `flush` as in `node.runtime.ports.Storage`; `close` finishes what was submitted."""

    @property
    def oldest_pending_s(self) -> float: ...
    def submit(self, write: Persist, done: Done) -> None: ...
    def flush(self) -> None: ...
    def look_for_chores(self) -> None: ...
    def close(self) -> None: ...


class Ages:
    """Since when the oldest write waits that is not durable yet, in seconds of `clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: float | None = None
        self._writing: float | None = None

    def submitted(self) -> None:
        """Something waits now."""
        if self._waiting is None:
            self._waiting = self._clock()

    def taken(self) -> None:
        """All that waited is being written."""
        self._writing, self._waiting = self._waiting, None

    def durable(self) -> None:
        """What was taken is durable."""
        self._writing = None

    @property
    def oldest_s(self) -> float:
        """0 where nothing waits."""
        since = self._waiting if self._writing is None else self._writing
        return 0.0 if since is None else max(0.0, self._clock() - since)


class InlineCommit:
    """Writes and syncs within `flush`, then calls every `done`. A `flush` from within a `done` is remembered.

    The caller waits as long as the disk takes: for tests, the simulator, and whoever chose it (`--fsync-mode inline`).
    """

    def __init__(self, writer: Writer, on_fatal: Callable[[StorageError], None], clock: Clock) -> None:
        self._writer = writer
        self._on_fatal = on_fatal
        self._ages = Ages(clock)
        self._waiting: list[tuple[Persist, Done]] = []
        self._wanted = False
        self._busy = False
        self._failed = False

    @property
    def oldest_pending_s(self) -> float:
        return self._ages.oldest_s

    def submit(self, write: Persist, done: Done) -> None:
        if not self._failed:
            self._ages.submitted()
            self._waiting.append((write, done))

    def flush(self) -> None:
        self._wanted = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._wanted and self._waiting and not self._failed:
                self._wanted = False
                self._commit()
        finally:
            self._busy = False
            self._wanted = False

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        self._ages.taken()
        writes = [write for write, _ in batch if not write.empty]
        try:
            if writes:
                self._writer.write(writes)
        except StorageError as error:
            self._failed = True
            self._waiting.clear()
            self._on_fatal(error)
            return
        except BaseException:
            self._failed = True  # a bug, or the process is being stopped: nobody knows what was written
            raise
        self._ages.durable()
        for write, done in batch:
            done(write.token)
        if self._writer.due:
            self._writer.prepare()

    def look_for_chores(self) -> None:
        for _ in range(CHORES_AT_ONCE_MAX):
            if self._busy or self._failed or not self._writer.due:
                return
            self._writer.prepare()

    def close(self) -> None:
        self.flush()
