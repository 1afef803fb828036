"""Sentences of the Raft paper about terms and elections (figure 2, sections 5.1, 5.2, 5.4.1), one test each."""

import pytest

from node.raft.effects import Persist
from node.raft.events import Deadline
from node.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    Vote,
    VoteReply,
)
from node.raft.settings import RaftSettings
from node.raft.types import HardState, Role
from tests.raft.bench import (
    ELECTION_MIN_US,
    HEARTBEAT_US,
    Server,
    candidate,
    follower,
    leader,
    log_of,
    names,
    of,
    pre_candidate,
    promised,
    receivers,
    sent,
    traces,
)

NEWER: list[RaftMessage] = [
    Append(9, 1, 0, 1),
    Heartbeat(9, 1),
    AppendReply(9, False, 1),
    HeartbeatReply(9),
    Vote(9, 1, 0),
    VoteReply(9, False),
    PreVoteReply(9, False, 1),
]


@pytest.mark.parametrize("message", NEWER, ids=lambda m: type(m).__name__)
def test_a_server_that_sees_a_larger_term_updates_its_own(message: RaftMessage) -> None:
    """5.1: "if one server's current term is smaller than the other's, then it updates its current term"."""
    server = follower((), term=1)
    effects = server.receive("b", message)
    assert server.term == 9
    hard = of(effects, Persist)[0].hard_state
    assert hard is not None
    assert hard.term == 9


@pytest.mark.parametrize(
    "message", [m for m in NEWER if not isinstance(m, (Vote, PreVoteReply))], ids=lambda m: type(m).__name__
)
def test_a_leader_that_finds_its_term_out_of_date_reverts_to_follower(message: RaftMessage) -> None:
    """5.1: "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower"."""
    server = leader()
    server.receive("b", message)
    assert (server.role(), server.term, server.vote) == (Role.FOLLOWER, 9, "")


@pytest.mark.parametrize("message", NEWER, ids=lambda m: type(m).__name__)
def test_a_candidate_that_finds_its_term_out_of_date_reverts_to_follower(message: RaftMessage) -> None:
    """5.1, the same sentence for candidates."""
    server, _ = candidate()
    server.receive("b", message)
    assert (server.role(), server.term) == (Role.FOLLOWER, 9)


def test_a_request_with_a_stale_term_is_rejected() -> None:
    """5.1: "If a server receives a request with a stale term number, it rejects the request"."""
    server = follower((3,), term=5)
    before = server.raft.deadline
    for stale in (Append(4, 2, 3, 2), Heartbeat(4, 2)):
        effects = server.receive("b", stale)
        assert [reply.success for reply in promised(effects, AppendReply)] == [False]
        assert [reply.term for reply in promised(effects, AppendReply)] == [5]
        assert not sent(effects, HeartbeatReply)
    assert promised(server.receive("b", Vote(4, 9, 4)), VoteReply) == [VoteReply(5, False)]
    assert (server.raft.leader, server.vote, server.commit, server.raft.deadline) == ("", "", 1, before)


def test_terms_are_never_lowered() -> None:
    """5.1: "current terms ... increases monotonically over time"."""
    server = follower((), term=5)
    for message in (Append(3, 1, 0, 1), Vote(4, 9, 9), AppendReply(1, True, 1), PreVoteReply(2, False, 1)):
        server.receive("b", message)
        assert server.term == 5


def test_servers_start_as_followers() -> None:
    """5.2: "When servers start up, they begin as followers"."""
    server = Server(hard=HardState(4, "a", 1), entries=log_of((1, 4)))
    assert (server.role(), server.term, server.vote) == (Role.FOLLOWER, 4, "a")


def test_a_server_stays_follower_while_it_hears_its_leader() -> None:
    """5.2: "A server remains in follower state as long as it receives valid RPCs from a leader"."""
    server = follower((), term=1)
    for _ in range(20):
        server.receive("b", Heartbeat(1, 1))
        server.pass_time(HEARTBEAT_US)
        server.receive("b", Append(1, 1, 0, 1))
        server.pass_time(HEARTBEAT_US)
    assert (server.role(), server.raft.leader) == (Role.FOLLOWER, "b")


def test_a_leader_sends_heartbeats_to_all_followers() -> None:
    """5.2: "Leaders send periodic heartbeats to all followers in order to maintain their authority"."""
    server = leader(count=5)
    assert receivers(server.deadline(), Heartbeat)
    for _ in range(3):
        before = server.now
        effects = server.deadline()
        assert server.now - before == HEARTBEAT_US
        assert receivers(effects, Heartbeat) == ["b", "c", "d", "e"]
        for peer in "bcde":
            server.receive(peer, HeartbeatReply(2))


def test_a_new_leader_says_so_to_all_at_once() -> None:
    """5.2: "it then sends heartbeat messages to all of the other servers to establish its authority". The Append with
    its first entry is such a message; a heartbeat beside it would come back first, and have the Append sent again."""
    server, request = candidate()
    server.persist()
    effects = server.receive("b", VoteReply(request.term, True))
    assert receivers(effects, Append) == ["b", "c"]
    assert not receivers(effects, Heartbeat)
    assert server.raft.deadline == server.now + HEARTBEAT_US
    assert receivers(server.deadline(), Heartbeat) == ["b", "c"]


def test_silence_for_an_election_timeout_begins_an_election() -> None:
    """5.2: "If a follower receives no communication over a period of time called the election timeout"."""
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    server.wait(ELECTION_MIN_US - 1)
    server.step(Deadline())
    assert server.role() is Role.FOLLOWER
    server.wait(1)
    server.step(Deadline())
    assert server.role() is Role.PRE_CANDIDATE


def test_a_candidate_increments_its_term_and_votes_for_itself() -> None:
    """5.2: "a follower increments its current term and transitions to candidate state. It then votes for itself"."""
    server, request = candidate(term=2)
    assert (server.role(), server.term, server.vote) == (Role.CANDIDATE, 2, "a")
    hard = server.writing[-1].hard_state
    assert hard is not None
    assert (hard.term, hard.vote) == (2, "a/disk-a")
    assert request.term == 2


def test_a_candidate_asks_each_of_the_other_servers() -> None:
    """5.2: "issues RequestVote RPCs in parallel to each of the other servers in the cluster"."""
    server, _ = candidate(count=5)
    assert [send.to for send in server.writing[-1].then] == ["b", "c", "d", "e"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7])
def test_a_candidate_wins_with_a_majority_and_not_before(count: int) -> None:
    """5.2: "A candidate wins an election if it receives votes from a majority of the servers in the full cluster"."""
    server = follower(count=count)
    server.deadline()
    for voter in names(count)[1:]:
        if server.role() is Role.PRE_CANDIDATE:
            server.receive(voter, PreVoteReply(2, True, campaign=1))
    assert server.role() is Role.CANDIDATE
    server.persist()
    granted = 1
    for voter in names(count)[1:]:
        assert (server.role() is Role.LEADER) == (granted > count / 2)
        server.receive(voter, VoteReply(2, True))
        granted += 1
    assert server.role() is Role.LEADER


def test_each_server_votes_for_one_candidate_a_term_first_come_first_served() -> None:
    """5.2: "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis"."""
    server = follower((), term=1)
    assert promised(server.receive("b", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, True)]
    assert promised(server.receive("c", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, False)]
    assert promised(server.receive("b", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, True)]
    assert server.vote == "b"


def test_a_vote_survives_a_restart_and_is_kept_within_its_term() -> None:
    """Figure 2: votedFor is persistent state: after a restart the same term still has one vote."""
    server = follower((), term=2, vote="b")
    assert promised(server.receive("c", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, False)]
    assert promised(server.receive("b", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, True)]


def test_a_new_term_brings_a_new_vote() -> None:
    """5.2: one vote a term, so a larger term frees it."""
    server = follower((), term=2, vote="b")
    assert promised(server.receive("c", Vote(3, 1, 0)), VoteReply) == [VoteReply(3, True)]
    assert server.vote == "c"


def test_a_candidate_recognises_a_leader_of_its_own_term() -> None:
    """5.2: "If the leader's term is at least as large as the candidate's ... returns to follower state"."""
    for message in (Append(2, 1, 0, 1), Heartbeat(2, 1)):
        server, _ = candidate(term=2)
        server.receive("b", message)
        assert (server.role(), server.raft.leader, server.vote) == (Role.FOLLOWER, "b", "a")


def test_a_candidate_rejects_a_leader_of_an_older_term() -> None:
    """5.2: "If the term in the RPC is smaller ... the candidate rejects the RPC and continues in candidate state"."""
    server, _ = candidate(term=3)
    effects = server.receive("b", Append(2, 1, 0, 1))
    assert server.role() is Role.CANDIDATE
    assert promised(effects, AppendReply)[0].term == 3


def test_a_candidate_that_neither_wins_nor_loses_starts_a_new_election() -> None:
    """5.2: "each candidate will time out and start a new election by incrementing its term"."""
    server, _ = candidate(term=2)
    server.persist()
    request = sent(server.deadline(), PreVote)[0]
    assert (server.role(), server.term, request.term) == (Role.PRE_CANDIDATE, 2, 3)
    server.receive("b", PreVoteReply(3, True, request.campaign))
    assert (server.role(), server.term) == (Role.CANDIDATE, 3)


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 150_000), (0.5, 225_000), (0.999999, 300_000)])
def test_election_timeouts_are_drawn_from_the_whole_interval(draw: float, expected: int) -> None:
    """5.2: "election timeouts are chosen randomly from a fixed interval (e.g., 150-300ms)"."""
    server = Server(hard=HardState(1, "", 1), entries=log_of(()), draw=draw)
    assert server.raft.deadline is not None
    assert server.raft.deadline - server.now == expected


def test_each_candidate_draws_a_new_timeout_for_each_election() -> None:
    """5.2: "Each candidate restarts its randomized election timeout at the start of an election"."""
    server = follower()
    chance = server.raft._state.chance
    for draw, expected in ((0.5, 225_000), (0.2, 180_000), (0.9, 285_000)):
        chance.draw = draw  # type: ignore[attr-defined]
        server.deadline()
        assert server.raft.deadline == server.now + expected


def test_settings_refuse_an_election_timeout_that_heartbeats_cannot_hold() -> None:
    """5.6: broadcastTime << electionTimeout."""
    with pytest.raises(Exception, match="heartbeat_us < election_min_us"):
        RaftSettings(heartbeat_us=150_000, election_min_us=150_000, election_max_us=300_000)
    with pytest.raises(Exception, match="election_min_us <= election_max_us"):
        RaftSettings(election_min_us=300_000, election_max_us=200_000)


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [
        (4, 2, True),  # the same
        (5, 2, True),  # longer in the same term
        (3, 2, False),  # shorter in the same term
        (2, 3, True),  # shorter, but of a later term
        (9, 1, False),  # longer, but of an earlier term
    ],
)
def test_the_voter_denies_its_vote_if_its_own_log_is_more_up_to_date(
    last_index: int, last_term: int, granted: bool
) -> None:
    """5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate"."""
    server = follower((1, 2, 2), term=5)
    assert promised(server.receive("b", Vote(6, last_index, last_term)), VoteReply) == [VoteReply(6, granted)]
    assert server.vote == ("b" if granted else "")
    server = follower((1, 2, 2), term=5)
    assert [r.granted for r in promised(server.receive("b", PreVote(6, last_index, last_term, 1)), PreVoteReply)] == [
        granted
    ]


def test_a_request_for_votes_carries_the_end_of_the_log() -> None:
    """5.4.1: "the RPC includes information about the candidate's log"."""
    server, asked = pre_candidate((1, 1, 3), term=4)
    assert (asked.last_index, asked.last_term) == (4, 3)
    server.receive("b", PreVoteReply(5, True, asked.campaign))
    request = promised(server.writing, Vote)[0]
    assert (request.last_index, request.last_term) == (4, 3)


def test_losing_an_election_is_followed_by_waiting_not_by_a_new_term() -> None:
    """5.2: a candidate refused by a majority knows that it cannot win this term."""
    server, _ = candidate(term=2)
    server.persist()
    server.receive("b", VoteReply(2, False))
    assert server.role() is Role.CANDIDATE
    server.receive("c", VoteReply(2, False))
    assert (server.role(), server.term, server.vote) == (Role.FOLLOWER, 2, "a")
    due = server.raft.deadline
    assert due is not None
    assert due > server.now


def test_visible_states_of_a_won_election() -> None:
    """5.1 and thesis 9.6: follower, pre-candidate, candidate, leader, each seen in the trace."""
    server, request = pre_candidate()
    effects = server.receive("b", PreVoteReply(request.term, True, request.campaign))
    assert [trace.detail["to"] for trace in traces(effects, "role")] == ["candidate"]
    server.persist()
    effects = server.receive("b", VoteReply(2, True))
    assert [trace.detail["to"] for trace in traces(effects, "role")] == ["leader"]
