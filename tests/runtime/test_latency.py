"""Commit latency: percentiles that a naive second reading agrees with, and a bound on what is kept."""

from hypothesis import given
from hypothesis import strategies as st

from node.runtime.latency import SECONDS_MAX, CommitLatency, _bucket, _middle_us

SECOND = 1_000_000
WALL = 1_700_000_000_123_456


def test_nothing_written_has_no_percentiles() -> None:
    summary = CommitLatency().summary(5)
    assert (summary.recent, summary.p50, summary.p99, summary.count) == ((), None, None, 0)


@given(st.lists(st.integers(0, 60_000_000), min_size=1, max_size=200))
def test_percentiles_are_right_to_a_tenth_and_the_maximum_exactly(durations: list[int]) -> None:
    latency = CommitLatency()
    for duration in durations:
        latency.record(duration, 7 * SECOND, WALL)
    summary = latency.summary(7 * SECOND)
    in_order = sorted(durations)
    for at, found in ((0.5, summary.p50), (0.99, summary.p99)):
        expected = in_order[max(0, -(-len(in_order) * at // 1).__trunc__() - 1)] / 1000
        assert found is not None
        assert abs(found - expected) <= 0.1 * expected + 0.001
    assert summary.recent[0].max == max(durations) / 1000
    assert summary.count == summary.recent[0].count == len(durations)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_longer_durations_never_fall_into_lower_buckets(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert _bucket(low) <= _bucket(high)
    assert abs(_middle_us(_bucket(one)) - one) <= one / 10 + 0.5


def test_seconds_are_apart_named_by_the_wall_clock_and_forgotten() -> None:
    latency = CommitLatency()
    for second in range(SECONDS_MAX + 30):
        latency.record(1000 * second, second * SECOND, WALL + second * SECOND)
    now = (SECONDS_MAX + 29) * SECOND
    recent = latency.summary(now).recent
    assert len(recent) == SECONDS_MAX
    assert recent[-1].at_ms - recent[0].at_ms == (SECONDS_MAX - 1) * 1000
    assert recent[0].at_ms % 1000 == 0
    assert latency.summary(now + 60 * SECOND).count == SECONDS_MAX - 60
    assert latency.summary(now + 10 * SECONDS_MAX * SECOND).recent == ()


def test_a_second_is_bounded_in_memory_whatever_the_durations() -> None:
    latency = CommitLatency()
    for exponent in range(40):
        for step in range(64):
            latency.record((1 << exponent) + (step << exponent) // 64, 0, WALL)
    assert len(latency._seconds[0].buckets) < 350
