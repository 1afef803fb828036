"""Pitfalls that other implementations of Raft met, by their number in the project's reference: terms and elections."""

import pytest

from node.raft.effects import Persist, Send
from node.raft.errors import InvariantViolation
from node.raft.events import Applied, Deadline, Persisted, Receive
from node.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    Vote,
    VoteReply,
)
from node.raft.types import HardState, Member, Role
from tests.raft.bench import (
    ELECTION_MAX_US,
    ELECTION_MIN_US,
    HEARTBEAT_US,
    candidate,
    commands,
    follower,
    leader,
    member,
    of,
    pre_candidate,
    promised,
    sent,
    traces,
)


def test_pitfall_03_a_vote_leaves_only_inside_the_persist_that_holds_it() -> None:
    server = follower((), term=1)
    effects = server.receive("b", Vote(2, 1, 0))
    assert not of(effects, Send)
    write = of(effects, Persist)[0]
    assert write.hard_state is not None
    assert (write.hard_state.term, write.hard_state.vote) == (2, "b/disk-b")
    assert [(send.to, send.message) for send in write.then] == [("b", VoteReply(2, True, "disk-b"))]


def test_pitfall_03_a_vote_in_a_term_that_is_known_already_is_written_too() -> None:
    server = follower((), term=2)
    write = of(server.receive("b", Vote(2, 1, 0)), Persist)[0]
    assert write.hard_state == HardState(2, "b/disk-b", 1)


def test_pitfall_03_a_repeated_vote_waits_for_the_first_ones_disk_too() -> None:
    server = follower((), term=1)
    server.receive("b", Vote(2, 1, 0))
    effects = server.receive("b", Vote(2, 1, 0))
    assert not of(effects, Send)
    barrier = of(effects, Persist)[0]
    assert barrier.empty
    assert barrier.token == 2
    assert len(barrier.then) == 1


def test_pitfall_03_the_candidates_own_vote_counts_only_when_durable() -> None:
    server, _ = candidate(count=3)
    server.receive("b", VoteReply(2, True))
    assert server.role() is Role.CANDIDATE
    server.persist()
    assert server.role() is Role.LEADER


def test_pitfall_03_an_older_write_does_not_vouch_for_the_own_vote() -> None:
    server, asked = pre_candidate(count=1 + 2)
    server.receive("c", PreVote(1, 1, 0, 5))  # a reply that waits for the disk: a write of its own, before the vote's
    server.receive("b", PreVoteReply(2, True, asked.campaign))
    first, second = server.writing
    server.receive("b", VoteReply(2, True))
    server.step(Persisted(first.token))
    assert server.role() is Role.CANDIDATE
    server.step(Persisted(second.token))
    assert server.role() is Role.LEADER


def test_pitfall_03_a_vote_request_leaves_only_when_term_and_own_vote_are_durable() -> None:
    server, asked = pre_candidate()
    effects = server.receive("b", PreVoteReply(2, True, asked.campaign))
    assert not of(effects, Send)
    write = of(effects, Persist)[0]
    assert write.hard_state is not None
    assert (write.hard_state.term, write.hard_state.vote) == (2, "a/disk-a")
    assert [send.to for send in write.then] == ["b", "c"]


def test_pitfall_03_a_term_is_shown_when_it_is_durable_and_whoever_leads_it_or_got_the_vote_not_before() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    for message in (Heartbeat(4, 1), Vote(5, 1, 0, transfer=True)):
        before = server.raft.status(server.now)
        server.receive("c", message)
        writing = server.raft.status(server.now)
        assert server.raft.term == message.term
        assert (writing.term, writing.leader, writing.vote) == (before.term, "", "")
        server.persist()
        assert server.raft.status(server.now).term == message.term
    assert server.raft.status(server.now).vote == "c"


def test_pitfall_03_a_restart_finds_every_term_that_was_shown() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(7, 1))
    assert server.raft.status(server.now).term == 1, "killed now, it begins in term 1 again"
    (write,) = server.writing
    assert write.hard_state is not None
    server.persist()
    assert server.raft.status(server.now).term == write.hard_state.term == 7


def test_pitfall_04_term_and_entries_of_it_are_one_write_and_writes_are_numbered_in_order() -> None:
    server = follower((), term=1)
    effects = server.receive("b", Append(4, 1, 0, 1, commands(2, [4])))
    (write,) = of(effects, Persist)
    assert write.hard_state is not None
    assert (write.hard_state.term, [entry.term for entry in write.entries]) == (4, [4])
    effects = server.receive("b", Append(4, 2, 4, 1, commands(3, [4])))
    assert [persist.token for persist in of(effects, Persist)] == [write.token + 1]


def test_pitfall_13_a_refused_vote_or_a_pre_vote_does_not_restart_the_election_timer() -> None:
    server = follower((1, 1), term=1)
    due = server.raft.deadline
    server.wait(100_000)
    server.receive("b", Vote(2, 1, 0))  # its log is behind
    server.receive("c", PreVote(3, 9, 2, 1))  # granted
    server.receive("b", PreVote(3, 1, 0, 1))
    assert server.raft.deadline == due
    assert promised(server.receive("b", Vote(2, 9, 2)), VoteReply)[0].granted
    assert server.raft.deadline == server.now + ELECTION_MIN_US


def test_pitfall_14_a_pre_vote_changes_neither_term_nor_vote() -> None:
    server = follower((), term=1, vote="c")
    effects = server.receive("b", PreVote(7, 1, 0, 1))
    assert promised(effects, PreVoteReply) == [PreVoteReply(7, True, 1)]
    assert (server.term, server.vote, server.role()) == (1, "c", Role.FOLLOWER)
    assert of(effects, Persist)[0].empty


def test_pitfall_14_a_refusal_carries_the_own_term_and_frees_one_who_is_behind() -> None:
    server = follower((), term=5)
    assert promised(server.receive("b", PreVote(3, 1, 0, 8)), PreVoteReply) == [PreVoteReply(5, False, 8)]
    behind, _ = pre_candidate(term=2)
    behind.receive("b", PreVoteReply(5, False, 1))
    assert (behind.role(), behind.term) == (Role.FOLLOWER, 5)


def test_pitfall_14_a_granted_pre_vote_reply_of_a_larger_term_does_not_raise_the_term() -> None:
    server, asked = pre_candidate(term=1)
    server.receive("b", PreVoteReply(9, True, asked.campaign))
    assert (server.role(), server.term) == (Role.PRE_CANDIDATE, 1)


def test_pitfall_14_a_pre_candidate_keeps_its_term_however_often_it_asks() -> None:
    server, _ = pre_candidate(term=1)
    for _ in range(50):
        server.deadline()
    assert (server.role(), server.term, server.vote) == (Role.PRE_CANDIDATE, 1, "")
    assert not server.writing


def test_pitfall_14_one_who_voted_elsewhere_in_that_term_grants_no_pre_vote_for_it() -> None:
    server = follower((), term=2, vote="c")
    assert [r.granted for r in promised(server.receive("b", PreVote(2, 1, 0, 1)), PreVoteReply)] == [False]
    assert [r.granted for r in promised(server.receive("c", PreVote(2, 1, 0, 1)), PreVoteReply)] == [True]


def test_pitfall_15_votes_are_counted_by_voter() -> None:
    server, asked = pre_candidate(count=5)
    for _ in range(5):
        server.receive("b", PreVoteReply(2, True, asked.campaign))
    assert server.role() is Role.PRE_CANDIDATE
    server, _ = candidate(count=5)
    server.persist()
    for _ in range(5):
        server.receive("b", VoteReply(2, True))
    assert server.role() is Role.CANDIDATE


def test_pitfall_15_answers_to_an_earlier_campaign_do_not_count() -> None:
    server, first = pre_candidate(count=3)
    second = sent(server.deadline(), PreVote)[0]
    assert second.term == first.term
    server.receive("b", PreVoteReply(2, True, first.campaign))
    assert server.role() is Role.PRE_CANDIDATE
    server.receive("b", PreVoteReply(2, True, second.campaign))
    assert server.role() is Role.CANDIDATE


def test_pitfall_15_votes_of_an_earlier_term_do_not_count() -> None:
    server, _ = candidate(term=2)
    asked = sent(server.deadline(), PreVote)[0]
    server.receive("b", PreVoteReply(3, True, asked.campaign))
    server.persist()
    server.receive("c", VoteReply(2, True))
    assert server.role() is Role.CANDIDATE
    server.receive("c", VoteReply(3, True))
    assert server.role() is Role.LEADER


def test_pitfall_15_a_pre_vote_is_not_a_vote() -> None:
    server, asked = pre_candidate(count=5)
    server.receive("b", PreVoteReply(2, True, asked.campaign))
    server.receive("c", PreVoteReply(2, True, asked.campaign))
    server.persist()
    server.receive("d", PreVoteReply(2, True, asked.campaign))
    server.receive("e", PreVoteReply(2, True, asked.campaign))
    assert server.role() is Role.CANDIDATE


def test_pitfall_16_a_follower_of_a_living_leader_ignores_votes() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    server.wait(ELECTION_MIN_US - 1)
    effects = server.receive("c", Vote(9, 5, 5))
    assert (server.term, server.vote) == (1, "")
    assert not of(effects, Persist)
    assert not of(effects, Send)
    refused = promised(server.receive("c", PreVote(2, 5, 5, 1)), PreVoteReply)
    assert refused == [PreVoteReply(1, False, 1)]


def test_pitfall_16_stickiness_ends_with_the_shortest_election_timeout() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    server.wait(ELECTION_MIN_US)
    assert promised(server.receive("c", PreVote(2, 1, 0, 1)), PreVoteReply) == [PreVoteReply(2, True, 1)]
    assert promised(server.receive("c", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, True)]


def test_pitfall_16_a_leader_with_a_quorum_is_not_disturbed() -> None:
    server = leader()
    server.receive("c", Vote(9, 50, 9))
    server.receive("c", PreVote(3, 50, 9, 1))
    assert (server.role(), server.term) == (Role.LEADER, 2)


def test_pitfall_16_and_19_a_vote_that_the_leader_asked_for_is_heard() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    assert promised(server.receive("c", Vote(2, 1, 0, transfer=True)), VoteReply) == [VoteReply(2, True)]
    handing_over = leader()
    handing_over.receive("b", Vote(3, 2, 2, transfer=True))
    assert (handing_over.role(), handing_over.vote) == (Role.FOLLOWER, "b")


def test_pitfall_17_an_old_leader_learns_of_the_larger_term_from_whom_it_leads() -> None:
    stuck = follower((), term=7)
    for message in (Heartbeat(2, 1), Append(2, 1, 0, 1)):
        (reply,) = promised(stuck.receive("b", message), AppendReply)
        assert (reply.term, reply.success) == (7, False)
        old = leader(term=2)
        old.receive("b", reply)
        assert (old.role(), old.term) == (Role.FOLLOWER, 7)


def test_pitfall_18_a_pre_candidate_has_forgotten_its_leader() -> None:
    server = follower((), term=1)
    server.receive("c", Heartbeat(1, 1))
    server.deadline()
    assert (server.role(), server.raft.leader) == (Role.PRE_CANDIDATE, "")
    reply = promised(server.receive("b", PreVote(2, 1, 0, 1)), PreVoteReply)
    assert reply == [PreVoteReply(2, True, 1)]


def test_pitfall_22_a_leader_that_was_paused_steps_down_before_it_says_anything() -> None:
    server = leader()
    server.propose(b"x")
    server.wait(60_000_000)
    effects = server.step(Deadline())
    assert server.role() is Role.FOLLOWER
    assert traces(effects, "quorum-lost")
    assert not of(effects, Send)


def test_pitfall_22_a_pause_makes_one_deadline_not_a_burst() -> None:
    server = leader(count=1)
    server.wait(60_000_000)
    server.step(Deadline())
    assert server.raft.deadline is not None
    assert server.raft.deadline >= server.now + HEARTBEAT_US


def test_pitfall_22_a_follower_that_was_paused_hears_what_waited_before_it_campaigns() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(1, 1))
    server.wait(60_000_000)
    effects = server.step(Receive(member("b"), Heartbeat(1, 1)), Deadline())
    assert server.role() is Role.FOLLOWER
    assert not sent(effects, PreVote)


def test_check_quorum_a_leader_without_a_quorum_steps_down_within_an_election_timeout() -> None:
    """Thesis 6.2: "a leader steps down if an election timeout elapses without a successful round of heartbeats"."""
    server = leader(count=5)
    for peer in "bcde":
        server.receive(peer, HeartbeatReply(2))
    began = server.now
    while server.role() is Role.LEADER:
        server.deadline()
        if server.role() is Role.LEADER:
            server.receive("b", HeartbeatReply(2))
        assert server.now - began <= ELECTION_MAX_US
    assert (server.raft.leader, server.term) == ("", 2)


def test_check_quorum_a_leader_with_a_bare_quorum_stays() -> None:
    """Thesis 6.2, the other side."""
    server = leader(count=5)
    for _ in range(30):
        server.deadline()
        server.receive("b", HeartbeatReply(2))
        server.receive("c", AppendReply(2, True, 2))
    assert server.role() is Role.LEADER


def test_check_quorum_counts_answers_to_this_leader_only() -> None:
    """One that talks to us, but does not answer us, is not connected."""
    server = leader(count=3)
    began = server.now
    while server.role() is Role.LEADER and server.now < began + 5 * ELECTION_MAX_US:
        server.deadline()
        server.receive("b", PreVote(3, 9, 9, 1))
    assert server.role() is Role.FOLLOWER


def test_an_answer_of_a_stranger_or_of_a_wiped_disk_changes_nothing() -> None:
    """Pitfall 36: an old name with a new disk is not the voter that it was."""
    for stranger in (Member("z", "disk-z"), Member("b", "another disk")):
        server, _ = candidate(count=3)
        server.persist()
        answers = (VoteReply(2, True), HeartbeatReply(9), AppendReply(9, True, 1))
        effects = server.step(*(Receive(stranger, answer) for answer in answers))
        assert (server.role(), server.term) == (Role.CANDIDATE, 2)
        assert len(traces(effects, "refused-message")) == 1
        assert not server.step(Receive(stranger, PreVoteReply(9, True, 1)))
        contact = {peer.name: peer.contact_age_us for peer in server.raft.status(server.now).peers}
        server.wait(1_000)
        server.step(Receive(stranger, HeartbeatReply(9)))
        later = {peer.name: peer.contact_age_us for peer in server.raft.status(server.now).peers}
        assert later["b"] == (None if contact["b"] is None else contact["b"] + 1_000)


def test_applied_is_reported_once_and_in_order() -> None:
    """The driver's mistake is noticed, not absorbed."""
    server = follower((1, 1), term=1)
    server.receive("b", Heartbeat(1, 3))
    server.step(Applied(3))
    for wrong in (3, 4):
        with pytest.raises(InvariantViolation, match="applied"):
            server.step(Applied(wrong))
