"""Group commit by one worker thread, which the loop never waits for.

Why it exists: with few clients a worker keeps the event loop answering while the disk syncs. It must not know what is
written. No call but `close` waits for a disk.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable

from node import cures
from node.raft.effects import Persist
from node.storage.commit import Ages, Clock, Deliver, Done, Writer
from node.storage.errors import StorageError

CLOSE_SECONDS_MAX = 3.0
"""How long `close` waits for the last sync; it is part of the 5 s that the chart adds to what a leaving pod needs. A
disk that takes longer keeps no node from ending: what it was not seen to write was told to nobody."""

CHORES_AFTER_GROUPS = 16
"""After so many groups in a row a piece of the chores comes first: writers that never pause must not keep them away."""


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
