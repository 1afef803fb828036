"""A failover is taken apart into its steps, and what was not seen is not invented."""

import msgspec

from chaos.anatomy import failovers
from chaos.model import Event
from tests.chaos.evidence import S, cut, event, good, kill, log, view, write, writes_and_reads

HISTORY = tuple(
    msgspec.structs.replace(op, via="n2") for op in writes_and_reads(10) if not 5 * S < op.done_us < int(5.6 * S)
)
EVENTS: tuple[Event, ...] = (
    event(1, "n1", "won", 3, 0.0),
    event(1, "n2", "election", 3, 1.0, phase="pre-vote", campaign=1),
    event(2, "n3", "election", 3, 5.20, phase="pre-vote", campaign=1),
    event(3, "n3", "election", 4, 5.25, phase="vote", campaign=1),
    event(4, "n2", "election", 5, 5.30, phase="vote", campaign=2),
    event(5, "n2", "won", 5, 5.35, votes=2, voters=3),
    event(1, "n1", "started", 0, 6.5, boot="again"),
    event(6, "n3", "election", 6, 9.0, phase="pre-vote", campaign=3),
)
VIEWS = (
    *(view(name, 4.9, election_timeout_ms=timeout) for name, timeout in (("n2", 180.0), ("n3", 170.0))),
    view("n1", 4.9, election_timeout_ms=150.0),
    view("n2", 5.38, role="leader", leader="n2", term=5, commit=3),
    view("n2", 5.48, role="leader", leader="n2", term=5, commit=4),
    view("n1", 7.0, boot="again", role="follower", term=5, leader="n2"),
)


def test_every_step_of_a_failover_is_found_with_how_sure_its_time_is() -> None:
    evidence = good(
        HISTORY,
        events=EVENTS,
        views=VIEWS,
        faults=(kill("n1", 5.0, 3),),
        logs={"n2": log(0, 3, 3, 5)},
        uncertainty_us={"n2": 700, "n3": 900},
    )
    (found,) = failovers(evidence)
    assert (found.killed, found.old_term, found.new_leader, found.new_term) == ("n1", 3, "n2", 5)
    assert found.last_acknowledged is not None
    assert found.last_acknowledged.at_us == int(4.96 * S)
    assert found.suspicion is not None
    assert (found.suspicion.at_us, found.suspicion.node, found.suspicion.uncertainty_us) == (int(5.2 * S), "n3", 900)
    assert found.won is not None
    assert (found.won.at_us, found.won.uncertainty_us) == (int(5.35 * S), 700)
    assert found.first_commit is not None
    assert found.first_commit.at_us == int(5.48 * S) + 1000
    assert found.first_commit.uncertainty_us == int(0.1 * S) + 1000
    assert found.first_success is not None
    assert found.first_success.at_us == 5_610_000
    assert found.unavailable_us == 650_000
    assert (found.terms_burned, found.campaigns) == (1, 3)
    assert found.election_timeout_ms == 170.0
    assert found.down_us == int(1.5 * S)


def test_what_was_not_seen_is_none() -> None:
    (found,) = failovers(good([HISTORY[0]], events=(), views=(), logs={}, faults=(kill("n1", 5.0, 3),)))
    assert (found.suspicion, found.won, found.first_commit, found.first_success) == (None, None, None, None)
    assert (found.new_leader, found.new_term, found.terms_burned, found.down_us) == ("", None, None, None)


def test_each_of_several_kills_has_its_own_election() -> None:
    again = event(9, "n1", "won", 6, 8.3, votes=2, voters=3)
    first, second = failovers(good(HISTORY, events=(*EVENTS, again), faults=(kill("n1", 5, 3), kill("n2", 8, 5))))
    assert (first.new_term, second.new_term, second.killed) == (5, 6, "n2")
    assert first.first_success is not None
    assert first.first_success.at_us < 8 * S


def test_a_longer_pause_after_the_election_is_none_of_the_failover() -> None:
    paused = [op for op in HISTORY if not 7 * S < op.done_us < 8 * S]
    (found,) = failovers(good(paused, events=EVENTS, faults=(kill("n1", 5.0, 3),)))
    assert found.unavailable_us == 650_000


def test_a_longer_pause_before_the_kill_is_none_of_the_failover() -> None:
    paused = tuple(op for op in HISTORY if not 3.8 * S < op.done_us < 4.7 * S)
    (found,) = failovers(good(paused, events=EVENTS, faults=(kill("n1", 5.0, 3),)))
    assert found.first_success is not None
    assert found.first_success.at_us == 5_610_000


def test_a_longer_pause_that_ended_before_the_election_was_won_is_none_of_the_failover() -> None:
    """A busy machine, and the last word of the leader that was about to die: the next leads sooner than that took."""
    last_word = write(999, 4.0, 5.02, via="n1")
    paused = (*(op for op in HISTORY if not 3.8 * S < op.done_us <= 5 * S), last_word)
    (found,) = failovers(good(paused, events=EVENTS, faults=(kill("n1", 5.0, 3),)))
    assert found.last_acknowledged is not None
    assert (found.last_acknowledged.at_us, found.unavailable_us) == (5_020_000, 590_000)


def test_a_partition_is_no_failover() -> None:
    assert failovers(good(faults=(cut((("n1",), ("n2", "n3")), 5, 8),))) == ()
