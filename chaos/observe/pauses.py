"""When this tool itself stood still: stopped by a signal, a laptop's lid, a machine that had no time for it.

Why it exists: clients and samplers stand still with it, so a silence that it recorded then says nothing of the
cluster. It must not judge.
"""

import asyncio

from chaos.clock import Clock
from chaos.model import Pause

TICK_SECONDS = 0.1
PAUSE_SECONDS_MIN = 0.4
"""A tick that comes so much too late is told as a pause: shorter ones are smaller than what anybody judges."""
PAUSES_MAX = 10_000
"""Kept; later ones make the last of them longer."""


class Pauses:
    """`found`: so far, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self.found: list[Pause] = []
        self._clock = clock
        self._ticked_us = clock.now_us()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tick; harmless when it has."""
        if self._task is None:
            self._ticked_us = self._clock.now_us()
            self._task = asyncio.create_task(self._tick(), name="watch this tool's own pauses")

    async def stop(self) -> None:
        """Tick no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def look(self) -> None:
        """What the tick does. Ask it before a wait is judged: the process may just have woken up."""
        now_us = self._clock.now_us()
        if now_us - self._ticked_us >= (TICK_SECONDS + PAUSE_SECONDS_MIN) * 1e6:
            if len(self.found) < PAUSES_MAX:
                self.found.append(Pause(self._ticked_us, now_us))
            else:
                self.found[-1] = Pause(self.found[-1].from_us, now_us)
        self._ticked_us = now_us

    def seconds_since(self, since_us: int) -> float:
        """How long it stood still after that moment."""
        self.look()
        return sum(max(0, pause.to_us - max(since_us, pause.from_us)) for pause in self.found) / 1e6

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.look()
