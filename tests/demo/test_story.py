"""The rules of a story, the proof of a cut, and events in words: pure parts, without processes."""

from collections.abc import Iterable

import pytest

from node.observe.events import TraceEvent
from node.scenarios import faults, timeline
from node.scenarios.cluster import Cluster, Entry, Peer, View
from node.scenarios.faults import Cut
from node.scenarios.narrator import Narrator
from node.scenarios.outcome import NotAsPredicted, Timing, ToolFailure
from node.scenarios.story import Story


def story() -> Story:
    cluster = Cluster.__new__(Cluster)
    cluster.timing = Timing()
    return Story(cluster, Narrator(as_json=True), lambda: 0)


async def test_nothing_is_seen_that_was_not_predicted() -> None:
    with pytest.raises(ToolFailure, match="predicted nothing"):
        story().saw("n1 leads")


async def test_a_prediction_is_judged_before_the_next() -> None:
    told = story()
    await told.predict("n1 leads")
    with pytest.raises(ToolFailure, match="never judged"):
        await told.predict("n2 follows")


async def test_what_does_not_hold_ends_the_scenario_and_is_not_counted() -> None:
    told = story()
    await told.predict("n1 leads")
    with pytest.raises(NotAsPredicted, match="n2 leads"):
        told.judge(False, "n1 leads", "n2 leads")
    assert told.held == 0
    assert told.predicted == "n1 leads"


def view(name: str, **ages_ms: float | None) -> View:
    peers = tuple(Peer(peer, age) for peer, age in ages_ms.items())
    return View(name, "follower", 1, "", "", 1, 1, 1, 300.0, None, peers, ())


def test_a_silence_as_old_as_the_cut_is_a_cut() -> None:
    views = {"n1": view("n1", n2=310.0, n3=5.0), "n2": view("n2", n1=305.0, n3=5.0)}
    assert faults._silence(views, Cut((("n1", "n2"),), 0.0), 300.0) == 300.0


def test_a_word_across_the_cut_disproves_it_in_either_direction() -> None:
    for views in ({"n1": view("n1", n2=100.0)}, {"n2": view("n2", n1=100.0)}):
        with pytest.raises(NotAsPredicted, match="the fault is not effective"):
            faults._silence(views, Cut((("n1", "n2"),), 0.0), 300.0)


def test_a_node_that_does_not_answer_proves_nothing() -> None:
    assert not faults._heard_within({}, ("n1", "n2"), 300.0)
    assert not faults._heard_within({"n1": view("n1", n2=None)}, ("n1", "n2"), 300.0)
    assert faults._heard_within({"n1": view("n1", n2=3.0)}, ("n1", "n2"), 300.0)


class Half(Cluster):
    """n2 does not answer."""

    def __init__(self) -> None:
        pass

    async def views(self, names: Iterable[str] | None = None) -> dict[str, View]:
        return {"n1": view("n1")}

    async def log(self, name: str) -> dict[int, Entry]:
        return {1: Entry(1, 1, "noop", "00000000")}


async def test_logs_are_not_equal_where_a_node_does_not_answer() -> None:
    told = Story(Half(), Narrator(as_json=True), lambda: 0)
    assert await told.same_logs(("n1",)) is not None
    assert await told.same_logs(("n1", "n2")) is None
    assert await told.led(("n1", "n2")) is None


def event(at_us: int, node: str, kind: str, **detail: str | int | bool) -> TraceEvent:
    return TraceEvent(1, at_us, node, kind, 2, "follower", detail)


def test_events_are_told_in_the_order_of_the_clock_once_each_and_not_those_from_before() -> None:
    events = [
        event(9_000, "n2", "vote", candidate="n1", granted=True, phase="vote"),
        event(8_000, "n1", "election", phase="vote"),
        event(8_500, "n1", "election", phase="vote"),
        event(1_000, "n3", "election", phase="vote"),
        event(9_500, "n1", "link", up=True),
    ]
    assert timeline.lines(events, 5_000) == [
        ("+3 ms", "n1 stands for election in term 2 and votes for itself"),
        ("+4 ms", "n2 gives its vote of term 2 to n1"),
    ]


def test_a_long_timeline_says_how_much_it_leaves_out() -> None:
    events = [event(number, f"n{number}", "election", phase="vote") for number in range(30)]
    shown = timeline.lines(events, 0, lines_max=10)
    assert len(shown) == 11
    assert shown[-1] == ("", "... and 20 more")
