"""Who does the file work of snapshots: a thread of its own, or, in tests and the simulator, the caller.

Why it exists: a snapshot is hundreds of megabytes, and nothing of it may hold up the loop or a write of the log. It
must not know what is done. Whoever asks bounds what waits here; all of it is done in order, one at a time.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from node.storage.commit import Deliver
from node.storage.errors import StorageError

CLOSE_SECONDS_MAX = 1.0
"""How long `close` waits for the piece that is under way: a part of the 5 s that the chart adds for a leaving pod."""

T = TypeVar("T")
OnFatal = Callable[[StorageError], None]


class FileWorker(Protocol):
    """`do(work, then)`: `then(work())`, in the loop and never within the call. A `StorageError` of `work` is fatal."""

    def do(self, work: Callable[[], T], then: Callable[[T], None]) -> None: ...
    def close(self) -> None: ...


class InlineWorker:
    """Works at once, on the caller's thread; `turn` runs what it is given in the loop's next turn."""

    def __init__(self, on_fatal: OnFatal, turn: Deliver) -> None:
        self._on_fatal = on_fatal
        self._turn = turn
        self._closed = False

    def do(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        if self._closed:
            return
        try:
            result = work()
        except StorageError as error:
            fatal = error
            self._turn(lambda: self._on_fatal(fatal))
            return
        self._turn(lambda: None if self._closed else then(result))

    def close(self) -> None:
        self._closed = True


class ThreadedWorker:
    """One thread; `deliver` is the event loop's `call_soon_threadsafe`. The thread begins with the first work."""

    def __init__(self, on_fatal: OnFatal, deliver: Deliver, name: str) -> None:
        self._on_fatal = on_fatal
        self._deliver = deliver
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self._closed = False
        self._begun = False
        self._thread = threading.Thread(target=self._work, name=f"snapshots-{name}", daemon=True)

    def do(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        def job() -> Callable[[], None]:
            result = work()
            return lambda: then(result)

        with self._changed:
            if self._closed:
                return
            self._jobs.append(job)
            if not self._begun:
                self._begun = True
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """What has not begun is dropped: nobody was told of it. What takes long is left behind, as by kill -9."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
        if self._begun:
            self._thread.join(CLOSE_SECONDS_MAX)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._jobs or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                job = self._jobs.popleft()
            told = self._run(job)
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                self._deliver(partial(self._tell, told))

    def _tell(self, told: Callable[[], None]) -> None:
        if not self._closed:
            told()

    def _run(self, job: Callable[[], Callable[[], None]]) -> Callable[[], None]:
        try:
            return job()
        except StorageError as error:
            fatal = error
        except Exception as error:  # a bug: it must stop the node, not only this thread
            fatal = StorageError(f"the work on snapshots failed on its own account: {error!r}")
        return lambda: self._on_fatal(fatal)
