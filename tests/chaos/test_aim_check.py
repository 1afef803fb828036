"""A kill tests a failover only if whoever died led until then."""

import pytest

from chaos.checks import judge
from chaos.checks.aim import the_leader_was_hit
from chaos.checks.verdict import Verdict
from chaos.model import Event
from tests.chaos.evidence import cut, event, good, kill

LED = (event(1, "n1", "won", 3, 0.1), event(1, "n2", "leader", 3, 0.2, leader="n1"), event(1, "n3", "started", 3, 0.0))
AFTERWARDS = (event(2, "n2", "won", 4, 5.3), event(1, "n1", "started", 0, 6.0), event(2, "n1", "role", 4, 6.1))


def judged(*events: Event, uncertainty_us: int = 1_000) -> Verdict:
    """n1, which led term 3, was killed at 5 s."""
    off = dict.fromkeys(("n1", "n2", "n3"), uncertainty_us)
    return the_leader_was_hit(good(events=(*LED, *events), faults=(kill("n1", 5.0, 3),), uncertainty_us=off))


def test_who_led_until_it_was_killed_was_the_leader() -> None:
    verdict = judged(*AFTERWARDS)
    assert (verdict.group, verdict.outcome, verdict.sentence) == (
        "effect",
        "pass",
        "n1 led term 3 when it was killed.",
    )


def test_who_had_stepped_down_a_moment_before_was_not() -> None:
    lost = Event(9, 4_900_000, "n1", "role", 3, "follower", {"from": "leader", "to": "follower"}, 4_900_000, "boot-n1")
    verdict = judged(lost, *AFTERWARDS)
    assert (verdict.group, verdict.outcome) == ("effect", "fail")
    assert verdict.sentence == "n1 was killed 0.100 s after it was follower in term 3, so no leader was hit."
    assert verdict.proof == ("4.900 s: n1 told of 'role' in term 3 (from leader, to follower)",)


def test_who_had_been_replaced_without_knowing_it_was_not() -> None:
    verdict = judged(event(2, "n2", "won", 4, 4.8), *AFTERWARDS)
    assert verdict.outcome == "fail"
    assert verdict.sentence == "n1 was killed 0.200 s after n2 won term 4, so no leader was hit."


def test_what_may_have_been_before_or_after_leaves_it_open() -> None:
    verdict = judged(event(2, "n2", "won", 4, 4.999), *AFTERWARDS, uncertainty_us=5_000)
    assert verdict.outcome == "unknown"
    assert "n2 won term 4 at about the moment in which n1 was killed" in verdict.sentence


def test_a_victim_of_which_no_event_came_leaves_it_open() -> None:
    silent = good(events=LED[1:], faults=(kill("n1", 5.0, 3),))
    assert the_leader_was_hit(silent).outcome == "unknown"


@pytest.mark.parametrize("faults", [(), (cut((("n1",), ("n2", "n3")), 5, 8),)])
def test_only_a_killed_leader_is_asked_about(faults: tuple[object, ...]) -> None:
    checks = {verdict.check for verdict in judge.judge(good(faults=faults))}
    assert "the-leader-was-hit" not in checks
    assert "the-leader-was-hit" in {verdict.check for verdict in judge.judge(good(faults=(kill(),)))}
