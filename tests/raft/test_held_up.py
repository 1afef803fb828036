"""A stalled process is not a dead one: who was held up itself lately gives a silent leader as much longer."""

import pytest

from node.raft.events import Deadline, Receive
from node.raft.messages import Heartbeat, PreVote
from node.raft.types import Role
from tests.raft.bench import ELECTION_MAX_US, ELECTION_MIN_US, Server, follower, member, pre_candidate, sent


def heard() -> Server:
    """A follower that has just heard its leader, b. It drew the shortest timeout."""
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    return server


def test_who_was_held_up_lets_a_silent_leader_be_for_as_much_longer() -> None:
    server = heard()
    server.wait(ELECTION_MIN_US)
    assert not sent(server.step(Deadline(40_000)), PreVote)
    assert server.raft.deadline == server.now + 40_000, "and asks for no deadline before that"
    server.wait(39_999)
    assert not sent(server.step(Deadline(40_000)), PreVote)
    server.wait(1)
    assert sent(server.step(Deadline(40_000)), PreVote)


def test_who_was_in_time_waits_no_longer_than_its_timeout() -> None:
    server = heard()
    server.wait(ELECTION_MIN_US)
    assert sent(server.step(Deadline()), PreVote)


def test_a_longer_stall_adds_what_it_is_longer_and_a_shorter_one_nothing() -> None:
    server = heard()
    due = server.now + ELECTION_MIN_US
    server.wait(ELECTION_MIN_US)
    server.step(Deadline(40_000))
    server.wait(40_000)
    server.step(Deadline(60_000))
    assert server.raft.deadline == due + 60_000
    server.wait(20_000)
    assert sent(server.step(Deadline(10_000)), PreVote)


def test_a_dead_leader_is_replaced_however_busy_the_machine_is() -> None:
    """One longest timeout is all that is added, whatever is said."""
    server = heard()
    server.wait(ELECTION_MIN_US)
    server.step(Deadline(60_000_000))
    assert server.raft.deadline == server.now + ELECTION_MAX_US
    server.wait(ELECTION_MAX_US)
    assert sent(server.step(Deadline(60_000_000)), PreVote)


def test_a_leader_that_is_heard_meanwhile_keeps_its_lead_and_the_next_silence_is_judged_anew() -> None:
    server = heard()
    server.wait(ELECTION_MIN_US)
    server.step(Deadline(40_000))
    server.wait(30_000)
    server.step(Receive(member("b"), Heartbeat(1, 1)))
    assert server.raft.deadline == server.now + ELECTION_MIN_US
    server.wait(ELECTION_MIN_US)
    server.step(Deadline(40_000))
    assert server.role() is Role.FOLLOWER
    assert server.raft.deadline == server.now + 40_000


@pytest.mark.parametrize("held_up_us", [0, 40_000])
def test_a_campaign_that_nobody_answers_is_begun_anew_after_the_same_time(held_up_us: int) -> None:
    server, _ = pre_candidate((), term=1)
    due = server.raft.deadline
    assert due is not None
    server.wait(due - server.now)
    assert bool(sent(server.step(Deadline(held_up_us)), PreVote)) == (held_up_us == 0)
    server.wait(held_up_us)
    server.step(Deadline(held_up_us))
    assert server.raft.deadline is not None
    assert server.raft.deadline > due + held_up_us
