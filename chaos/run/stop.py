"""Ending a run early, from wherever: a signal, a lost lock, a full history. The healing that follows is never ended.

Why it exists: "always heals" must hold for Ctrl-C at any moment, and for the second Ctrl-C of somebody impatient. It
must not heal: it only ends the work that it was given.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from chaos.errors import INTERRUPTED, ChaosError

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
STOPPERS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
"""They would have this process stand still, with whatever it has broken."""


class Stopped(ChaosError):
    """The run was told to end; `code` is 130 for a signal."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Stop:
    """One for a run. The first reason counts; each later signal is answered through `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked = asyncio.Event()
        self.reason: Stopped | None = None

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked for the end with a signal."""
        return self.reason is not None and self.reason.code == INTERRUPTED

    def request(self, why: str, code: int) -> None:
        """End the work under way."""
        if self.reason is None:
            self.reason = Stopped(why, code)
        self._asked.set()

    def on_signal(self, name: str) -> None:
        """A signal came."""
        again = self.reason is not None
        self.request(f"interrupted by {name}", INTERRUPTED)  # first: what is said may fail
        if again:
            self._say(f"{name} again: healing is under way and goes on; it ends by itself, in bounds")
        else:
            self._say(f"{name}: the run ends here; taking back what was done")

    def on_stopper(self, name: str) -> None:
        """Somebody wants this process to stand still, as with Ctrl-Z."""
        self._say(f"{name} is not obeyed while a run goes on: nobody would take back what it broke. Ctrl-C ends it")

    async def while_working(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; raises Stopped, the work cancelled or never begun, as soon as the end is requested."""
        reason = self.reason
        if reason is not None:
            work.close()
            raise reason
        task = asyncio.create_task(work, name="work of the run")
        asked = asyncio.create_task(self._asked.wait(), name="wait for the end")
        try:
            await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
            if self.reason is not None:
                task.cancel()
                await asyncio.wait((task,))
                if task.cancelled() or task.exception() is not None:
                    raise self.reason
            return await task
        finally:
            for pending in (task, asked):
                pending.cancel()
            await asyncio.gather(task, asked, return_exceptions=True)


@contextlib.contextmanager
def handling_signals(stop: Stop) -> Iterator[None]:
    """SIGINT, SIGTERM, SIGQUIT and SIGHUP (the terminal went away) end the work, where this thread can take them; what
    would have it stand still is answered and not obeyed."""
    loop = asyncio.get_running_loop()
    taken = []
    answers = [*((number, stop.on_signal) for number in SIGNALS), *((number, stop.on_stopper) for number in STOPPERS)]
    for number, answer in answers:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, answer, number.name)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


async def shielded(work: Coroutine[Any, Any, T], stop: Stop) -> T:
    """Run `work` to its end even when the caller is cancelled: that only asks it to stop early, in good order."""
    task = asyncio.create_task(work, name="the run")
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
            stop.request("cancelled", INTERRUPTED)
    if cancelled:
        task.exception()
        raise asyncio.CancelledError
    return task.result()
