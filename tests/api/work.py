"""How much is done between two turns of the event loop, counted, not timed.

Why it exists: "no request holds the loop" is about work, and a clock would measure the machine. A test says what is
to be counted, and where it is done.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WorkPerTurn:
    """`most`: the most that was counted between two turns; `total`: all of it; `turns`: of the loop."""

    def __init__(self) -> None:
        self.most = 0
        self.total = 0
        self.turns = 0
        self._now = 0
        self._handle: asyncio.Handle | None = None

    def did(self, amount: int = 1) -> None:
        """So much was done."""
        self._now += amount
        self.total += amount
        self.most = max(self.most, self._now)

    def start(self) -> None:
        """Count turns from now on."""
        self.turns += 1
        self._now = 0
        self._handle = asyncio.get_running_loop().call_soon(self.start)

    def stop(self) -> None:
        """The loop may rest again."""
        if self._handle is not None:
            self._handle.cancel()


@asynccontextmanager
async def counting() -> AsyncIterator[WorkPerTurn]:
    """Count in here."""
    work = WorkPerTurn()
    work.start()
    try:
        yield work
    finally:
        work.stop()
