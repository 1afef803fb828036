"""What a cut leaves, however it is written: who decides, who is cut off, and what a fault's span says of it."""

import msgspec
import pytest

from chaos import links
from chaos.errors import Usage
from chaos.faults.groups import Isolate
from chaos.faults.shapes import Bridge, OneWay, Ring, Shape, cut_of, parse_one_way
from chaos.model import FaultSpan
from tests.chaos.situations import healthy

FIVE = ("n1", "n2", "n3", "n4", "n5")
SIX = (*FIVE, "n6")


def test_of_groups_the_one_with_a_majority_serves_and_the_others_are_cut_off() -> None:
    blocked = links.between((("n1", "n2"), ("n3", "n4", "n5")))
    assert len(blocked) == 12
    assert links.neighbourhoods(FIVE, blocked) == (("n1", "n2"), ("n3", "n4", "n5"))
    assert links.serving(FIVE, FIVE, blocked) == ("n3", "n4", "n5")
    assert links.cut_off(FIVE, FIVE, blocked) == ("n1", "n2")
    scattered = links.between((("n1", "n2"), ("n3", "n4"), ("n5",)))
    assert (links.may_lead(FIVE, scattered), links.serving(FIVE, FIVE, scattered)) == ((), ())
    assert links.cut_off(FIVE, FIVE, scattered) == FIVE


def test_who_is_not_heard_by_one_node_alone_still_serves_with_all_others() -> None:
    blocked = links.one_way(("n1",), ("n2",))
    assert blocked == (("n1", "n2"),)
    assert links.cut_off(FIVE, FIVE, blocked) == ()
    assert links.may_lead(FIVE, blocked) == FIVE
    assert len(links.serving(FIVE, FIVE, blocked)) == 4


@pytest.mark.parametrize("blocked", [links.one_way(("n1",), FIVE[1:]), links.one_way(FIVE[1:], ("n1",))])
def test_who_is_heard_by_nobody_or_hears_nobody_is_cut_off(blocked: tuple[links.Pair, ...]) -> None:
    assert links.cut_off(FIVE, FIVE, blocked) == ("n1",)
    assert links.serving(FIVE, FIVE, blocked) == FIVE[1:]


def test_over_a_bridge_every_node_reaches_one_that_may_lead() -> None:
    blocked = links.between((("n1", "n2"), ("n4", "n5")))
    assert links.may_lead(FIVE, blocked) == FIVE
    assert links.cut_off(FIVE, FIVE, blocked) == ()
    assert links.serving(FIVE, FIVE, blocked) == ("n1", "n2", "n3")


def test_in_a_ring_of_five_each_reaches_a_majority_and_no_side_must_serve_and_in_one_of_six_nobody_decides() -> None:
    blocked = links.ring(FIVE)
    assert len(blocked) == 10
    assert links.may_lead(FIVE, blocked) == FIVE
    assert links.serving(FIVE, FIVE, blocked) == ()
    assert links.may_lead(SIX, links.ring(SIX)) == ()


def test_nodes_without_a_vote_count_for_no_majority_and_are_served_where_they_reach_one() -> None:
    blocked = links.between((("n1",), ("n2", "n3", "n4")))
    assert links.serving(("n1", "n2", "n3"), ("n1", "n2", "n3", "n4"), blocked) == ("n2", "n3", "n4")
    assert links.cut_off(("n1", "n2", "n3"), ("n1", "n2", "n3", "n4"), blocked) == ("n1",)


# --- the ways to write them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "blocked"),
    [
        (Isolate("n2"), links.between((("n1", "n3", "n4", "n5"), ("n2",)))),
        (OneWay(("leader",), ("follower",)), (("n1", "n4"),)),
        (OneWay(("follower",), ("leader",)), (("n4", "n1"),)),
        (OneWay(("follower",), ("follower",)), (("n4", "n2"),)),
        (OneWay(("leader",), ("others",)), links.one_way(("n1",), FIVE[1:])),
        (OneWay(("others",), ("leader", "n2")), links.one_way(("n3", "n4", "n5"), ("n1", "n2"))),
        (Bridge("follower"), links.between((("n1", "n2"), ("n5", "n3")))),
        (Bridge("leader"), links.between((("n4", "n2"), ("n5", "n3")))),
        (Ring(), links.ring(("n1", "n4", "n2", "n5", "n3"))),
    ],
)
def test_every_way_to_write_a_cut_comes_to_its_pairs(shape: Shape, blocked: tuple[links.Pair, ...]) -> None:
    """n1 leads, and chance has put the others in the order n4, n2, n5, n3."""
    cut = cut_of(shape, healthy(), ("n4", "n2", "n1", "n5", "n3"))
    assert cut.blocked == blocked
    assert sorted((*cut.blocked, *cut.allowed)) == [(a, b) for a in FIVE for b in FIVE if a != b]


@pytest.mark.parametrize("text", ["leader", "leader:", ":n1", "n1:n2:n3", "others:others", "n1,:n2"])
def test_a_one_way_cut_that_means_nothing_is_usage(text: str) -> None:
    with pytest.raises(Usage, match="--one-way"):
        parse_one_way(text)


@pytest.mark.parametrize(
    ("shape", "nodes", "why"),
    [
        (OneWay(("n1",), ("leader",)), 5, "n1 is on both sides"),
        (OneWay(("n9",), ("n1",)), 5, "There is no voter n9"),
        (OneWay(("others",), FIVE), 5, "one side is empty"),
        (Bridge("n1"), 2, "A bridge needs 3 voters, and there are 2"),
        (Ring(), 3, "A ring cuts nothing below 4 voters, and there are 3"),
    ],
)
def test_a_shape_that_does_not_fit_is_usage(shape: Shape, nodes: int, why: str) -> None:
    with pytest.raises(Usage, match=why):
        cut_of(shape, healthy(nodes), FIVE[:nodes])


# --- the span -------------------------------------------------------------------------------------------------------


def test_a_span_of_before_links_were_recorded_means_what_it_meant() -> None:
    before = {"kind": "partition", "title": "cut", "nodes": FIVE, "groups": [["n1"], ["n2", "n3"]]}
    cut = msgspec.convert(before, FaultSpan)
    assert (cut.effect, cut.links) == ("cut", links.between((("n1",), ("n2", "n3"))))
    assert cut.excused(("n1", "n2", "n3")) == ("n1",)
    kill = msgspec.convert({"kind": "kill-leader", "title": "kill n1", "nodes": ["n1"], "injected_us": 7}, FaultSpan)
    assert (kill.effect, kill.links, kill.over_us) == ("killed", (), 7)
    assert msgspec.json.decode(msgspec.json.encode(cut), type=FaultSpan) == cut


def test_a_pause_lasts_until_it_is_taken_back_and_excuses_its_victim_alone() -> None:
    pause = FaultSpan(kind="pause", title="pause n1", effect="paused", nodes=("n1",), injected_us=1, acted_on=("n1", 3))
    assert (pause.over_us, pause.lasts, pause.in_force, pause.separates) == (None, True, True, False)
    assert pause.hit_the_leader
    assert pause.excused(("n1", "n2", "n3")) == ("n1",)
    assert pause.serving(("n1", "n2", "n3")) == ("n2", "n3")
    assert pause.serving(("n1", "n2")) == ()
    pause.reverted_us, pause.healed_us = 40, 41
    assert (pause.over_us, pause.in_force) == (40, False)
