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

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from node import cures
from node.raft.effects import Persist
from node.storage.errors import StorageError

CLOSE_SECONDS_MAX = 3.0
"""How long `close` waits for the last sync; it is part of the 5 s that the chart adds to what a leaving pod needs. A
disk that takes longer keeps no node from ending: what it was not seen to write was told to nobody."""

CHORES_AT_ONCE_MAX = 8
"""Pieces of chores that are done at once where no thread does them."""

CHORES_AFTER_GROUPS = 16
"""After so many groups in a row a piece of the chores comes first: writers that never pause must not keep them away."""

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


class ThreadedCommit:
    """One worker thread writes and syncs; `done` is called where `deliver` runs what it is given.

    `deliver` is the event loop's `call_soon_threadsafe`. Everything but the worker's own loop runs on that thread.
    Its chores it does, piece by piece, when it has told of a group and nothing waits.
    """

    def __init__(
        self,
        writer: Writer,
        on_fatal: Callable[[StorageError], None],
        clock: Clock,
        deliver: Deliver,
        name: str,
    ) -> None:
        self._writer = writer
        self._on_fatal = on_fatal
        self._deliver = deliver
        self._changed = threading.Condition()
        self._ages = Ages(clock)
        self._waiting: list[tuple[Persist, Done]] = []
        self._wanted = False
        self._busy = False
        self._chores_due = False
        self._groups_in_a_row = 0
        self._closing = False
        self._finished: deque[tuple[Persist, Done]] = deque()
        self._outstanding = 0
        self._error: StorageError | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=f"wal-{name}", daemon=True)
        self._thread.start()

    @property
    def oldest_pending_s(self) -> float:
        return self._ages.oldest_s

    def submit(self, write: Persist, done: Done) -> None:
        if self._failed:
            return
        with self._changed:
            self._ages.submitted()
            self._waiting.append((write, done))
            self._outstanding += 1

    def flush(self) -> None:
        with self._changed:
            idle = self._outstanding == len(self._waiting)
            if idle and all(write.empty for write, _ in self._waiting):
                self._finished.extend(self._waiting)  # barriers only, and nothing before them: no need to ask anyone
                self._waiting.clear()
                self._ages.taken()
                self._ages.durable()
            elif self._waiting:
                self._wanted = True
                self._changed.notify_all()
        if idle:
            self._report()

    def look_for_chores(self) -> None:
        """The writer may have been given chores; a group that is being written looks for itself when it ends."""
        with self._changed:
            if not self._busy:
                self._chores_due = True
                self._changed.notify_all()

    def close(self) -> None:
        """Raises `StorageError` where the disk does not let go of the last write in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS_MAX)
        if self._thread.is_alive():
            raise StorageError(
                f"the disk has not finished a write for {self.oldest_pending_s:.0f} s, so this node ends without it: "
                f"{cures.CHECK_DISK}"
            )
        self._report()

    def _report(self) -> None:
        while self._finished:
            write, done = self._finished.popleft()
            self._outstanding -= 1
            done(write.token)
        if self._error is not None and not self._failed:
            self._failed = True
            self._on_fatal(self._error)

    def _take(self) -> list[tuple[Persist, Done]]:
        """Wait for work and take all that is to be written; nothing means chores, or the end."""
        with self._changed:
            while not (self._closing or self._chores_due or (self._wanted and self._waiting)):
                self._changed.wait()
            chores_now = not self._wanted or self._groups_in_a_row >= CHORES_AFTER_GROUPS
            if self._chores_due and chores_now and not self._closing:
                return []
            self._groups_in_a_row += 1
            batch, self._waiting = self._waiting, []
            self._ages.taken()
            self._busy = bool(batch)
            self._wanted = False
            return batch

    def _work(self) -> None:
        while self._error is None:
            batch = self._take()
            if batch and self._error is None:
                self._make_durable(batch)
                self._tell()
            elif self._closing:
                return
            else:
                self._do_chores()

    def _do_chores(self) -> None:
        try:
            self._writer.prepare()
        except Exception as error:
            self._error = StorageError(f"the log writer failed on its own account: {error!r}")
        with self._changed:
            self._groups_in_a_row = 0
            self._chores_due = self._error is None and self._writer.due
        if self._error is not None:
            self._tell()

    def _make_durable(self, batch: list[tuple[Persist, Done]]) -> None:
        """One frame and one sync for `batch`; what came of it is for `_report` to tell."""
        try:
            writes = [write for write, _ in batch if not write.empty]
            if writes:
                self._writer.write(writes)
        except StorageError as error:
            self._error = error
        except Exception as error:  # a bug: it must stop the node, not only this thread
            self._error = StorageError(f"the log writer failed on its own account: {error!r}")
        else:
            self._ages.durable()
            self._finished.extend(batch)

    def _end_group(self) -> None:
        with self._changed:
            self._busy = False
            self._chores_due = self._writer.due
            self._changed.notify_all()

    def _tell(self) -> None:
        self._end_group()
        with contextlib.suppress(RuntimeError):  # the event loop is closed; `close` reports what is left
            self._deliver(self._report)
