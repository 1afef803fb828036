"""Sentences of the Raft paper about log replication and safety (figure 2, sections 5.3, 5.4, 8), one test each."""

import pytest

from node.raft.effects import Accepted, Apply, Persist, Refused
from node.raft.errors import InvariantViolation, NotLeader
from node.raft.events import Proposal, Propose, Receive
from node.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    ReadContext,
    ReadIndex,
    ReadIndexReply,
    VoteReply,
)
from node.raft.types import Entry, EntryKind, Role
from tests.raft.bench import (
    Server,
    candidate,
    commands,
    follower,
    leader,
    log_of,
    member,
    of,
    promised,
    receivers,
    sent,
)


def test_the_leader_appends_the_command_and_sends_it_to_every_other_server() -> None:
    """5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel"."""
    server = leader(count=5)
    effects = server.propose(b"one")
    assert of(effects, Accepted) == [Accepted((1,), 2, 3)]
    assert [e.data for e in of(effects, Persist)[0].entries] == [b"one"]
    assert receivers(effects, Append) == ["b", "c", "d", "e"]
    for message in sent(effects, Append):
        assert (message.prev_index, message.prev_term) == (2, 2)
        assert [(e.index, e.term, e.data) for e in message.entries] == [(3, 2, b"one")]


def test_a_command_that_comes_in_the_very_step_of_the_election_goes_behind_the_no_op_and_with_it() -> None:
    """8: "have each leader commit a blank no-op entry into the log at the start of its term"."""
    server, request = candidate(count=3)
    server.persist()
    vote = Receive(member("b"), VoteReply(request.term, True))
    effects = server.step(vote, Propose((Proposal(1, b"one"),)))
    assert server.role() is Role.LEADER
    for message in sent(effects, Append):
        assert [(entry.kind, entry.data) for entry in message.entries] == [
            (EntryKind.NOOP, b""),
            (EntryKind.WRITE, b"one"),
        ]
    assert receivers(effects, Append) == ["b", "c"]


def test_a_follower_does_not_take_commands() -> None:
    """5.1: followers "redirect" clients: here a refusal that names the leader, and nothing happened."""
    server = follower()
    assert of(server.propose(b"x"), Refused) == [Refused((1,), NotLeader(""))]
    server.receive("b", Heartbeat(1, 1))
    assert of(server.propose(b"x"), Refused) == [Refused((1,), NotLeader("b"))]
    assert server.last_index == 1


def test_an_entry_is_committed_once_a_majority_has_it() -> None:
    """5.3: "A log entry is committed once the leader ... has replicated it on a majority of the servers"."""
    server = leader(count=5)
    server.propose(b"one")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    assert server.commit == 2
    effects = server.receive("c", AppendReply(2, True, 3))
    assert server.commit == 3
    assert [entry.index for apply in of(effects, Apply) for entry in apply.entries] == [3]


def test_preceding_entries_are_committed_with_it() -> None:
    """5.3: "This also commits all preceding entries in the leader's log, including ... by previous leaders"."""
    server = leader((1, 1), term=3, vouched=False)
    server.receive("b", AppendReply(3, True, 4))
    assert server.commit == 4
    assert server.terms == [0, 1, 1, 3]


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """5.4.2: "Raft never commits log entries from previous terms by counting replicas"."""
    server = leader((1, 1), term=3, vouched=False)
    server.receive("b", AppendReply(3, True, 3))
    server.receive("c", AppendReply(3, True, 3))
    assert server.commit == 1
    server.receive("c", AppendReply(3, True, 4))
    assert server.commit == 4


def test_followers_learn_of_the_commit_index_and_apply_in_log_order() -> None:
    """5.3: "Once a follower learns that a log entry is committed, it applies the entry ... in log order"."""
    server = follower((1, 1, 1), term=1)
    effects = server.receive("b", Heartbeat(1, 3))
    assert [entry.index for entry in of(effects, Apply)[0].entries] == [2, 3]
    server.apply_next()
    effects = server.receive("b", Append(1, 4, 1, 4))
    assert [entry.index for entry in of(effects, Apply)[0].entries] == [4]


def test_the_leader_tells_the_commit_index_in_later_appends() -> None:
    """5.3: "it includes that index in future AppendEntries RPCs (including heartbeats)"."""
    server = leader()
    server.propose(b"one")
    server.persist()
    assert not sent(server.receive("b", AppendReply(2, True, 3)), Append), "the next entries say it"
    effects = server.propose(b"two")
    assert [message.commit for message in sent(effects, Append, "b")] == [3]
    beats = server.heartbeat()
    assert [m.commit for m in sent(beats, Heartbeat, "b")] == [3]


def test_the_consistency_check_refuses_a_gap() -> None:
    """5.3: "If the follower does not find an entry in its log with the same index and term, then it refuses"."""
    server = follower((1,), term=1)
    effects = server.receive("b", Append(1, 5, 1, 1, commands(6, [1])))
    assert [(reply.success, reply.index) for reply in promised(effects, AppendReply)] == [(False, 5)]
    assert server.terms == [0, 1]


def test_the_consistency_check_refuses_another_term() -> None:
    """5.3: the same sentence; same index, other term."""
    server = follower((1, 1), term=3)
    effects = server.receive("b", Append(3, 3, 2, 1, commands(4, [3])))
    assert [reply.success for reply in promised(effects, AppendReply)] == [False]
    assert server.terms == [0, 1, 1]


def test_what_matches_is_appended_and_acknowledged() -> None:
    """Figure 2, AppendEntries 4: "Append any new entries not already in the log"."""
    server = follower((1, 1), term=1)
    effects = server.receive("b", Append(1, 3, 1, 1, commands(4, [1, 1])))
    assert promised(effects, AppendReply) == [AppendReply(1, True, 5)]
    assert [entry.index for entry in of(effects, Persist)[0].entries] == [4, 5]


def test_conflicting_entries_are_overwritten_with_the_leaders() -> None:
    """5.3: "conflicting entries in follower logs will be overwritten with entries from the leader's log"."""
    server = follower((1, 1, 2, 2), term=2, commit=2)
    effects = server.receive("b", Append(3, 3, 1, 2, commands(4, [3])))
    write = of(effects, Persist)[0]
    assert (write.truncate_from, [entry.term for entry in write.entries]) == (4, [3])
    assert server.terms == [0, 1, 1, 3]


def test_a_leader_never_overwrites_or_deletes_entries_in_its_log() -> None:
    """5.3, Leader Append-Only: whatever old leaders still send."""
    server = leader((1, 1), term=3)
    server.propose(b"x")
    before = server.terms
    for message in (Append(2, 1, 0, 1, commands(2, [2])), Append(1, 2, 1, 1, ()), Heartbeat(2, 1)):
        effects = server.receive("b", message)
        assert server.terms == before
        assert [reply.success for reply in promised(effects, AppendReply)] == [False]
    assert server.role() is Role.LEADER


def test_two_leaders_in_one_term_stop_the_node() -> None:
    """5.2, Election Safety: "at most one leader can be elected in a given term": the other way is no Raft any more."""
    with pytest.raises(InvariantViolation, match="two leaders in term 2"):
        leader().receive("b", Append(2, 1, 0, 1))
    server = follower((), term=2)
    server.receive("b", Heartbeat(2, 1))
    with pytest.raises(InvariantViolation, match="two leaders in term 2: b and c"):
        server.receive("c", Heartbeat(2, 1))


def test_next_index_begins_just_after_the_leaders_last_entry() -> None:
    """5.3: "it initializes all nextIndex values to the index just after the last one in its log"."""
    server, _ = candidate((1, 1, 1), term=2)
    server.persist()
    effects = server.receive("b", VoteReply(2, True))
    assert {(m.prev_index, m.prev_term) for m in sent(effects, Append)} == {(4, 1)}


def test_after_a_rejection_the_leader_decrements_next_index_and_retries() -> None:
    """5.3: "After a rejection, the leader decrements nextIndex and retries ... Eventually nextIndex will reach a
    point where the leader and follower logs match"."""
    server = leader((1, 1, 1), term=2, vouched=False)
    effects = server.receive("b", AppendReply(2, False, 4, 3, 1))
    (retry,) = sent(effects, Append, "b")
    assert (retry.prev_index, retry.prev_term) == (3, 1)
    assert [entry.index for entry in retry.entries] == [4, 5]
    effects = server.receive("b", AppendReply(2, True, 5))
    assert server.raft.status(server.now).peers[0].match_index == 5


def test_a_new_leader_commits_a_blank_entry_of_its_term() -> None:
    """8: "each leader commit a blank no-op entry into the log at the start of its term"."""
    server = leader((1,), term=4, vouched=False)
    noop = server.raft.entries(3, 1)[0]
    assert (noop.term, noop.kind, noop.data) == (4, EntryKind.NOOP, b"")
    assert server.commit == 1
    server.receive("b", AppendReply(4, True, 3))
    assert server.commit == 3


def test_the_log_matching_property_holds_after_any_prefix_is_sent_again() -> None:
    """5.3, Log Matching: equal index and term mean equal logs up to there."""
    server = follower((1, 1, 2), term=3)
    theirs = log_of((1, 1, 2, 3, 3))
    for last in (3, 6, 4, 5, 2, 6):
        server.receive("b", Append(3, 1, 0, 1, theirs[1:last]))
        held = server.raft.entries(1, 100)
        assert held == theirs[: len(held)]
    assert server.terms == [entry.term for entry in theirs]


def test_nothing_is_applied_before_it_is_committed() -> None:
    """5.4.3, State Machine Safety: only committed entries reach the state machine."""
    server = leader()
    assert not of(server.propose(b"x"), Apply)
    assert not of(server.persist(), Apply)
    assert of(server.receive("c", AppendReply(2, True, 3)), Apply)


def test_entries_carry_time_session_and_sequence() -> None:
    """8: commands carry what exactly-once needs."""
    server = leader()
    time_us = server.raft.status(server.now).log_time_us
    server.step(Propose((Proposal(1, b"x", session=7, sequence=9),)))
    assert server.raft.entries(3, 1) == (Entry(3, 2, EntryKind.WRITE, b"x", time_us, 7, 9),)


def committed() -> Server:
    """A leader whose write both followers hold and do not know to be committed."""
    server = leader()
    server.propose(b"x")
    server.persist()
    for peer in "bc":
        assert not sent(server.receive(peer, AppendReply(2, True, 3)), Append)
    return server


def test_idle_followers_are_told_of_the_commit_without_waiting_for_a_heartbeat() -> None:
    """5.3: what nobody waits for may wait for the next entries to carry it; where none come, for a moment alone."""
    server = committed()
    due = server.raft.timers(server.now)["tell-commit"]
    assert 0 < due <= server.raft.timers(server.now)["heartbeat"] / 5
    effects = server.deadline()
    for peer in "bc":
        assert [(m.commit, m.entries) for m in sent(effects, Append, peer)] == [(3, ())]
        assert not sent(server.receive(peer, AppendReply(2, True, 3)), Append)
        assert not sent(server.receive(peer, HeartbeatReply(2)), Append)
    assert "tell-commit" not in server.raft.timers(server.now)


def test_a_commit_that_a_heartbeat_has_told_needs_no_message_of_its_own() -> None:
    """The round of a read is one, too."""
    server = committed()
    effects = server.read(1)
    assert [m.commit for m in sent(effects, Heartbeat)] == [3, 3]
    assert "tell-commit" not in server.raft.timers(server.now)


def test_a_follower_that_reads_is_told_of_the_commit_at_once() -> None:
    """8: its client waits until that is applied there."""
    server = leader()
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    asked = server.receive("c", ReadIndex(2, ReadContext("c", "boot-9", 1)))
    assert [m.commit for m in sent(asked, Heartbeat, "c")] == [2], "it is not known to hold more"
    (round_,) = (m.context for m in sent(asked, Heartbeat, "b"))
    assert [m.index for m in sent(server.receive("b", HeartbeatReply(2, round_)), ReadIndexReply, "c")] == [3]
    effects = server.receive("c", AppendReply(2, True, 3))
    assert [(m.commit, m.entries) for m in sent(effects, Append)] == [(3, ())]
    assert receivers(effects, Append) == ["c"]
