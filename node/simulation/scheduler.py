"""Virtual time: everything in a simulated world happens because it was scheduled here, in one order.

Why it exists: time is the first thing that makes a run irreproducible. It must not know what it runs.
"""

import heapq
from collections.abc import Callable


class Scheduler:
    """Runs callbacks in the order of their time, those of equal time in the order in which they were scheduled."""

    def __init__(self) -> None:
        self._now = 0
        self._count = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []

    def now(self) -> int:
        """Virtual microseconds since the world began."""
        return self._now

    def schedule(self, at_us: int, callback: Callable[[], None]) -> None:
        """Run `callback` at `at_us`, or now if that is past."""
        self._count += 1
        heapq.heappush(self._queue, (max(at_us, self._now), self._count, callback))

    def run_until(self, at_us: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Run up to `at_us`, or until `until()` holds after a callback; whether it held."""
        while self._queue and self._queue[0][0] <= at_us:
            self._now, _, callback = heapq.heappop(self._queue)
            callback()
            if until():
                return True
        self._now = max(self._now, at_us)
        return until()
