"""The timeline of a failover is what the node that won tells, and of the campaign that won."""

from typing import Any

from benchmarks.timeline import medians, steps


def event(at_ms: float, node: str, kind: str, **detail: Any) -> dict[str, Any]:
    return {"time_us": int(at_ms * 1000), "node": node, "kind": kind, "term": 1, "detail": detail}


EVENTS = [
    event(50, "n2", "won", votes=3, voters=5),  # of the failover before
    event(105, "n3", "link", up=False, peer="n1"),
    event(107, "n2", "link", up=False, peer="n1"),
    event(108, "n2", "link", up=False, peer="n1"),
    event(110, "n2", "leader-gone", leader="n1"),
    event(111, "n2", "election", phase="pre-vote"),  # refused
    event(118, "n2", "election", phase="pre-vote"),
    event(121, "n2", "election", phase="vote"),
    event(126, "n2", "won", votes=3, voters=5),
    event(130, "n2", "progress", peer="n3", to="replicate"),
    event(131, "n2", "progress", peer="n4", to="replicate"),
    event(137, "n2", "progress", peer="n5", to="replicate"),
]


def test_each_step_is_when_the_coming_leader_took_it_in_the_campaign_that_won() -> None:
    assert steps(EVENTS, killed_us=100_000, first_write_us=133_500) == {
        "links break": 7.0,
        "leader gone": 10.0,
        "asks": 18.0,
        "may win": 21.0,
        "won": 26.0,
        "no-op held": 31.0,
        "first write": 33.5,
    }


def test_a_step_that_nobody_saw_is_left_out_and_without_a_winner_there_is_no_timeline() -> None:
    silence = [event for event in EVENTS if event["kind"] not in ("link", "leader-gone")]
    assert list(steps(silence, 100_000, 133_500)) == ["asks", "may win", "won", "no-op held", "first write"]
    assert steps(EVENTS, 200_000, 233_500) == {}


def test_the_median_of_a_step_is_over_those_that_saw_it() -> None:
    assert medians([{"asks": 1.0, "won": 2.0}, {"won": 4.0}, {}]) == {"asks": 1.0, "won": 3.0}
