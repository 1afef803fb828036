"""Linearizable reads without writing (thesis 6.4), and pitfalls 20, 21 and 22."""

import pytest

from node.raft.effects import ReadReady, Refused, Send
from node.raft.errors import NotLeader
from node.raft.events import Deadline, ForgetReads, Read, Receive
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply, ReadContext, ReadIndex, ReadIndexReply
from node.raft.types import Role
from tests.raft.bench import HEARTBEAT_US, Server, commands, follower, leader, member, names, of, receivers, sent


def context_of(server: Server, number: int) -> ReadContext:
    return ReadContext("a", "boot-1", number)


def following(terms: tuple[int, ...] = (), term: int = 1) -> Server:
    server = follower(terms, term)
    server.receive("b", Heartbeat(term, 1))
    return server


def test_pitfall_20_a_read_waits_for_a_quorum_that_echoes_its_round() -> None:
    """Thesis 6.4: "The leader needs to make sure it hasn't been superseded by a newer leader"."""
    server = leader(count=5)
    effects = server.read(7)
    assert receivers(effects, Heartbeat) == ["b", "c", "d", "e"]
    assert {message.context for message in sent(effects, Heartbeat)} == {context_of(server, 1)}
    assert not of(server.receive("b", HeartbeatReply(2, context_of(server, 1))), ReadReady)
    assert not of(server.receive("b", HeartbeatReply(2, context_of(server, 1))), ReadReady)
    assert of(server.receive("c", HeartbeatReply(2, context_of(server, 1))), ReadReady) == [ReadReady((7,), 2)]


def test_pitfall_20_a_new_leader_reads_only_after_its_noop_committed() -> None:
    """Thesis 6.4, step 1: "If the leader has not yet marked an entry from its current term committed, it waits"."""
    server = leader((1, 1), term=2, commit=3, vouched=False)
    assert not receivers(server.read(1), Heartbeat)
    assert {m.context for m in sent(server.deadline(), Heartbeat)} == {None}
    for peer in "bc":
        server.receive(peer, HeartbeatReply(2))
    assert server.commit == 3
    effects = server.receive("b", AppendReply(2, True, 4))
    assert sent(effects, Heartbeat, "b")[0].context == context_of(server, 1)
    assert not of(server.settle(), ReadReady)
    assert of(server.receive("b", HeartbeatReply(2, context_of(server, 1))), ReadReady) == [ReadReady((1,), 4)]


def test_pitfall_20_a_read_joins_only_a_round_that_has_not_been_sent() -> None:
    server = leader()
    server.read(1)
    assert not receivers(server.read(2), Heartbeat)  # the round under way is not theirs, and one at a time is enough
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    assert of(effects, ReadReady) == [ReadReady((1,), 2)]
    second = server.receive("c", HeartbeatReply(2, context_of(server, 1)))
    assert not of(second, ReadReady)
    effects += second
    assert {m.context for m in sent(effects, Heartbeat)} == {context_of(server, 2)}
    assert of(server.receive("c", HeartbeatReply(2, context_of(server, 2))), ReadReady) == [ReadReady((2,), 2)]


def test_reads_that_came_in_one_step_or_while_a_round_ran_share_one_round() -> None:
    server = leader()
    server.step(Read((1, 2)), Read((3,)))
    server.read(4)
    server.read(5)
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    assert of(effects, ReadReady) == [ReadReady((1, 2), 2), ReadReady((3,), 2)]
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 2)))
    assert of(effects, ReadReady) == [ReadReady((4,), 2), ReadReady((5,), 2)]


def test_one_acknowledgement_confirms_all_earlier_rounds_too() -> None:
    server = leader()
    server.read(1)
    server.read(2)
    effects = server.deadline()
    assert {m.context for m in sent(effects, Heartbeat)} == {context_of(server, 2)}
    effects = server.receive("c", HeartbeatReply(2, context_of(server, 2)))
    assert of(effects, ReadReady) == [ReadReady((1,), 2), ReadReady((2,), 2)]


@pytest.mark.parametrize(
    "context",
    [
        None,
        ReadContext("a", "boot-0", 1),  # an earlier process of this node
        ReadContext("b", "boot-1", 1),  # another node's round
        ReadContext("a", "boot-1", 0),  # an earlier round
    ],
)
def test_only_an_echo_of_the_own_node_boot_and_number_counts(context: ReadContext | None) -> None:
    server = leader()
    server.read(1)
    for peer in "bc":
        assert not of(server.receive(peer, HeartbeatReply(2, context)), ReadReady)
    assert of(server.receive("b", HeartbeatReply(2, context_of(server, 1))), ReadReady)


def test_an_acknowledgement_of_another_term_does_not_count() -> None:
    server = leader(term=5)
    server.read(1)
    for peer in "bc":
        assert not of(server.receive(peer, HeartbeatReply(4, context_of(server, 1))), ReadReady)


def test_a_lost_round_is_sent_again_with_the_next_heartbeat() -> None:
    server = leader()
    server.read(1)
    assert {m.context for m in sent(server.deadline(), Heartbeat)} == {context_of(server, 1)}
    assert of(server.receive("c", HeartbeatReply(2, context_of(server, 1))), ReadReady)


def test_a_read_waits_until_its_index_is_applied() -> None:
    """Thesis 6.4, step 4: "waits for its state machine to advance at least as far as readIndex"."""
    server = leader()
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    assert server.applying
    server.read(1)
    assert not of(server.receive("b", HeartbeatReply(2, context_of(server, 1))), ReadReady)
    assert of(server.apply_next(), ReadReady) == [ReadReady((1,), 3)]


def test_a_read_sees_what_was_committed_before_it_arrived_not_less() -> None:
    server = leader()
    server.read(1)  # at index 2
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    server.settle()
    server.read(2)
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    effects += server.receive("b", HeartbeatReply(2, context_of(server, 2)))
    assert of(effects, ReadReady) == [ReadReady((1,), 2), ReadReady((2,), 3)]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_pitfall_21_there_is_no_lease_every_read_needs_its_own_quorum(count: int) -> None:
    server = leader(count=count)
    for number in range(1, 4):
        for peer in names(count)[1:]:
            server.receive(peer, HeartbeatReply(2), AppendReply(2, True, 2))  # as alive as can be
        assert not of(server.read(number), ReadReady)
        echoes = 1
        for peer in names(count)[1:]:
            ready = of(server.receive(peer, HeartbeatReply(2, context_of(server, number))), ReadReady)
            echoes += 1
            assert bool(ready) == (echoes == count // 2 + 1)


def test_a_single_server_reads_by_itself() -> None:
    server = leader(count=1)
    assert of(server.read(1), ReadReady) == [ReadReady((1,), 2)]


def test_pitfall_22_a_leader_that_was_paused_answers_no_read_from_before() -> None:
    server = leader()
    server.read(1)
    server.wait(60_000_000)
    effects = server.step(Read((2,)), Receive(member("b"), Heartbeat(3, 1)), Deadline())
    assert server.role() is Role.FOLLOWER
    assert not of(effects, ReadReady)
    assert sorted(request for refused in of(effects, Refused) for request in refused.requests) == [1, 2]


def test_a_leader_that_steps_down_refuses_its_unconfirmed_reads() -> None:
    server = leader()
    server.read(1)
    server.read(2)
    effects = server.receive("b", HeartbeatReply(3))
    assert of(effects, Refused) == [Refused((2, 1), NotLeader(""))]
    assert not of(server.receive("b", HeartbeatReply(3, context_of(server, 1))), ReadReady)


def test_reads_confirmed_before_a_new_term_are_still_served() -> None:
    """The quorum answered: whatever happens later, the index was right when the read arrived."""
    server = leader()
    server.propose(b"x")
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    server.read(1)
    server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    server.receive("c", Append(3, 3, 2, 3))
    assert of(server.apply_next(), ReadReady) == [ReadReady((1,), 3)]


def test_a_follower_asks_its_leader_and_waits_to_apply() -> None:
    """Thesis 6.4: "the follower could issue a request to the leader asking just for a current read index"."""
    server = following((1, 1))
    effects = server.read(5, 6)
    assert of(effects, Send) == [Send("b", ReadIndex(1, context_of(server, 1)))]
    assert not of(server.receive("b", ReadIndexReply(1, context_of(server, 1), 3)), ReadReady)
    server.receive("b", Heartbeat(1, 3))
    assert of(server.settle(), ReadReady) == [ReadReady((5, 6), 3)]


def test_a_leader_answers_a_follower_after_a_round_of_its_own() -> None:
    server = leader()
    theirs = ReadContext("b", "boot-9", 4)
    effects = server.receive("b", ReadIndex(2, theirs))
    assert not sent(effects, ReadIndexReply)
    effects = server.receive("c", HeartbeatReply(2, context_of(server, 1)))
    assert sent(effects, ReadIndexReply, "b") == [ReadIndexReply(2, theirs, 2)]


def test_one_that_does_not_lead_is_silent_when_asked() -> None:
    server = following()
    assert not server.receive("c", ReadIndex(1, ReadContext("c", "boot-9", 1)))
    assert not leader(term=2).receive("b", ReadIndex(1, ReadContext("b", "boot-9", 1)))


@pytest.mark.parametrize("context", [ReadContext("a", "boot-0", 1), ReadContext("c", "boot-1", 1)])
def test_an_answer_to_another_process_is_not_ours(context: ReadContext) -> None:
    server = following()
    server.read(1)
    assert not of(server.receive("b", ReadIndexReply(1, context, 1)), ReadReady)


def test_a_lost_question_is_asked_again_on_a_sign_of_life() -> None:
    server = following()
    server.read(1)
    server.wait(HEARTBEAT_US - 1)
    server.read(2)
    assert not sent(server.receive("b", Heartbeat(1, 1)), ReadIndex)
    server.wait(1)
    asked = sent(server.receive("b", Heartbeat(1, 1)), ReadIndex)
    assert asked == [ReadIndex(1, context_of(server, 3))]
    effects = server.receive("b", ReadIndexReply(1, context_of(server, 3), 1))
    assert sorted(r for ready in of(effects, ReadReady) for r in ready.requests) == [1, 2]


def test_answers_slower_than_a_heartbeat_still_arrive() -> None:
    """Asking again must not disown the question that is on its way: else a slow link would never be answered."""
    server = following()
    server.read(1)
    for number in (1, 2, 3):  # each answer comes a heartbeat and a half after its question
        server.wait(HEARTBEAT_US)
        server.receive("b", Heartbeat(1, 1))
        server.wait(HEARTBEAT_US // 2)
        effects = server.receive("b", ReadIndexReply(1, context_of(server, number), 1))
        if of(effects, ReadReady):
            break
    assert of(effects, ReadReady) == [ReadReady((1,), 1)]


def test_an_answer_says_nothing_of_a_read_that_came_after_its_question() -> None:
    server = following()
    server.read(1)
    server.read(2)
    effects = server.receive("b", ReadIndexReply(1, context_of(server, 1), 1))
    assert of(effects, ReadReady) == [ReadReady((1,), 1)]
    effects = server.receive("b", ReadIndexReply(1, context_of(server, 2), 1))
    assert of(effects, ReadReady) == [ReadReady((2,), 1)]


def test_an_answer_covers_the_reads_whose_own_question_was_lost() -> None:
    server = following()
    server.read(1)
    server.read(2)
    effects = server.receive("b", ReadIndexReply(1, context_of(server, 2), 1))
    assert sorted(r for ready in of(effects, ReadReady) for r in ready.requests) == [1, 2]


def test_reads_asked_of_a_leader_that_changed_are_refused_once() -> None:
    server = following()
    server.read(1)
    server.read(2)
    effects = server.receive("c", Append(2, 1, 0, 1, commands(2, [2])))
    assert [refused.requests for refused in of(effects, Refused)] == [(1, 2)]
    assert not of(server.receive("b", ReadIndexReply(1, context_of(server, 1), 1)), ReadReady)
    assert not of(server.receive("c", ReadIndexReply(2, context_of(server, 1), 1)), ReadReady)


def test_reads_asked_of_a_silent_leader_are_refused_when_it_is_given_up() -> None:
    server = following()
    server.read(1)
    effects = server.deadline()
    assert of(effects, Refused) == [Refused((1,), NotLeader(""))]
    assert of(server.read(2), Refused) == [Refused((2,), NotLeader(""))]


def test_with_one_of_three_servers_down_a_read_that_waits_begins_its_round_with_the_answer_to_the_one_before() -> None:
    """c is down, so no second answer comes that would begin it: it would wait for a whole heartbeat."""
    server = leader()
    server.read(1)
    answered = []
    for number in range(1, 6):
        server.read(number + 1)
        effects = server.receive("b", HeartbeatReply(2, context_of(server, number)))
        answered += of(effects, ReadReady)
        assert {m.context for m in sent(effects, Heartbeat)} == {context_of(server, number + 1)}
    assert answered == [ReadReady((number,), 2) for number in range(1, 6)]


def test_a_server_that_is_alone_reads_within_one_step() -> None:
    server = leader(count=1)
    assert of(server.read(1), ReadReady) == [ReadReady((1,), 2)]


def test_of_the_questions_of_a_follower_only_the_last_waits_and_answers_them_all() -> None:
    """A leader that may not read yet is asked anew at every heartbeat: that must not grow."""
    server = leader((1,), term=2, commit=2, vouched=False)
    asked = [ReadContext("b", "boot-1", number) for number in (1, 2, 40, 3)]
    for context in asked:
        server.receive("b", ReadIndex(2, context))
    server.receive("b", AppendReply(2, True, 3))
    server.settle()
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    assert [reply.context.number for reply in sent(effects, ReadIndexReply)] == [40]


def test_a_new_process_of_a_follower_asks_in_place_of_the_old_one() -> None:
    server = leader((1,), term=2, commit=2, vouched=False)
    for context in (ReadContext("b", "boot-1", 40), ReadContext("b", "boot-2", 1)):
        server.receive("b", ReadIndex(2, context))
    server.receive("b", AppendReply(2, True, 3))
    server.settle()
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    assert [reply.context for reply in sent(effects, ReadIndexReply)] == [ReadContext("b", "boot-2", 1)]


def waiting_reads(server: Server) -> int:
    return server.raft.status(server.now).reads_waiting


def test_reads_that_ran_out_of_time_leave_nothing_on_a_leader() -> None:
    server = leader()
    server.step(Read((1, 2)))
    server.read(3)
    assert waiting_reads(server) == 3
    server.step(ForgetReads((1, 3)))
    assert waiting_reads(server) == 1
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    assert of(effects, ReadReady) == [ReadReady((2,), 2)]
    assert not of(server.receive("b", HeartbeatReply(2, context_of(server, 2))), ReadReady)


def test_reads_that_ran_out_of_time_leave_nothing_on_a_follower() -> None:
    server = following()
    server.read(1)
    server.step(Read((2, 3)))
    server.receive("b", Append(1, 1, 0, 1, commands(2, (1,))))
    server.settle()
    server.receive("b", ReadIndexReply(1, context_of(server, 1), 9))  # the first is confirmed, for what is not here yet
    assert waiting_reads(server) == 3
    server.step(ForgetReads((1, 2)))
    assert waiting_reads(server) == 1
    assert of(server.receive("b", ReadIndexReply(1, context_of(server, 2), 1)), ReadReady) == [ReadReady((3,), 1)]
    assert waiting_reads(server) == 0
    server.read(4)
    server.step(ForgetReads((4,)))
    server.wait(2 * HEARTBEAT_US)
    assert not sent(server.receive("b", Heartbeat(1, 1)), ReadIndex)  # nobody waits for an answer any more


def test_questions_of_a_follower_outlive_reads_that_the_leader_forgets() -> None:
    server = leader()
    server.read(1)
    server.receive("b", ReadIndex(2, ReadContext("b", "boot-1", 5)))
    server.step(ForgetReads((1,)))
    effects = server.receive("b", HeartbeatReply(2, context_of(server, 1)))
    effects += server.receive("b", HeartbeatReply(2, context_of(server, 2)))
    assert [reply.context.number for reply in sent(effects, ReadIndexReply)] == [5]
