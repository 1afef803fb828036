"""The time of day, for lines and names that people read.

Why it exists: time is banned elsewhere because the algorithm must be reproducible; a person reading "n3 died" wants
local time all the same, and the supervisor's own lines have no trace event to take it from. Nothing is decided by it.
"""

import time


def now_us() -> int:
    """Wall clock, microseconds since the epoch."""
    return time.time_ns() // 1000


def clock_text(time_us: int) -> str:
    """Local time of day with milliseconds, such as 12:03:01.220."""
    return f"{time.strftime('%H:%M:%S', time.localtime(time_us // 1_000_000))}.{time_us // 1000 % 1000:03d}"


def utc_text() -> str:
    """Now, as the name of a file tells it: 20261129T031500Z."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
