"""What the tool did not see because it stood still itself decides nothing."""

import asyncio
import time

import msgspec
import pytest

from chaos.checks.recovery import longest_write_gap, recovered_in_time
from chaos.checks.verdict import Verdict
from chaos.checks.waits import paused_us, within
from chaos.checks.writing import writes_come_back
from chaos.clock import Clock
from chaos.model import Pause
from chaos.observe import pauses
from chaos.observe.pauses import Pauses
from tests.chaos.evidence import NODES, S, good, kill
from tests.chaos.test_writes_come_back import run


def during(from_s: float, to_s: float) -> tuple[Pause, ...]:
    return (Pause(int(from_s * S), int(to_s * S)),)


def test_only_what_lies_within_a_time_is_taken_off_it() -> None:
    evidence = good(pauses=(*during(1, 2), *during(4, 9)))
    assert paused_us(evidence, 0, 10 * S) == 6 * S
    assert paused_us(evidence, int(1.5 * S), 5 * S) == int(1.5 * S)
    assert paused_us(evidence, 2 * S, 4 * S) == 0


def test_a_limit_that_was_only_passed_because_nobody_watched_leaves_it_open() -> None:
    evidence = good(pauses=during(2, 6))
    assert within(evidence, 0, 3 * S, 3 * S) == "pass"
    assert within(evidence, 0, 6 * S, 3 * S) == "unknown"
    assert within(evidence, 0, 8 * S, 3 * S) == "fail", "four seconds of it were watched"


def paused(verdict_of: str, pause: tuple[Pause, ...]) -> Verdict:
    """All clients refuse from 5 to 9.5 s, or nobody asked; n1 was killed at 5 s, and the limit is three seconds."""
    evidence = msgspec.structs.replace(run(kill("n1", at=5), *((node, 5, 9.5) for node in NODES)), pauses=pause)
    evidence = msgspec.structs.replace(evidence, recovered_us=(int(9.4 * S),))
    if verdict_of == "gap":
        return longest_write_gap(evidence, 3 * S)
    return recovered_in_time(evidence) if verdict_of == "recovered" else writes_come_back(evidence)


@pytest.mark.parametrize("check", ["recovered", "back", "gap"])
def test_an_outage_is_one_only_by_what_was_watched_of_it(check: str) -> None:
    assert paused(check, ()).outcome == "fail"
    assert paused(check, during(5.5, 6)).outcome == "fail"
    covered = paused(check, during(5.1, 9.3))
    assert covered.outcome == "unknown"
    assert "of which this tool itself stood still for 4.200 s" in covered.sentence


async def test_a_pause_is_measured_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "PAUSE_SECONDS_MIN", 0.2)
    watch = Pauses(Clock())
    watch.start()
    await asyncio.sleep(0.25)
    before = list(watch.found)  # a busy machine may have stood still by itself
    began_us = watch._clock.now_us()
    time.sleep(0.5)  # noqa: ASYNC251 - the loop is to stand still
    assert 0.45 < watch.seconds_since(began_us) < 5
    assert len(watch.found) == len(before) + 1
    assert watch.seconds_since(watch._clock.now_us()) == 0
    await watch.stop()


def test_the_number_of_pauses_is_bounded_and_none_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "PAUSES_MAX", 3)
    clock = Clock()
    times = iter(range(0, 100 * S, 10 * S))
    monkeypatch.setattr(clock, "now_us", lambda: next(times))
    watch = Pauses(clock)
    for _ in range(8):
        watch.look()
    assert len(watch.found) == 3
    assert (watch.found[0].from_us, watch.found[-1].to_us) == (0, 80 * S)
