"""What is refused before anything is changed, and in which words."""

import io
from typing import Any

import pytest

from chaos import guard
from chaos.errors import Refused
from chaos.faults.port import Plan
from chaos.situation import quorum_lost, unhealthy
from chaos.targets.port import Cut, Target
from tests.chaos.situations import healthy, view


class Nothing:
    """A target of which only the title is looked at."""

    title = "the local cluster in ./raft-data"


TARGET: Target = Nothing()  # type: ignore[assignment]


def plan(*together: tuple[str, ...], title: str = "kill the leader n1") -> Plan:
    """Who is in none of these groups is stopped."""
    stopped = tuple(f"n{n}" for n in range(1, 6) if not any(f"n{n}" in group for group in together))
    return Plan(title=title, acts=(), predictions=(), stopped=stopped, cut=Cut.between(together))


def test_a_whole_cluster_is_healthy() -> None:
    assert unhealthy(healthy()) == ""
    guard.refuse_harm(plan(("n2", "n3", "n4", "n5")), healthy(), TARGET, allow_quorum_loss=False)


def test_a_missing_voter_is_named() -> None:
    assert unhealthy(healthy(n4=None)) == "the voter n4 does not answer"
    with pytest.raises(Refused, match="not healthy to begin with: the voter n4 does not answer; nothing was changed"):
        guard.refuse_harm(plan(("n2", "n3", "n5")), healthy(n4=None), TARGET, allow_quorum_loss=False)


def test_no_leader_and_a_leader_without_a_majority_are_told_apart() -> None:
    lost: dict[str, Any] = {f"n{n}": view(f"n{n}", "candidate", leader="") for n in range(1, 6)}
    assert unhealthy(healthy(**lost)) == "no leader"
    alone: dict[str, Any] = {f"n{n}": view(f"n{n}", "candidate", leader="") for n in range(2, 6)}
    assert unhealthy(healthy(**alone)) == "no leader that a majority follows (n1 say they lead)"


def test_without_a_leader_there_is_nothing_to_aim_at() -> None:
    alone: dict[str, Any] = {f"n{n}": view(f"n{n}", "candidate", leader="") for n in range(2, 6)}
    with pytest.raises(Refused, match="no leader that a majority follows"):
        guard.refuse_leaderless(healthy(**alone), TARGET)
    guard.refuse_leaderless(healthy(), TARGET)


def test_an_old_leader_beside_the_new_one_does_not_count() -> None:
    old = view("n2", "leader", term=4, leader="n2")
    situation = healthy(n2=old)
    assert (situation.leader, situation.term) == ("n1", 5)
    assert unhealthy(situation) == "n2 follows n2 (term 4), not n1 (term 5)"


def test_a_node_without_a_vote_and_one_that_stopped_itself_are_told() -> None:
    assert "has no vote yet: waits for n5" in unhealthy(healthy(n3=view("n3", "initial", waiting_for="waits for n5.")))
    assert "n3 has stopped itself: disk full" in unhealthy(healthy(n3=view("n3", fatal="disk full.")))


@pytest.mark.parametrize(
    ("voters", "groups", "lost"),
    [(3, [1, 2], False), (3, [1, 1, 1], True), (5, [2, 3], False), (4, [2, 2], True), (1, [0], True), (2, [1], True)],
)
def test_quorum_is_of_all_voters(voters: int, groups: list[int], lost: bool) -> None:
    names = [f"n{number}" for number in range(1, voters + 1)]
    together, left = [], list(names)
    for size in groups:
        together.append(left[:size])
        left = left[size:]
    assert bool(quorum_lost(names, together)) is lost


def test_nodes_without_a_vote_make_no_majority() -> None:
    assert quorum_lost(("n1", "n2", "n3"), [("n1", "n4", "n5"), ("n2",)])
    assert not quorum_lost(("n1", "n2", "n3"), [("n1", "n2", "n4")])


def test_a_kill_with_another_voter_down_is_refused_for_the_quorum() -> None:
    situation = healthy(3, n3=None)
    with pytest.raises(Refused, match=r"altogether \(n3 already down\): at most 1 of 3 voters .* 2 are needed"):
        guard.refuse_harm(plan(("n2", "n3")), situation, TARGET, allow_quorum_loss=False)


def test_quorum_loss_can_be_allowed() -> None:
    parts = plan(("n1", "n2"), ("n3", "n4"), ("n5",), title="cut n1 n2 | n3 n4 | n5")
    with pytest.raises(Refused, match="add --allow-quorum-loss"):
        guard.refuse_harm(parts, healthy(), TARGET, allow_quorum_loss=False)
    guard.refuse_harm(parts, healthy(), TARGET, allow_quorum_loss=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_only_a_yes_is_a_yes(answer: str, agreed: bool) -> None:
    asked = io.StringIO()
    if agreed:
        guard.confirm(plan(), TARGET, asked, Terminal(answer))
    else:
        with pytest.raises(Refused, match="Not confirmed"):
            guard.confirm(plan(), TARGET, asked, Terminal(answer))
    assert asked.getvalue().startswith("Kill the leader n1 in the local cluster in ./raft-data?")


def test_where_nobody_sits_yes_must_be_said_beforehand() -> None:
    with pytest.raises(Refused, match="add --yes, or look first with --dry-run"):
        guard.confirm(plan(), TARGET, io.StringIO(), io.StringIO("y\n"))
