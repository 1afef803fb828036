"""Puts what happened on many nodes into the order in which it happened.

Why it exists: each node's events come over a stream of its own, so "n2 follows n1" often arrives before "n1 won".
Everything waits for a moment and is then told by its wall clock, which is one and the same on one machine. It must
not hold anything back for longer than ORDER_WAIT_SECONDS.
"""

import asyncio
import heapq
from collections.abc import Callable

from node.observe.events import TraceEvent
from node.supervisor.narrator import Line, Narrator

ORDER_WAIT_SECONDS = 0.3
WAITING_MAX = 10_000
"""More than that is told at once, in the order known so far."""


class Chronicle:
    """Takes events and ready lines, tells lines by `say` in the order of time."""

    def __init__(self, narrator: Narrator, say: Callable[[Line], None]) -> None:
        self._narrator, self._say = narrator, say
        self._waiting: list[tuple[int, int, TraceEvent | Line]] = []
        self._count = 0

    def add(self, item: TraceEvent | Line) -> None:
        """Tell `item` within ORDER_WAIT_SECONDS. Needs the running loop."""
        self._count += 1
        heapq.heappush(self._waiting, (item.time_us, self._count, item))
        if len(self._waiting) > WAITING_MAX:
            self.flush()
        else:
            asyncio.get_running_loop().call_later(ORDER_WAIT_SECONDS, self._release, item.time_us)

    def flush(self) -> None:
        """Tell everything now."""
        while self._waiting:
            self._tell_first()

    def _release(self, until_us: int) -> None:
        while self._waiting and self._waiting[0][0] <= until_us:
            self._tell_first()

    def _tell_first(self) -> None:
        _, _, item = heapq.heappop(self._waiting)
        line = item if isinstance(item, Line) else self._narrator.tell(item)
        if line:
            self._say(line)
