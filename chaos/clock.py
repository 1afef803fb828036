"""The tool's one clock: microseconds since the run began, monotonic, and where that lies on the wall.

Why it exists: clients, samples, faults and node events must lie on one axis. Everything that is recorded carries this
clock; node times are put on it by `observe/offsets.py`. It must not be read by checks: they get what was recorded.
"""

import time


class Clock:
    """`began_wall_us`: the wall clock at zero, microseconds since the epoch."""

    def __init__(self) -> None:
        self._zero_ns = time.monotonic_ns()
        self.began_wall_us = time.time_ns() // 1000

    def now_us(self) -> int:
        """Microseconds since the run began."""
        return (time.monotonic_ns() - self._zero_ns) // 1000
