"""Turns of the loop: what is measured, what is called a stall, and whose work it was."""

import asyncio

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import LOOP, NOTHING, OTHER, Stall, Steps, Turns, stall_detail, stall_words
from node.raft.types import Role
from node.runtime.latency import LatencySummary
from node.statemachine.store import KeyValueStore
from tests.observe.status import node_status

STALL_S = 0.075


class Machine:
    """A clock and a processor of its own: `work` uses both, `wait` the clock alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 7.0
        self.told: list[Stall] = []
        self.turns = Turns(lambda: self.now, lambda: self.used, STALL_S, self.told.append)

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.used += seconds

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def begin(self) -> None:
        """As after a beat: the next one is due in a moment."""
        self.turns._due = self.now
        self.turns.look()
        self.told.clear()

    def count(self, name: str) -> int:
        return sum(self.turns.kinds[name].counts)


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.begin()
    return made


def test_a_piece_of_work_is_counted_without_the_pieces_inside_it(machine: Machine) -> None:
    apply = machine.turns.timed("apply", lambda: machine.work(0.010))

    def step() -> None:
        machine.work(0.002)
        apply()

    machine.turns.timed("driver", step)()
    assert machine.turns.kinds["driver"].seconds == pytest.approx(0.002)
    assert machine.turns.kinds["apply"].seconds == pytest.approx(0.010)
    assert (machine.count("driver"), machine.count("apply"), machine.told) == (1, 1, [])


def test_own_work_for_too_long_is_told_with_what_it_was(machine: Machine) -> None:
    machine.turns.timed("apply", lambda: machine.work(0.2))()
    (stall,) = machine.told
    assert (stall.doing, stall.own, round(stall.seconds, 3)) == ("apply", True, 0.2)
    assert "own work" in stall_words(stall_detail(stall))


def test_a_work_that_waits_is_not_own(machine: Machine) -> None:
    machine.turns.timed("wal", lambda: machine.wait(0.2))()
    (stall,) = machine.told
    assert (stall.doing, stall.own) == ("wal", False)
    assert "a wait for the disk" in stall_words(stall_detail(stall))


def test_a_process_that_was_stopped_is_told_by_the_beat(machine: Machine) -> None:
    machine.wait(1.0)
    machine.turns.look()
    (stall,) = machine.told
    assert (stall.doing, stall.own) == (NOTHING, False)
    assert stall.seconds == pytest.approx(1.0, abs=0.05)
    assert "stopped" in stall_words(stall_detail(stall))


def test_many_small_pieces_in_one_turn_are_a_stall_of_their_kind(machine: Machine) -> None:
    answer = machine.turns.timed("http", lambda: machine.work(0.002))
    for _ in range(100):
        answer()
    assert machine.told == []
    machine.turns.look()
    assert [(stall.doing, stall.own) for stall in machine.told] == [("http", True)]


def test_own_work_that_nobody_claims_is_other(machine: Machine) -> None:
    machine.work(0.3)
    machine.turns.look()
    assert [(stall.doing, stall.own) for stall in machine.told] == [(OTHER, True)]


def test_a_stall_that_a_piece_has_answered_for_is_not_told_twice(machine: Machine) -> None:
    machine.turns.timed("apply", lambda: machine.work(0.2))()
    machine.turns.look()
    assert len(machine.told) == 1
    assert sum(machine.turns.stalls.values()) == 1


def test_a_turn_below_the_limit_is_no_stall(machine: Machine) -> None:
    machine.turns.timed("apply", lambda: machine.work(STALL_S * 0.9))()
    machine.turns.look()
    assert (machine.told, machine.turns.stalls, machine.turns.last) == ([], {}, None)


def test_stalls_are_told_at_a_bounded_rate_and_all_counted(machine: Machine) -> None:
    for seconds in (0.1, 0.2, 0.15):
        machine.turns.timed("apply", lambda: machine.work(seconds))()  # noqa: B023 - called at once
        machine.turns.look()
    assert [round(stall.seconds, 3) for stall in machine.told] == [0.1]
    for _ in range(40):
        machine.wait(0.025)
        machine.turns.look()
    assert [(round(stall.seconds, 3), stall.more) for stall in machine.told] == [(0.1, 0), (0.2, 1)]
    assert machine.turns.stalls == {("apply", True): 3}


def test_an_exception_passes_and_is_measured_all_the_same(machine: Machine) -> None:
    def fail() -> None:
        machine.work(0.001)
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        machine.turns.timed("links", fail)()
    assert machine.count("links") == 1


async def test_each_step_of_a_coroutine_is_measured_and_waiting_is_not(machine: Machine) -> None:
    steps: list[float] = []

    async def handle() -> str:
        machine.work(0.001)
        await asyncio.sleep(0)
        machine.work(0.002)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(10)
        return "answer"

    async def others() -> None:
        machine.work(0.5)

    task = asyncio.create_task(others())
    assert await Steps(handle(), machine.turns.clock, steps.append) == "answer"
    await task
    assert sum(steps) == pytest.approx(0.003)


async def test_an_error_of_a_measured_coroutine_reaches_who_awaits_it(machine: Machine) -> None:
    async def handle() -> None:
        await asyncio.sleep(0)
        raise KeyError("k")

    with pytest.raises(KeyError):
        await Steps(handle(), machine.turns.clock, lambda _: None)


async def test_the_beat_beats_until_it_is_stopped(machine: Machine) -> None:
    machine.turns.start(asyncio.get_running_loop())
    before = machine.count(LOOP)
    while machine.count(LOOP) < before + 2:  # noqa: ASYNC110 - the beat has no event
        await asyncio.sleep(0.005)
    machine.turns.stop()
    assert machine.turns._timer is None


def test_metrics_and_stats_show_turns_and_stalls(machine: Machine) -> None:
    machine.turns.timed("wal", lambda: machine.wait(0.2))()
    machine.turns.timed("wal", lambda: machine.work(0.004))()
    trace = Trace("n1", "b", lambda: 0)
    stats = Stats(trace, {}, lambda: LatencySummary((), None, None, 0), turns=machine.turns)
    metrics = Metrics(node_status, trace, lambda: 0, KeyValueStore(), stats, machine.turns)
    families = text_string_to_metric_families(metrics.render().decode())
    samples = {(s.name, s.labels.get("doing"), s.labels.get("le")): s.value for f in families for s in f.samples}
    assert samples["raft_loop_turn_seconds_bucket", "wal", "0.0025"] == 0
    assert samples["raft_loop_turn_seconds_bucket", "wal", "0.005"] == 1
    assert samples["raft_loop_turn_seconds_count", "wal", None] == 2
    assert samples["raft_loop_turn_seconds_sum", "wal", None] == pytest.approx(0.204)
    assert samples["raft_loop_stalls_total", "wal", None] == 1
    body = msgspec.to_builtins(stats.body(Role.FOLLOWER))["stalls"]
    assert body == {
        "count": 1,
        "longest": {"ms": 200.0, "doing": "wal", "own": False},
        "last": {"ms": 200.0, "doing": "wal", "own": False},
    }


def test_a_stall_is_an_event_with_plain_details() -> None:
    detail = stall_detail(Stall(0.1234, "apply", True, 0.12, 2))
    assert detail == {"ms": 123, "doing": "apply", "own": True, "cpu_ms": 120, "more": 2}
