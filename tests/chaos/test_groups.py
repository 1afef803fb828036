"""From "the leader" and "2,3" to names, and what Raft says of it."""

import pytest

from chaos.errors import Usage
from chaos.faults import foretell, proof
from chaos.faults.groups import Isolate, Split, groups_of, parse_sizes
from chaos.model import View
from chaos.targets.port import Cut, Pair
from tests.chaos.situations import healthy, view

ORDER = ("n4", "n2", "n5", "n1", "n3")


def test_the_first_group_holds_the_leader() -> None:
    led_by_3 = healthy(leader="n3")
    assert groups_of(Isolate("leader"), led_by_3, ORDER) == (("n3",), ("n1", "n2", "n4", "n5"))
    assert groups_of(Isolate("n1"), led_by_3, ORDER) == (("n2", "n3", "n4", "n5"), ("n1",))
    assert groups_of(Isolate("n3"), led_by_3, ORDER) == (("n3",), ("n1", "n2", "n4", "n5"))


def test_chance_chooses_the_follower_and_the_leaders_company() -> None:
    assert groups_of(Isolate("follower"), healthy(leader="n4"), ORDER) == (("n1", "n3", "n4", "n5"), ("n2",))
    assert groups_of(Split((2, 3)), healthy(leader="n3"), ORDER) == (("n3", "n4"), ("n1", "n2", "n5"))
    assert groups_of(Split((2, 2, 1)), healthy(leader="n3"), ORDER) == (("n3", "n4"), ("n2", "n5"), ("n1",))


@pytest.mark.parametrize("text", ["2", "2,x", "", "0,5", "-1,6", "2;3"])
def test_sizes_that_mean_nothing_are_usage(text: str) -> None:
    with pytest.raises(Usage, match="--split takes the sizes"):
        parse_sizes(text)


def test_sizes_must_fit_the_voters() -> None:
    with pytest.raises(Usage, match=r"--split 2,2 is for 2\+2 = 4 voters, and there are 5"):
        groups_of(parse_sizes("2,2"), healthy(), ORDER)


def test_an_unknown_node_is_usage_and_the_voters_are_named() -> None:
    with pytest.raises(Usage, match="There is no voter n9: the voters are n1, n2, n3, n4, n5"):
        groups_of(Isolate("n9"), healthy(), ORDER)


def test_what_is_foretold_depends_on_where_the_leader_is() -> None:
    minority = " ".join(foretell.of_a_cut(healthy(), Cut.between((("n1", "n2"), ("n3", "n4", "n5")))))
    assert "n1 cannot reach a majority: it steps down" in minority
    assert "one of n3, n4, n5 is elected in a term above 5" in minority
    majority = " ".join(foretell.of_a_cut(healthy(), Cut.between((("n1", "n2", "n3"), ("n4", "n5")))))
    assert "n1 goes on leading term 5" in majority
    assert "written through n4, n5 is acknowledged" in majority
    nobody = foretell.of_a_cut(healthy(), Cut.between((("n1", "n2"), ("n3", "n4"), ("n5",))))
    assert len(nobody) == 1
    assert "nobody can commit" in nobody[0]


def test_what_differs_from_the_prediction_is_said() -> None:
    before, cut = healthy(3), Cut.between((("n1",), ("n2", "n3")))
    good = {"n1": view("n1", "follower", leader="", voters=3)}
    assert all(line.startswith("as predicted") for line in foretell.seen_at_the_end(before, cut, good, {}))
    still = {"n1": view("n1", "leader", leader="n1", voters=3)}
    assert "not as predicted: n1 still says that it leads" in foretell.seen_at_the_end(before, cut, still, {})[0]
    raised = {"n1": view("n1", "candidate", term=9, leader="", voters=3)}
    assert foretell.seen_at_the_end(before, cut, raised, {})[1].endswith("n1 raised its term from 5 to 9 while cut off")


def test_a_term_that_began_before_the_cut_was_proven_was_not_raised_behind_it() -> None:
    """An election between the look and the cut: who is cut off may have heard of it by links that were open."""
    before, cut = healthy(3), Cut.between((("n1",), ("n2", "n3")))
    proven = {"n1": view("n1", "follower", term=9, leader="", voters=3)}
    later = {"n1": view("n1", "follower", term=10, leader="", voters=3)}
    assert foretell.seen_at_the_end(before, cut, proven, proven)[1] == "as predicted: n1 stayed in term 9"
    assert "n1 raised its term from 9 to 10" in foretell.seen_at_the_end(before, cut, later, proven)[1]


CUT = Cut.between((("n1",), ("n2", "n3")))
S = 1_000_000


def seen_at(at_s: float, heard_s_ago: dict[str, dict[str, float]]) -> dict[str, View]:
    return {
        name: view(
            name,
            "leader" if name == "n2" else "follower",
            leader="n2",
            voters=3,
            at_us=int(at_s * S),
            ages_ms={peer: age * 1000 for peer, age in ages.items()},
        )
        for name, ages in heard_s_ago.items()
    }


def test_silence_over_the_cut_proves_it_and_one_word_at_either_end_disproves_it() -> None:
    silent = {"n1": {"n2": 3.0, "n3": 4.0}, "n2": {"n1": 3.0, "n3": 0.05}, "n3": {"n1": 4.0, "n2": 0.05}}
    views = seen_at(10.0, silent)
    assert proof.is_quiet(CUT, views, since_us=8 * S)
    assert not proof.is_quiet(CUT, views, since_us=int(9.8 * S))  # not long enough
    for ear, mouth in CUT.blocked:
        leaky = {name: dict(ages) for name, ages in silent.items()}
        leaky[ear][mouth] = 0.5
        heard = proof.heard_over(CUT, seen_at(10.0, leaky), since_us=8 * S)
        assert heard == [(ear, mouth)]


def test_a_follower_that_can_talk_to_its_leader_and_does_not_is_found() -> None:
    nodes = ("n1", "n2", "n3")
    fine = {"n1": {}, "n2": {"n3": 0.05}, "n3": {"n2": 0.05}}
    assert proof.silent_within(CUT, seen_at(10.0, fine), nodes) == []
    mute = {"n1": {}, "n2": {"n3": 5.0}, "n3": {"n2": 0.05}}
    assert proof.silent_within(CUT, seen_at(10.0, mute), nodes) == [("n2", "n3")]


def test_over_a_one_way_cut_only_who_is_blocked_must_be_silent() -> None:
    """n2 leads; what it says does not reach n1, and what n1 says reaches it."""
    one_way = Cut(("n1", "n2", "n3"), (("n2", "n1"),), "one way")
    allowed = {"n1": {"n2": 3.0, "n3": 0.05}, "n2": {"n1": 0.05, "n3": 0.05}, "n3": {"n1": 0.05, "n2": 0.05}}
    views = seen_at(10.0, allowed)
    assert proof.is_quiet(one_way, views, since_us=8 * S)
    assert proof.silent_within(one_way, views, one_way.nodes) == []
    assert proof.silent_within(one_way, views, one_way.nodes, healed=True) == [("n1", "n2")]
    leaks = {**allowed, "n1": {"n2": 0.05, "n3": 0.05}}
    assert proof.heard_over(one_way, seen_at(10.0, leaks), since_us=8 * S) == [("n1", "n2")]
    assert not proof.is_quiet(one_way, seen_at(10.0, leaks), since_us=8 * S)


@pytest.mark.parametrize(
    ("blocked", "ear", "mouth"),
    [(("n2", "n1"), "n2", "n1"), (("n1", "n2"), "n1", "n2")],
    ids=["the leader is not heard", "the leader does not hear"],
)
def test_the_open_way_of_a_one_way_cut_must_carry(blocked: Pair, ear: str, mouth: str) -> None:
    """n2 leads. Who does not hear it asks for votes, and whom it does not hear it addresses: both are heard of."""
    one_way = Cut(("n1", "n2", "n3"), (blocked,), "one way")
    ages = {"n1": {"n2": 0.05, "n3": 0.05}, "n2": {"n1": 0.05, "n3": 0.05}, "n3": {"n1": 0.05, "n2": 0.05}}
    ages[mouth][ear] = 3.0
    assert proof.silent_within(one_way, seen_at(10.0, ages), one_way.nodes) == []
    ages[ear][mouth] = 3.0
    assert proof.silent_within(one_way, seen_at(10.0, ages), one_way.nodes) == [(ear, mouth)]


def test_a_learner_that_hears_no_leader_asks_for_no_votes_and_followers_say_nothing_to_each_other() -> None:
    ages = {"n1": {"n3": 9.0}, "n2": {"n3": 0.05, "n4": 9.0}, "n3": {"n1": 9.0, "n2": 0.05}, "n4": {"n2": 9.0}}
    nodes = ("n1", "n2", "n3", "n4")
    views = seen_at(10.0, ages)
    learner = Cut(nodes[1:], (("n2", "n4"),), "one way")
    assert proof.silent_within(learner, views, nodes) == []
    talks = {**ages, "n4": {"n2": 0.05}}
    assert proof.silent_within(Cut(nodes[1:], (), "none"), seen_at(10.0, talks), nodes) == [("n2", "n4")]
    followers = Cut(("n1", "n3"), (("n1", "n3"),), "one way")
    assert proof.silent_within(followers, views, nodes) == []
