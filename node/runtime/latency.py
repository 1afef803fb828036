"""How long writes take on the leader, from `Accepted` to applied: a histogram per second, for the last two minutes.

Why it exists: the one number that shows a cluster's health at a glance, cheap enough for every write. Durations fall
into buckets an eighth of an octave wide, so percentiles are right to about 9 percent; `max` is exact. It must not
know a clock: times come in.
"""

from collections import deque

import msgspec

SECONDS_MAX = 120
"""Seconds that are kept."""

_STEPS_BITS = 3
"""Buckets per octave: 2 to this power."""


class LatencySecond(msgspec.Struct, frozen=True):
    """One second with writes. `at_ms`: wall clock, milliseconds since the epoch; `p50` and `max` milliseconds."""

    at_ms: int
    p50: float
    max: float
    count: int


class LatencySummary(msgspec.Struct, frozen=True):
    """`p50`, `p99` (milliseconds, None where nothing was written) and `count` are of the seconds in `recent`."""

    recent: tuple[LatencySecond, ...]
    p50: float | None
    p99: float | None
    count: int


class _Second:
    __slots__ = ("at_ms", "buckets", "count", "max_us", "second")

    def __init__(self, second: int, at_ms: int) -> None:
        self.second = second
        self.at_ms = at_ms
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.max_us = 0


class CommitLatency:
    """At most `SECONDS_MAX` seconds of at most some hundred buckets."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()

    def record(self, duration_us: int, now: int, wall_us: int) -> None:
        """One write that was applied now. `now`: monotonic microseconds."""
        number = now // 1_000_000
        seconds = self._seconds
        if not seconds or seconds[-1].second != number:
            self._forget(number)
            seconds.append(_Second(number, wall_us // 1_000_000 * 1000))
        second = seconds[-1]
        bucket = _bucket(duration_us)
        second.buckets[bucket] = second.buckets.get(bucket, 0) + 1
        second.count += 1
        if duration_us > second.max_us:
            second.max_us = duration_us

    def summary(self, now: int) -> LatencySummary:
        """Of the last `SECONDS_MAX` seconds."""
        self._forget(now // 1_000_000)
        total: dict[int, int] = {}
        recent = []
        for second in self._seconds:
            for bucket, count in second.buckets.items():
                total[bucket] = total.get(bucket, 0) + count
            p50 = min(_percentile(second.buckets, second.count, 0.5), second.max_us / 1000)
            recent.append(LatencySecond(second.at_ms, round(p50, 3), second.max_us / 1000, second.count))
        count = sum(second.count for second in self._seconds)
        if not count:
            return LatencySummary((), None, None, 0)
        longest = max(second.max_us for second in self._seconds) / 1000
        p50, p99 = (round(min(_percentile(total, count, at), longest), 3) for at in (0.5, 0.99))
        return LatencySummary(tuple(recent), p50, p99, count)

    def _forget(self, number: int) -> None:
        while self._seconds and self._seconds[0].second <= number - SECONDS_MAX:
            self._seconds.popleft()


def _bucket(duration_us: int) -> int:
    """Small numbers are their own bucket; larger ones share it with all that have the same leading bits."""
    shift = max(0, duration_us.bit_length() - 1 - _STEPS_BITS)
    return (shift << _STEPS_BITS) + (duration_us >> shift)


def _middle_us(bucket: int) -> float:
    shift = max(0, (bucket >> _STEPS_BITS) - 1)
    low = (bucket - (shift << _STEPS_BITS)) << shift
    return low + ((1 << shift) - 1) / 2


def _percentile(buckets: dict[int, int], count: int, at: float) -> float:
    """Milliseconds."""
    wanted = at * count
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return _middle_us(bucket) / 1000
    return 0.0
