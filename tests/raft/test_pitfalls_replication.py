"""Pitfalls that other implementations of Raft met, by their number in the project's reference: log and commit."""

import pytest

from node.raft import membership
from node.raft.effects import Accepted, Apply, Persist, Refused, Send
from node.raft.errors import InvariantViolation
from node.raft.events import Persisted, Proposal, Propose, Receive
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply, Lane, ReadIndex, Vote, VoteReply, lane_of
from node.raft.settings import RaftSettings
from node.raft.types import EntryKind, HardState, Role
from tests.raft.bench import (
    Server,
    candidate,
    commands,
    follower,
    leader,
    log_of,
    member,
    names,
    of,
    promised,
    sent,
)


def test_pitfall_01_figure_8_an_old_entry_on_a_majority_is_not_committed() -> None:
    server = leader((2,), term=4, count=5, vouched=False)
    for peer in "bcd":
        server.receive(peer, AppendReply(4, True, 2))
    assert server.commit == 1
    server.receive("b", AppendReply(4, True, 3))
    assert server.commit == 1
    server.receive("c", AppendReply(4, True, 3))
    assert server.commit == 3


def test_pitfall_02_the_noop_is_appended_even_when_the_log_is_full() -> None:
    tiny = RaftSettings(log_bytes_max=1, uncommitted_bytes_max=1)
    server = leader((1, 1), term=2, settings=tiny)
    assert server.raft.entries(4, 1)[0].kind is EntryKind.NOOP
    assert server.commit == 4


def test_pitfall_02_a_proposal_in_the_step_that_wins_does_not_displace_commitment_in_the_term() -> None:
    server, _ = candidate()
    server.persist()
    effects = server.step(
        Receive(member("b"), VoteReply(2, True)),
        Propose((Proposal(1, b"x"),)),
        Receive(member("c"), VoteReply(2, True)),
    )
    assert server.role() is Role.LEADER
    accepted = of(effects, Accepted)[0]
    entry = server.raft.entries(accepted.first_index, 1)[0]
    assert (entry.term, entry.data) == (2, b"x")


def test_pitfall_03_an_acknowledgement_leaves_only_inside_the_persist_of_its_entries() -> None:
    server = follower((), term=1)
    effects = server.receive("b", Append(1, 1, 0, 1, commands(2, [1])))
    assert not of(effects, Send)
    write = of(effects, Persist)[0]
    assert [entry.index for entry in write.entries] == [2]
    assert [send.message for send in write.then] == [AppendReply(1, True, 2)]


def test_pitfall_03_a_repeated_append_is_acknowledged_behind_the_first_ones_disk() -> None:
    server = follower((), term=1)
    server.receive("b", Append(1, 1, 0, 1, commands(2, [1])))
    effects = server.receive("b", Append(1, 1, 0, 1, commands(2, [1])))
    assert not of(effects, Send)
    assert of(effects, Persist)[0].empty
    assert promised(effects, AppendReply) == [AppendReply(1, True, 2)]


def test_pitfall_03_acknowledgements_of_one_step_are_one_and_it_is_the_highest() -> None:
    server = follower((), term=1)
    effects = server.receive(
        "b",
        Append(1, 1, 0, 1, commands(2, [1])),
        Append(1, 2, 1, 1, commands(3, [1])),
        Append(1, 1, 0, 1, ()),
    )
    assert len(of(effects, Persist)) == 1
    assert promised(effects, AppendReply) == [AppendReply(1, True, 3)]


def test_pitfall_05_a_leader_sends_before_its_own_fsync_but_counts_itself_after_it() -> None:
    server = leader(count=3)
    effects = server.propose(b"x")
    assert len(sent(effects, Append)) == 2
    server.receive("b", AppendReply(2, True, 3))
    assert server.commit == 2
    server.persist()
    assert server.commit == 3


def test_pitfall_05_a_quorum_without_the_leader_commits_but_the_leader_applies_what_it_has_on_disk() -> None:
    server = leader(count=3)
    server.propose(b"x")
    server.receive("b", AppendReply(2, True, 3))
    effects = server.receive("c", AppendReply(2, True, 3))
    assert server.commit == 3
    assert not of(effects, Apply)
    assert of(server.persist(), Apply)


def overwritten_before_durable() -> Server:
    """Leader b of term 2 wrote 2 and 3; before the disk confirmed, leader c of term 3 replaced 3."""
    server = follower((), term=2)
    server.receive("b", Append(2, 1, 0, 1, commands(2, [2, 2])))
    server.receive("c", Append(3, 2, 2, 1, commands(3, [3])))
    return server


def test_pitfall_06_a_late_confirmation_does_not_make_an_overwritten_entry_durable() -> None:
    server = overwritten_before_durable()
    first, second = server.writing
    assert (second.truncate_from, [entry.term for entry in second.entries]) == (3, [3])
    server.step(Persisted(first.token))
    assert server.raft.status(server.now).durable == 2
    assert server.terms == [0, 2, 3]
    applied = of(server.receive("c", Heartbeat(3, 3)), Apply)
    assert [apply.entries[-1].index for apply in applied] in ([], [2])
    server.step(Persisted(second.token))
    assert server.raft.status(server.now).durable == 3


def test_pitfall_06_a_then_b_then_a_again_needs_its_own_write() -> None:
    """Index 3 holds term 2, then 3, then entries of term 4: three writes, and only the last one vouches for it."""
    server = overwritten_before_durable()
    server.receive("b", Append(4, 2, 2, 1, commands(3, [4])))
    durable = []
    for write in list(server.writing):
        server.step(Persisted(write.token))
        durable.append(server.raft.status(server.now).durable)
    assert durable == [2, 2, 3]


def test_pitfall_06_what_was_durable_and_is_overwritten_is_so_no_more() -> None:
    server = follower((1, 1), term=1)
    assert server.raft.status(server.now).durable == 3
    effects = server.receive("c", Append(2, 2, 1, 3, commands(3, [2])))
    assert server.raft.status(server.now).durable == 2
    assert [entry.index for apply in of(effects, Apply) for entry in apply.entries] == [2]
    server.apply_next()
    assert [entry.term for apply in of(server.persist(), Apply) for entry in apply.entries] == [2]


def test_pitfall_06_a_leader_does_not_count_its_overwritten_entries() -> None:
    """The same race on a server that comes to lead: its own copy counts by the write that holds it."""
    server = overwritten_before_durable()
    first, second = server.writing[0], server.writing[1]
    server.step(Persisted(first.token))
    status = server.raft.status(server.now)
    assert (status.durable, status.last_index, second.token) == (2, 3, first.token + 1)


def test_pitfall_06_what_was_truncated_before_it_was_written_needs_no_truncation_on_disk() -> None:
    server = follower((), term=2)
    effects = server.step(
        Receive(member("b"), Append(2, 1, 0, 1, commands(2, [2, 2]))),
        Receive(member("c"), Append(3, 2, 2, 1, commands(3, [3, 3]))),
    )
    (write,) = of(effects, Persist)
    assert write.truncate_from is None
    assert [(entry.index, entry.term) for entry in write.entries] == [(2, 2), (3, 3), (4, 3)]


def test_pitfall_07_a_delayed_append_does_not_shorten_the_log() -> None:
    server = follower((1, 1, 1, 1), term=1)
    for late in (Append(1, 1, 0, 1, commands(2, [1])), Append(1, 2, 1, 1, ()), Append(1, 1, 0, 1, commands(2, [1, 1]))):
        effects = server.receive("b", late)
        assert server.terms == [0, 1, 1, 1, 1]
        assert all(write.truncate_from is None for write in of(effects, Persist))


def test_pitfall_07_truncation_begins_at_the_first_real_conflict() -> None:
    server = follower((1, 1, 2, 2, 2), term=2)
    server.receive("b", Append(3, 1, 0, 1, commands(2, [1, 1, 2, 3])))
    assert server.terms == [0, 1, 1, 2, 3]
    assert server.writing[-1].truncate_from == 5


def test_pitfall_08_a_committed_entry_is_never_removed() -> None:
    server = follower((1, 1, 1), term=1, commit=3)
    with pytest.raises(InvariantViolation, match="asked to truncate from 3, committed is 3"):
        membership.truncate_from(server.raft._state, 3, server.now)
    server.receive("b", Append(2, 1, 0, 1, commands(2, [1, 2, 2])))  # contradicts index 3, which is committed
    assert server.terms[:3] == [0, 1, 1]


def test_pitfall_08_a_recovered_commit_beyond_the_log_stops_the_node() -> None:
    with pytest.raises(InvariantViolation, match="recovered commit index 5"):
        Server(hard=HardState(1, "", 5), entries=log_of((1,)))


def test_pitfall_09_a_follower_commits_no_further_than_the_last_new_entry() -> None:
    server = follower((1, 1, 1), term=1)
    server.receive("b", Append(2, 2, 1, 4, ()))
    assert server.commit == 2
    server.receive("b", Append(2, 2, 1, 4, commands(3, [1])))
    assert server.commit == 3


def test_pitfall_09_a_heartbeat_carries_no_more_than_the_follower_is_known_to_hold() -> None:
    server = leader(count=3)
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    assert server.commit == 3
    beats = server.heartbeat()
    assert [m.commit for m in sent(beats, Heartbeat, "b")] == [3]
    assert [m.commit for m in sent(beats, Heartbeat, "c")] == [2]


def test_pitfall_09_so_does_the_heartbeat_of_a_read_round() -> None:
    server = leader(count=3)
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    effects = server.read(1)
    assert [m.commit for m in sent(effects, Heartbeat, "c")] == [2]


def test_pitfall_10_an_append_below_the_commit_index_is_answered_with_it() -> None:
    server = follower((1, 1, 1), term=1, commit=4)
    effects = server.receive("b", Append(1, 2, 1, 2, ()))
    assert promised(effects, AppendReply) == [AppendReply(1, True, 4)]
    effects = server.receive("b", Append(1, 2, 1, 2, commands(3, [1, 1, 1])))
    assert promised(effects, AppendReply) == [AppendReply(1, True, 5)]
    assert server.terms == [0, 1, 1, 1, 1]


def repair(theirs: list[int], ours: list[int], term: int) -> tuple[int, list[int]]:
    """Let a leader with log terms `theirs` repair a follower with `ours`: (refusals, the follower's terms)."""
    server = leader(theirs, term=term, vouched=False)
    other = follower(ours, term=term - 1)
    refusals = 0
    probe = Append(term, len(theirs) + 1, theirs[-1], 1, server.raft.entries(len(theirs) + 2, 1))
    waiting = [probe]
    while waiting:
        answers = promised(other.receive("b", waiting.pop(0)), AppendReply)
        refusals += sum(not answer.success for answer in answers)
        for answer in answers:
            waiting += sent(server.receive("b", answer), Append, "b")
    assert other.terms == server.terms
    return refusals, other.terms


def test_pitfall_11_a_whole_term_is_skipped_a_message() -> None:
    assert repair([1, 1, 1, 4], [1] + [2] * 40 + [3] * 40, term=6)[0] <= 2
    assert repair([1] + [4] * 50, [1] + [2] * 60, term=6)[0] <= 2
    assert repair([1] * 60, [1] * 5, term=6)[0] == 1
    assert repair([1] + [2] * 10 + [3] * 10 + [5] * 10, [1] + [2] * 20 + [4] * 10, term=6)[0] <= 3


def test_pitfall_11_hints_name_the_last_entry_that_could_match() -> None:
    server = follower((1, 1, 3, 3, 3), term=3)
    reply = promised(server.receive("b", Append(5, 6, 2, 1)), AppendReply)[0]
    assert (reply.index, reply.hint_index, reply.hint_term) == (6, 3, 1)
    reply = promised(server.receive("b", Append(5, 90, 5, 1)), AppendReply)[0]
    assert (reply.index, reply.hint_index, reply.hint_term) == (90, 6, 3)


def test_pitfall_12_acknowledgements_of_another_term_are_ignored() -> None:
    server = leader(count=3, term=5)
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(4, True, 3))
    assert server.commit == 2


def test_pitfall_12_repeated_and_late_acknowledgements_move_nothing_back() -> None:
    server = leader(count=3)
    for value in (b"x", b"y"):
        server.propose(value)
    server.persist()
    server.receive("b", AppendReply(2, True, 4))
    for late in (3, 2, 4, 3):
        server.receive("b", AppendReply(2, True, late))
    peer = server.raft.status(server.now).peers[0]
    assert (peer.match_index, peer.next_index, peer.progress) == (4, 5, "replicate")


def test_pitfall_12_a_late_refusal_of_what_was_acknowledged_is_ignored() -> None:
    server = leader(count=3)
    server.propose(b"x")
    server.receive("b", AppendReply(2, True, 3))
    assert not sent(server.receive("b", AppendReply(2, False, 2, 1, 0)), Append)
    peer = server.raft.status(server.now).peers[0]
    assert (peer.match_index, peer.next_index, peer.progress) == (3, 4, "replicate")


def test_pitfall_12_a_refusal_that_answers_another_probe_is_ignored() -> None:
    server = leader((1, 1, 1), term=2, vouched=False)
    server.receive("b", AppendReply(2, False, 4, 2, 1))
    assert not sent(server.receive("b", AppendReply(2, False, 4, 2, 1)), Append)
    assert server.raft.status(server.now).peers[0].next_index == 3


def test_pitfall_31_a_window_whose_messages_were_all_lost_is_found_out_by_a_heartbeat() -> None:
    settings = RaftSettings(inflight_messages_max=2)
    server = leader(count=3, settings=settings)
    for at in range(5):
        server.propose(b"x", first_request=at)
    server.persist()
    assert server.raft.status(server.now).peers[0].inflight_messages == 2
    server.receive("b", HeartbeatReply(2))
    effects = server.receive("b", HeartbeatReply(2))
    asks = sent(effects, Append, "b")
    assert asks
    other = follower((), term=2, count=3)
    other.receive("a", Append(2, 1, 0, 1, server.raft.entries(2, 1)))
    for ask in asks:
        for answer in promised(other.receive("a", ask), AppendReply):
            resent = sent(server.receive("b", answer), Append, "b")
            assert [entry.index for message in resent for entry in message.entries] == [3, 4, 5, 6, 7]


def test_pitfall_31_a_follower_that_lives_but_whose_disk_stalls_gets_no_more_than_the_window() -> None:
    """Heartbeats are answered without the disk, so their answers prove nothing about what is in the window."""
    settings = RaftSettings(inflight_messages_max=3)
    server = leader(count=3, settings=settings)
    unanswered = 0
    for at in range(30):
        effects = server.propose(b"x", first_request=at)
        effects += server.receive("b", HeartbeatReply(2))
        unanswered += sum(bool(message.entries) for message in sent(effects, Append, "b"))
    assert unanswered <= 3


def test_pitfall_31_a_lost_probe_is_repeated_after_a_heartbeat() -> None:
    server = leader(vouched=False)
    assert not sent(server.propose(b"x"), Append)
    assert len(sent(server.receive("b", HeartbeatReply(2)), Append, "b")) == 1


def test_pitfall_32_heartbeats_and_their_answers_do_not_wait_for_disk_or_data() -> None:
    server = follower((), term=1)
    server.receive("b", Append(1, 1, 0, 1, commands(2, [1])))
    assert server.writing
    effects = server.receive("b", Heartbeat(1, 1))
    assert sent(effects, HeartbeatReply) == [HeartbeatReply(1)]
    assert lane_of(Heartbeat(1, 1)) is lane_of(HeartbeatReply(1)) is lane_of(Vote(1, 1, 1)) is Lane.CONTROL
    assert lane_of(Append(1, 1, 1, 1)) is Lane.BULK


def test_pitfall_04_an_answer_that_reveals_a_new_term_waits_until_that_is_durable() -> None:
    """A term once shown must survive a restart, even where the answer promises nothing about the log."""
    server = follower((), term=1)
    effects = server.receive("b", Heartbeat(2, 1))
    assert not of(effects, Send)
    assert promised(effects, HeartbeatReply) == [HeartbeatReply(2)]
    again = server.receive("b", Heartbeat(2, 1))  # the disk still writes
    assert not of(again, Send)
    server.persist()
    assert sent(server.receive("b", Heartbeat(2, 1)), HeartbeatReply) == [HeartbeatReply(2)]


def test_pitfall_04_so_does_a_question_to_the_leader_of_a_new_term() -> None:
    server = follower((), term=1)
    server.receive("b", Heartbeat(2, 1))
    assert not of(server.read(1), Send)
    server.persist()
    assert sent(server.read(2), ReadIndex, "b")


def test_pitfall_34_what_was_accepted_is_never_refused_later() -> None:
    """Its outcome is unknown to the core until it is applied or overwritten: no `Refused` may say otherwise."""
    server = leader()
    accepted = of(server.propose(b"x", b"y"), Accepted)
    assert accepted == [Accepted((1, 2), 2, 3)]
    effects = server.receive("b", Heartbeat(9, 1))
    effects += server.receive("b", Append(9, 2, 2, 2, commands(3, [9, 9])))
    assert server.role() is Role.FOLLOWER
    assert not of(effects, Refused)


def test_a_gap_in_the_entries_of_an_append_stops_the_node() -> None:
    """The codec refuses such a message; should one come through, nothing of it is kept quietly."""
    server = follower((), term=1)
    with pytest.raises(InvariantViolation, match="does not follow"):
        server.receive("b", Append(1, 1, 0, 1, commands(3, [1])))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_cluster_size_commits_with_a_bare_majority(count: int) -> None:
    server = leader(count=count)
    before = server.commit
    server.propose(b"x")
    server.persist()
    others = names(count)[1:]
    for at, peer in enumerate(others):
        assert (server.commit > before) == (at + 1 > count / 2)
        server.receive(peer, AppendReply(2, True, before + 1))
    assert server.commit == before + 1
