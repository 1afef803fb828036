"""Group commit: what waits while one sync runs goes into the next, on the caller's thread or on one worker.

Why it exists: `Storage.submit` hides whether a thread does the work. With few clients a worker keeps the event loop
answering while the disk syncs; with many, handing over can cost more than a fast disk's sync. It must not know what
is written.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from node.raft.effects import Persist
from node.storage.errors import StorageError

QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Bytes that wait for the worker; above that, `submit` waits for it (the disk is slower than what is proposed)."""

CLOSE_SECONDS_MAX = 60.0
"""How long `close` waits for the last sync; a disk that takes longer is reported."""

WRITE_OVERHEAD_BYTES = 100
"""What a queued Persist is counted with beside its entries."""

Done = Callable[[int], None]
Write = Callable[[Sequence[Persist]], None]
Deliver = Callable[[Callable[[], None]], object]


class GroupCommit(Protocol):
    """`submit`, `flush` as in `node.runtime.ports.Storage`; `close` finishes what was submitted."""

    def submit(self, write: Persist, done: Done) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class InlineCommit:
    """Writes and syncs within `flush`, then calls every `done`. A `flush` from within a `done` is remembered.

    What waits is bounded by what the core gives out between two flushes, which its own limits in bytes bound.
    """

    def __init__(self, write: Write, on_fatal: Callable[[StorageError], None]) -> None:
        self._write = write
        self._on_fatal = on_fatal
        self._waiting: list[tuple[Persist, Done]] = []
        self._wanted = False
        self._busy = False
        self._failed = False

    def submit(self, write: Persist, done: Done) -> None:
        if not self._failed:
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
        try:
            writes = [write for write, _ in batch if not write.empty]
            if writes:
                self._write(writes)
        except StorageError as error:
            self._failed = True
            self._waiting.clear()
            self._on_fatal(error)
            return
        except BaseException:
            self._failed = True  # a bug, or the process is being stopped: nobody knows what was written
            raise
        for write, done in batch:
            done(write.token)

    def close(self) -> None:
        self.flush()


class ThreadedCommit:
    """One worker thread writes and syncs; `done` is called where `deliver` runs what it is given.

    `deliver` is the event loop's `call_soon_threadsafe`. Everything but the worker's own loop runs on that thread.
    """

    def __init__(self, write: Write, on_fatal: Callable[[StorageError], None], deliver: Deliver, name: str) -> None:
        self._write = write
        self._on_fatal = on_fatal
        self._deliver = deliver
        self._changed = threading.Condition()
        self._waiting: list[tuple[Persist, Done]] = []
        self._waiting_bytes = 0
        self._wanted = False
        self._closing = False
        self._finished: deque[tuple[Persist, Done]] = deque()
        self._outstanding = 0
        self._error: StorageError | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=f"wal-{name}", daemon=True)
        self._thread.start()

    def submit(self, write: Persist, done: Done) -> None:
        if self._failed:
            return
        cost = WRITE_OVERHEAD_BYTES + sum(entry.size_bytes for entry in write.entries)
        with self._changed:
            while self._waiting and self._waiting_bytes + cost > QUEUE_BYTES_MAX and self._error is None:
                self._wanted = True
                self._changed.notify_all()
                self._changed.wait()
            self._waiting.append((write, done))
            self._waiting_bytes += cost
            self._outstanding += 1

    def flush(self) -> None:
        with self._changed:
            idle = self._outstanding == len(self._waiting)
            if idle and all(write.empty for write, _ in self._waiting):
                self._finished.extend(self._waiting)  # barriers only, and nothing before them: no need to ask anyone
                self._waiting.clear()
                self._waiting_bytes = 0
            elif self._waiting:
                self._wanted = True
                self._changed.notify_all()
        if idle:
            self._report()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS_MAX)
        if self._thread.is_alive():
            raise StorageError(f"the disk did not finish a write within {CLOSE_SECONDS_MAX:.0f} s: check the disk")
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
        """Wait for work and take all of it; nothing means that this is the end."""
        with self._changed:
            while not self._closing and not (self._wanted and self._waiting):
                self._changed.wait()
            batch, self._waiting = self._waiting, []
            self._waiting_bytes = 0
            self._wanted = False
            self._changed.notify_all()
            return batch

    def _work(self) -> None:
        while batch := self._take():
            self._make_durable(batch)
            self._tell()
            if self._error is not None:
                return

    def _make_durable(self, batch: list[tuple[Persist, Done]]) -> None:
        """One frame and one sync for `batch`; what came of it is for `_report` to tell."""
        try:
            writes = [write for write, _ in batch if not write.empty]
            if writes:
                self._write(writes)
        except StorageError as error:
            self._fail(error)
        except Exception as error:  # a bug: it must stop the node, not only this thread
            self._fail(StorageError(f"the log writer failed on its own account: {error!r}"))
        else:
            self._finished.extend(batch)

    def _fail(self, error: StorageError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed; `close` reports what is left
            self._deliver(self._report)
