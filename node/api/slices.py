"""Long work in slices: at most one slice in a turn of the event loop, whoever asks for it.

Why it exists: heartbeats wait while a request works, so no request may hold the loop longer than a tenth of an
election timeout; and a hundred requests that each keep to that would still hold it a hundred times as long, did their
slices fall into one turn. It must not know what the work is.

A unit of work takes one or two microseconds: a key stepped over, or 4 KiB moved. Work is a generator that yields how
many units it has done since it yielded last, in small steps, and returns its value; or a job of the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

SLICE_WORK_MAX = 1_000
"""Units in one slice; 1 to 3 ms."""

SMALL_WORK_MAX = 64
"""Units that are done at once, without waiting for a turn: most requests need no more."""

BEGINNINGS_PER_TURN_MAX = 16
"""Works that may begin so in one turn of the loop; the next ones wait for a slice."""

T = TypeVar("T")
Steps = Generator[int, None, T]


class ReadJob(Protocol):
    """A read of the store that takes as many slices as it needs and sees one revision in all of them."""

    @property
    def result(self) -> object: ...
    def run(self, work_max: int, /) -> bool:
        """Work on; True: `result` is there."""

    def close(self) -> None:
        """Let go of what it holds in the store; must be called, whatever happened."""


class Slices:
    """Grants slices in the order of asking. One for all routes of a node."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False
        """Whether a slice was granted in this turn of the loop."""
        self._begun = 0
        """Works that began in this turn without a slice."""

    async def next(self) -> None:
        """Return when the caller may do one slice: at once where nobody has had one in this turn."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._grant)
            return
        granted: asyncio.Future[None] = loop.create_future()
        self._waiting.append(granted)
        await granted

    async def finish(self, steps: Steps[T]) -> T:
        """The value of `steps`, slice by slice."""
        try:
            await self.begin()
            done, most = 0, SMALL_WORK_MAX
            while True:
                done += next(steps)
                if done >= most:
                    await self.next()
                    done, most = 0, SLICE_WORK_MAX
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    async def read(self, job: ReadJob) -> object:
        """The result of `job`, slice by slice; it is closed however this ends."""
        try:
            await self.begin()
            finished = job.run(SMALL_WORK_MAX)
            while not finished:
                await self.next()
                finished = job.run(SLICE_WORK_MAX)
            return job.result
        finally:
            job.close()

    async def begin(self) -> None:
        """Return when the caller may do `SMALL_WORK_MAX` units: mostly at once."""
        if not self.may_begin():
            await self.next()

    def may_begin(self) -> bool:
        """`begin` for who has no task: whether `SMALL_WORK_MAX` units may be done now; else ask for a slice."""
        if self._begun >= BEGINNINGS_PER_TURN_MAX:
            return False
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._turn)
        self._begun += 1
        return True

    def call_next(self, call: Callable[[], None]) -> None:
        """`next` for who has no task: call it, at once or later, when one slice may be done."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._grant)
            call()
            return
        granted: asyncio.Future[None] = loop.create_future()
        granted.add_done_callback(lambda _granted: call())
        self._waiting.append(granted)

    def _turn(self) -> None:
        self._begun = 0

    def _grant(self) -> None:
        """Called once per turn while slices are wanted."""
        self._taken = False
        while self._waiting:
            granted = self._waiting.popleft()
            if not granted.done():  # else who waited was cancelled
                self._taken = True
                granted.set_result(None)
                asyncio.get_running_loop().call_soon(self._grant)
                return


def at_once(steps: Steps[T]) -> T:
    """The value of `steps`, in one go: for what is known to be small, and for tests."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        value: T = end.value
        return value
