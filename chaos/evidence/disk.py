"""Work for the disk, done one after the other by a thread of its own that nobody waits for.

Why it exists: a disk that hangs holds whoever touches it, for ever, and a process that ends joins its threads. What is
under way is never overtaken, so that an older state of a file is not written over a newer one. It must not know what
is written.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from chaos.errors import ChaosError

_T = TypeVar("_T")


class Disk:
    """Make it anywhere; the thread begins with the first work and ends with `end`, or with the process."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hangs = False

    def do(self, work: Callable[[], _T]) -> "asyncio.Future[_T]":
        """Its result, or what it raised, in the loop that is running."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()

        def tell(how: Callable[[Any], None], what: object) -> None:
            if not done.done():
                how(what)

        def run() -> None:
            how: Callable[[Any], None]
            what: object
            try:
                how, what = done.set_result, work()
            except BaseException as error:
                how, what = done.set_exception, error
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody asks any more
                loop.call_soon_threadsafe(tell, how, what)

        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="the run's files", daemon=True)
            self._thread.start()
        self._work.put(run)
        return done

    async def within(self, seconds: float, work: Callable[[], _T]) -> _T:
        """`do`; raises ChaosError where the disk has not answered for so long. One that has not is not waited for
        again."""
        done = self.do(work)
        if not (await asyncio.wait((done,), timeout=0.0 if self._hangs else seconds))[0]:
            self._hangs = True
            done.cancel()
            raise ChaosError(f"the disk has not answered for {seconds:g} s")
        self._hangs = False
        return done.result()

    def end(self) -> None:
        """After what was given already."""
        self._work.put(None)

    def _go_on(self) -> None:
        while (run := self._work.get()) is not None:
            run()
