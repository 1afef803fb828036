"""The simulated network itself: repeatable, and its faults do what they are called."""

from random import Random

import pytest

from node.raft.messages import Lane
from node.simulation.carrier import SimCarrier
from node.simulation.network import SimNetwork
from node.simulation.weather import Conditions
from node.transport.port import GOODBYE, REFUSED
from tests.conformance.carrier_suite import Record
from tests.conformance.test_carrier_simulated import VirtualTime

NAMES = ("a", "b", "c")
SECOND_US = 1_000_000


class World:
    def __init__(self, seed: int = 1, conditions: Conditions | None = None) -> None:
        self.time = VirtualTime()
        self.network = SimNetwork(
            schedule=self.time.schedule, now=self.time.now, chance=Random(seed), conditions=conditions
        )
        self.records: dict[str, Record] = {}
        self.carriers: dict[str, SimCarrier] = {}
        for name in NAMES:
            self.start(name)
        self.run()

    def start(self, name: str) -> None:
        self.records[name] = Record(lambda: None)
        self.carriers[name] = self.network.endpoint(name, NAMES, self.records[name])

    def run(self, seconds: float = 1.0) -> None:
        end_us = self.time.now_us + int(seconds * SECOND_US)
        while self.time.step(end_us):
            pass

    def say(self, count: int, source: str = "a", target: str = "b") -> list[bytes]:
        """Send numbered frames, after a first one (which faults spare); what was said."""
        frames = [b"hello", *(b"%03d" % number for number in range(count))]
        assert all(self.carriers[source].send(target, Lane.CONTROL, frame) for frame in frames)
        return frames

    def heard(self, name: str = "b") -> list[bytes]:
        return [frame for _, _, frame in self.records[name].frames]


def history(seed: int) -> list[object]:
    world = World(seed, Conditions(drop=0.1, duplicate=0.1, reorder=0.1))
    world.say(50)
    world.network.cut("b", "c")
    world.network.pause("a")
    world.run(3)
    world.network.resume("a")
    world.network.crash("c")
    world.run()
    world.network.heal_all()
    world.start("c")
    world.say(50, "b", "a")
    world.run()
    return [world.records[name].all for name in NAMES]


def test_the_same_seed_gives_the_same_history_and_another_another() -> None:
    assert history(1) == history(1)
    assert history(1) != history(2)


def test_without_faults_nothing_is_lost_doubled_or_overtaken() -> None:
    world = World()
    said = world.say(200)
    world.run()
    assert world.heard() == said


@pytest.mark.parametrize("seed", range(3))
def test_dropped_frames_are_missing_and_the_rest_in_order(seed: int) -> None:
    world = World(seed, Conditions(drop=0.3))
    said = world.say(200)
    world.run()
    assert 100 < len(world.heard()) < 180
    assert world.heard() == [frame for frame in said if frame in world.heard()]
    assert world.heard()[0] == b"hello"


@pytest.mark.parametrize("seed", range(3))
def test_duplicated_frames_come_twice(seed: int) -> None:
    world = World(seed, Conditions(duplicate=0.3))
    said = world.say(200)
    world.run()
    assert sorted(set(world.heard())) == sorted(said)
    assert 230 < len(world.heard()) < 290
    assert world.heard()[0] == b"hello"


@pytest.mark.parametrize("seed", range(3))
def test_reordered_frames_all_come_in_another_order(seed: int) -> None:
    world = World(seed, Conditions(reorder=0.3))
    said = world.say(200)
    world.run()
    assert world.heard() != said
    assert sorted(world.heard()) == sorted(said)
    assert world.heard()[0] == b"hello"


def test_weather_may_differ_by_direction() -> None:
    world = World()
    world.network.weather("a", "b", Conditions(drop=1.0))
    world.say(10)
    world.say(10, "b", "a")
    world.run()
    assert world.heard("b") == [b"hello"]
    assert len(world.heard("a")) == 11
    world.network.weather("a", "b", None)
    world.carriers["a"].send("b", Lane.CONTROL, b"sunny")
    world.run()
    assert world.heard("b") == [b"hello", b"sunny"]


@pytest.mark.parametrize("seed", range(8))
def test_a_short_cut_delays_in_order_and_loses_nothing(seed: int) -> None:
    world = World(seed)
    world.network.cut("a", "b")
    said = world.say(20)
    world.run(0.5)
    assert world.heard() == []
    world.network.heal("a", "b")
    world.carriers["a"].send("b", Lane.CONTROL, b"last")
    world.run(0.5)
    assert world.heard() == [*said, b"last"]


def test_a_paused_process_hears_everything_in_order_when_it_goes_on() -> None:
    world = World()
    world.network.pause("b")
    said = world.say(20)
    world.run(0.5)
    assert world.heard() == []
    world.network.resume("b")
    assert world.heard() == said
    world.run()
    assert all(world.carriers["a"].outbound_up("b", lane) for lane in Lane)


def test_a_long_pause_looks_like_silence_never_like_refusal() -> None:
    world = World()
    world.network.pause("b")
    events = len(world.records["b"].all)
    world.run(8)
    assert len(world.records["b"].all) == events
    for lane in Lane:
        assert all(reason.startswith("silence") for reason in world.records["a"].reasons("b", lane))
        assert len(world.records["a"].reasons("b", lane)) == 2
    assert "silence: nothing came" in [reason for _, _, _, reason in world.records["a"].inbound]
    world.network.resume("b")
    world.run(2)
    for source, target in (("a", "b"), ("b", "a")):
        assert all(world.carriers[source].outbound_up(target, lane) for lane in Lane)


def test_a_crash_behind_a_cut_is_silence_until_the_cut_heals() -> None:
    world = World()
    world.network.partition(("a",), ("b", "c"))
    world.network.crash("b")
    world.run(10)
    assert all(reason.startswith("silence") for reason in world.records["a"].reasons("b", Lane.CONTROL))
    assert world.records["c"].reasons("b", Lane.CONTROL)[-1] == REFUSED
    world.network.heal_all()
    world.run(2)
    assert world.records["a"].reasons("b", Lane.CONTROL)[-1] == REFUSED
    assert all(world.carriers["a"].outbound_up("c", lane) for lane in Lane)


def test_a_partition_cuts_both_directions_between_groups_only() -> None:
    world = World()
    world.network.partition(("a", "b"), ("c",))
    world.run(4)
    up = {(s, t) for s in NAMES for t in NAMES if s != t and world.carriers[s].outbound_up(t, Lane.CONTROL)}
    assert up == {("a", "b"), ("b", "a")}


def test_frames_of_a_dead_process_do_not_reach_its_successor() -> None:
    world = World()
    world.say(20)
    world.network.crash("b")
    world.start("b")
    world.run()
    assert world.heard() == []
    world.network.leave("b")
    world.run()
    assert GOODBYE in world.records["a"].reasons("b", Lane.CONTROL)
