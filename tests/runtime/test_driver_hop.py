"""Writes on their one hop through the driver: who is believed, what a link refuses, and what a turn may cost."""

import pytest

from node.raft.messages import (
    FORWARD_BYTES_MAX,
    FORWARD_PROPOSALS_MAX,
    PROPOSAL_BYTES_MAX,
    Forward,
    ForwardedAnswer,
    ForwardedProposal,
    ForwardReply,
    Heartbeat,
    HeartbeatReply,
    Message,
)
from node.raft.types import Member
from node.runtime.answers import ANSWER_KEPT_US, ANSWER_RETRY_US
from node.runtime.forwarding import LAST_ANSWERS_US
from node.runtime.inputs import Arrived, WantRead, WantWrite
from node.runtime.ports import Done, DoneUntold, NotProposed, Outcome, ReadFailed, Unknown
from node.runtime.replies import REPLIES_PER_TURN_MAX
from node.runtime.requests import EXPIRED_PER_TURN_MAX
from tests.runtime.doubles import BOOT, MEMBERS, Bench, from_a_peer, to_a_peer

MANY = 3_000


def forwards(bench: Bench) -> list[Forward]:
    return [message for _, message in bench.wire.take(Forward) if isinstance(message, Forward)]


def answer_to(forward: Forward, outcome: Outcome, boot: str = BOOT) -> ForwardReply:
    return ForwardReply(boot, tuple(ForwardedAnswer(p.request, to_a_peer(outcome)) for p in forward.proposals))


def answers_in(sent: list[tuple[str, Message]]) -> dict[int, Outcome]:
    """By request, of all replies."""
    replies = [message for _, message in sent if isinstance(message, ForwardReply)]
    return {answer.request: from_a_peer(answer.outcome) for reply in replies for answer in reply.answers}


DONE = Done(b"r", 9, 1)


@pytest.mark.parametrize("liar", [MEMBERS[2], Member("n2", "a-new-disk")], ids=["a third node", "another disk"])
def test_an_answer_is_believed_only_from_the_leader_that_was_asked(liar: Member) -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    (forward,) = forwards(bench)
    bench.take(Arrived(liar, answer_to(forward, NotProposed("overloaded", "nothing happened, it says"))))
    assert answers == []
    assert bench.driver.counts.refused == 1
    bench.hear(2, answer_to(forward, DONE))
    assert answers == [DONE]


def test_an_answer_for_an_earlier_process_of_this_name_is_refused_and_counted() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    (forward,) = forwards(bench)
    bench.hear(2, answer_to(forward, DONE, boot="an-earlier-process"))
    assert (answers, bench.driver.counts.refused) == ([], 1)


def test_a_result_that_cannot_be_read_was_done_all_the_same() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    (forward,) = forwards(bench)
    unreadable = to_a_peer(DONE).replace(b"Er", b"?r")
    bench.hear(2, ForwardReply(BOOT, (ForwardedAnswer(forward.proposals[0].request, unreadable),)))
    assert answers == [DoneUntold(9, 1, "the answer of n2 cannot be read")]


def test_a_link_that_is_up_and_full_is_not_called_down() -> None:
    bench = Bench()
    bench.follow()
    bench.wire.full.append("n2")
    (answer,) = bench.write()
    assert isinstance(answer, NotProposed)
    assert (answer.code, answer.reason) == ("overloaded", "the link to the leader n2 is full; nothing was sent")
    assert bench.driver.unsent == {Forward: 1}


def test_an_answer_that_the_link_refuses_is_offered_again_until_it_is_taken() -> None:
    bench = Bench()
    bench.lead()
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, b"x"),)))
    bench.wire.full.append("n3")
    bench.acknowledge()
    waits = [bench.driver.writes_wait]  # for a node that leaves
    assert bench.driver._answers.deadline == bench.now + ANSWER_RETRY_US
    bench.wire.sent.clear()
    bench.wire.full.clear()
    bench.pass_time(ANSWER_RETRY_US)
    assert answers_in(bench.wire.sent) == {5: Done(b"x", 3, 1)}
    assert [*waits, bench.driver.writes_wait] == [True, False]
    bench.wire.sent.clear()
    bench.pass_time(ANSWER_RETRY_US)
    assert answers_in(bench.wire.sent) == {}


def test_an_answer_that_no_link_takes_for_a_second_is_counted_and_told() -> None:
    bench = Bench()
    bench.lead()
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, b"x"),)))
    bench.wire.cut.append("n3")
    bench.acknowledge()
    for _ in range(ANSWER_KEPT_US // 50_000):
        bench.hear(2, HeartbeatReply(1, None))
        bench.pass_time(50_000)
    assert bench.driver.counts.lost == 1
    assert ("answers-lost", {"peer": "n3", "count": 1}) in bench.trace.told
    assert not bench.driver.writes_wait


def test_one_answer_that_is_too_long_takes_no_others_with_it() -> None:
    bench = Bench(pending_requests_max=1_000)
    bench.lead()
    real = bench.machine.encode_result

    def refuses(result: object, bytes_max: int) -> bytes | None:
        return None if result == b"long" else real(result, bytes_max)

    bench.machine.encode_result = refuses  # type: ignore[method-assign]
    bench.driver._answers._encode_result = refuses
    writes = tuple(ForwardedProposal(n, b"long" if n == 5 else b"x") for n in range(11))
    bench.hear(3, Forward("boot-of-n3", writes))
    bench.wire.sent.clear()
    bench.acknowledge()
    answers = answers_in(bench.wire.sent)
    assert answers.pop(5) == DoneUntold(8, 1, "its answer is too long to be sent here")
    assert [type(answers[n]) for n in (*range(5), *range(6, 11))] == [Done] * 10


def test_writes_are_forwarded_in_messages_of_bounded_size_and_number() -> None:
    bench = Bench(pending_requests_max=5_000)
    bench.follow()
    sizes = [1] * (FORWARD_PROPOSALS_MAX + 1) + [400_000] * 4 + [PROPOSAL_BYTES_MAX]
    bench.take(*(WantWrite(b"x" * size, bench.now + 10**6, lambda _outcome: None) for size in sizes))
    sent = forwards(bench)
    assert [len(p.data) for forward in sent for p in forward.proposals] == sizes
    for forward in sent:
        assert len(forward.proposals) <= FORWARD_PROPOSALS_MAX
        total_bytes = sum(len(p.data) for p in forward.proposals)
        assert total_bytes <= FORWARD_BYTES_MAX or len(forward.proposals) == 1


def test_a_write_that_no_message_could_carry_is_refused_at_once_wherever_it_comes_from() -> None:
    bench = Bench()
    bench.lead()
    data = b"x" * (PROPOSAL_BYTES_MAX + 1)
    (answer,) = bench.write(data)
    assert isinstance(answer, NotProposed)
    assert answer.code == "too-large"
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, data),)))
    refusal = answers_in(bench.wire.sent)[5]
    assert isinstance(refusal, NotProposed)
    assert refusal.code == "too-large"
    assert bench.driver.core.status(bench.now).last_index == 2


def test_session_and_sequence_go_from_the_client_into_the_leaders_log() -> None:
    bench = Bench()
    bench.lead()
    bench.take(WantWrite(b"x", bench.now + 10**6, lambda _outcome: None, session=7, sequence=8))
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, b"y", 9, 10),)))
    assert [(e.data, e.session, e.sequence) for e in bench.driver.core.entries(3, 9)] == [(b"x", 7, 8), (b"y", 9, 10)]


def test_session_and_sequence_go_over_the_hop() -> None:
    bench = Bench()
    bench.follow()
    bench.take(WantWrite(b"x", bench.now + 10**6, lambda _outcome: None, session=7, sequence=8))
    ((proposal,),) = [forward.proposals for forward in forwards(bench)]
    assert (proposal.data, proposal.session, proposal.sequence) == (b"x", 7, 8)


# --- bounded turns --------------------------------------------------------------------------------------------------


def told_per_turn(bench: Bench, told: list[object], turns_max: int = 100) -> list[int]:
    """Turn after turn for as long as the driver asks for another at once; how many were told in each."""
    per_turn = []
    for _ in range(turns_max):
        before = len(told)
        bench.take()
        per_turn.append(len(told) - before)
        due = bench.driver._requests.deadline
        if not bench.woken and (due is None or due > bench.now):
            return per_turn
    raise AssertionError("no end of it")


def test_reads_that_one_round_confirms_are_told_a_bounded_number_per_turn() -> None:
    bench = Bench(pending_requests_max=MANY)
    bench.lead()
    told: list[ReadFailed | None] = []
    bench.wire.sent.clear()
    bench.take(*(WantRead(bench.now + 10**7, told.append) for _ in range(MANY)))
    heartbeat = bench.wire.take(Heartbeat)[0][1]
    assert isinstance(heartbeat, Heartbeat)
    bench.hear(2, HeartbeatReply(1, heartbeat.context))
    assert len(told) == REPLIES_PER_TURN_MAX
    assert max(told_per_turn(bench, list_of(told))) <= REPLIES_PER_TURN_MAX
    assert told == [None] * MANY


def list_of(told: list[ReadFailed | None] | list[Outcome]) -> list[object]:
    """The very list, as one of anything."""
    return told  # type: ignore[return-value]


def test_writes_that_are_committed_at_once_are_told_a_bounded_number_per_turn_and_each_once() -> None:
    bench = Bench(pending_requests_max=MANY)
    bench.lead()
    told: list[Outcome] = []
    bench.take(*(WantWrite(b"%d" % n, bench.now + 10**7, told.append) for n in range(MANY)))
    bench.acknowledge()
    assert len(told) == REPLIES_PER_TURN_MAX
    waits = [bench.driver.writes_wait]
    assert max(told_per_turn(bench, list_of(told))) <= REPLIES_PER_TURN_MAX
    assert [outcome.result for outcome in told if isinstance(outcome, Done)] == [b"%d" % n for n in range(MANY)]
    assert [*waits, bench.driver.writes_wait] == [True, False]


def test_what_waits_to_be_told_still_takes_room() -> None:
    bench = Bench(pending_requests_max=MANY)
    bench.lead()
    told: list[Outcome] = []
    bench.take(*(WantWrite(b"x", bench.now + 10**7, told.append) for _ in range(MANY)))
    bench.acknowledge()
    bench.take(*(WantWrite(b"y", bench.now + 10**7, told.append) for _ in range(MANY)))
    assert sum(isinstance(outcome, NotProposed) for outcome in told) >= MANY - 2 * REPLIES_PER_TURN_MAX


@pytest.mark.parametrize("forwarded", [False, True], ids=["on the leader", "forwarded"])
def test_writes_that_run_out_of_time_together_end_a_bounded_number_per_turn(forwarded: bool) -> None:
    bench = Bench(pending_requests_max=MANY)
    if forwarded:
        bench.follow()
    else:
        bench.lead()
    told: list[Outcome] = []
    until_us = bench.now + 50_000
    bench.take(*(WantWrite(b"x", until_us, told.append) for _ in range(MANY)))
    bench.now = until_us
    bench.take()
    waits = bench.driver._forwarding if forwarded else bench.driver._pending
    assert len(waits) == MANY - EXPIRED_PER_TURN_MAX
    assert len(told) == REPLIES_PER_TURN_MAX
    assert max(told_per_turn(bench, list_of(told))) <= REPLIES_PER_TURN_MAX
    assert [type(outcome) for outcome in told] == [Unknown] * MANY


@pytest.mark.parametrize("linked", [True, False])
def test_a_change_of_the_leader_ends_what_was_forwarded_a_bounded_number_per_turn(linked: bool) -> None:
    bench = Bench(pending_requests_max=MANY)
    bench.follow(leader=2, term=1)
    told: list[Outcome] = []
    bench.take(*(WantWrite(b"x", bench.now + 10**8, told.append) for _ in range(MANY)))
    if not linked:
        bench.wire.cut.append("n2")
    bench.follow(leader=3, term=2)
    if linked:
        assert told == []
        bench.now += LAST_ANSWERS_US
    assert max(told_per_turn(bench, list_of(told))) <= REPLIES_PER_TURN_MAX
    assert set(told) == {Unknown("n2 stopped leading before it answered; the write may still happen")}
    assert len(told) == MANY


def test_a_node_that_stops_tells_everybody_at_once() -> None:
    bench = Bench(pending_requests_max=MANY)
    bench.follow()
    told: list[Outcome] = []
    bench.take(*(WantWrite(b"x", bench.now + 10**7, told.append) for _ in range(MANY)))
    bench.driver.stop()
    assert [type(outcome) for outcome in told] == [Unknown] * MANY
