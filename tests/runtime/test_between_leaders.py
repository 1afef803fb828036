"""What nobody took waits for the next leader, and only that: not long, not many, and no write twice in a log."""

import pytest

from node.raft.events import PeerGone, PeerUp
from node.raft.messages import (
    Append,
    AppendReply,
    Forward,
    ForwardedAnswer,
    ForwardedProposal,
    ForwardReply,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from node.raft.types import EntryKind
from node.runtime.between_leaders import (
    AGAIN_US,
    HELD_BYTES_MAX,
    HELD_READS_MAX,
    HELD_US,
    HELD_WRITES_MAX,
    BetweenLeaders,
)
from node.runtime.inputs import WantOrder
from node.runtime.pending import PendingWrite
from node.runtime.ports import CommandOutcome, Done, NotProposed, Outcome, ReadFailed, Unknown
from tests.runtime.doubles import BOOT, MEMBERS, TIMEOUT_US, Bench, from_a_peer, to_a_peer

NOBODY = NotProposed("no-leader", "nobody leads")
UNREAD = ReadFailed("no-leader", "nobody leads")
LONG_US = 10 * HELD_US
"""Longer than anything is held."""


def forwarded(bench: Bench) -> list[tuple[str, Forward]]:
    return [(to, message) for to, message in bench.wire.take(Forward) if isinstance(message, Forward)]


def answer(forward: Forward, outcome: Outcome) -> ForwardReply:
    return ForwardReply(forward.boot, (ForwardedAnswer(forward.proposals[0].request, to_a_peer(outcome)),))


def codes(answers: list[Outcome]) -> list[str]:
    return [outcome.code for outcome in answers if isinstance(outcome, NotProposed)]


def hand_over(bench: Bench) -> list[CommandOutcome]:
    answers: list[CommandOutcome] = []
    bench.take(WantOrder("transfer_leadership", bench.now + TIMEOUT_US, answers.append, {"target": "n2"}))
    assert bench.wire.take(TimeoutNow)
    return answers


def test_a_write_that_waits_goes_with_the_first_entry_of_the_node_that_wins() -> None:
    bench = Bench()
    answers = bench.write(b"x")
    bench.pass_time(400_000)
    pre_vote = bench.wire.take(PreVote)[0][1]
    assert isinstance(pre_vote, PreVote)
    bench.hear(2, PreVoteReply(pre_vote.term, True, pre_vote.campaign))
    vote = bench.wire.take(Vote)[0][1]
    assert isinstance(vote, Vote)
    bench.hear(2, VoteReply(vote.term, True))
    appends = bench.wire.take(Append)
    assert [to for to, _ in appends] == ["n2", "n3"]
    for _, append in appends:
        assert isinstance(append, Append)
        assert [(entry.kind, entry.data) for entry in append.entries] == [
            (EntryKind.NOOP, b""),
            (EntryKind.WRITE, b"x"),
        ]
    assert answers == []
    bench.acknowledge()
    assert [type(outcome) for outcome in answers] == [Done]


def test_one_that_does_not_win_keeps_what_waits() -> None:
    bench = Bench()
    answers = bench.write(b"x")
    bench.pass_time(400_000)
    pre_vote = bench.wire.take(PreVote)[0][1]
    assert isinstance(pre_vote, PreVote)
    bench.hear(2, PreVoteReply(pre_vote.term, True, pre_vote.campaign))
    bench.hear(2, VoteReply(bench.driver.core.term, False))
    assert answers == []
    bench.follow(leader=3, term=bench.driver.core.term)
    bench.turn()
    ((to, forward),) = forwarded(bench)
    assert (to, [proposal.data for proposal in forward.proposals]) == ("n3", [b"x"])
    bench.hear(3, answer(forward, Done(b"r", 9, 1)))
    assert answers == [Done(b"r", 9, 1)]


def test_without_a_leader_for_too_long_it_is_refused_and_so_is_at_once_what_comes_then() -> None:
    bench = Bench()
    answers, later, read = bench.write(timeout_us=LONG_US), bench.write(timeout_us=LONG_US), bench.read(LONG_US)
    bench.pass_time(HELD_US - 10_000)
    assert (answers, later, read) == ([], [], [])
    bench.pass_time(10_000)
    assert codes(answers) == codes(later) == ["no-leader"], "both were there when the first had waited long enough"
    assert [failed and failed.code for failed in read] == ["no-leader"]
    assert codes(bench.write()) == ["no-leader"]
    assert [failed and failed.code for failed in bench.read()] == ["no-leader"]
    bench.follow()
    bench.follow(leader=3, term=2)
    bench.wire.cut.append("n3")
    assert bench.write() == [], "another led meanwhile, so this is another election"


def test_when_a_member_comes_back_what_comes_waits_again_for_somebody_may_be_elected_now() -> None:
    bench = Bench()
    bench.write(timeout_us=LONG_US)
    bench.pass_time(HELD_US)
    assert codes(bench.write()) == ["no-leader"]
    bench.take(PeerUp(MEMBERS[1], "boot-of-n2"))
    answers, read = bench.write(b"x", timeout_us=LONG_US), bench.read(LONG_US)
    assert (answers, read) == ([], [])
    bench.follow()
    bench.turn()
    assert [proposal.data for proposal in forwarded(bench)[0][1].proposals] == [b"x"]


def test_who_is_to_wait_for_nobody_is_refused_at_once() -> None:
    bench = Bench(leaderless_wait_us=0)
    assert codes(bench.write()) == ["no-leader"]
    assert [failed and failed.code for failed in bench.read()] == ["no-leader"]
    bench.take()
    assert bench.driver.deadline == bench.driver.core.deadline, "nothing waits"


def test_a_write_that_cannot_wait_so_long_is_refused_when_its_own_time_is_up() -> None:
    bench = Bench()
    hasty, patient = bench.write(timeout_us=50_000), bench.write()
    bench.pass_time(50_000)
    assert codes(hasty) == ["no-leader"]
    assert patient == []


def test_a_write_for_a_leader_that_no_link_leads_to_goes_to_it_when_one_does_or_to_the_next() -> None:
    bench = Bench()
    bench.follow()
    bench.wire.cut.append("n2")
    answers = bench.write(b"x")
    bench.take()
    assert (answers, forwarded(bench)) == ([], [])
    bench.wire.cut.clear()
    bench.take()
    ((to, forward),) = forwarded(bench)
    assert to == "n2"
    bench.hear(2, answer(forward, Done(b"r", 9, 1)))
    bench.wire.cut.append("n2")
    bench.write(b"y")
    bench.follow(leader=3, term=2)
    bench.turn()
    assert [to for to, _ in forwarded(bench)] == ["n3"]


def test_what_the_leader_certainly_did_not_propose_is_sent_to_it_again_but_not_at_once() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    ((_, forward),) = forwarded(bench)
    bench.hear(2, answer(forward, NotProposed("transferring", "in a moment", "n3")))
    bench.take()
    assert (answers, forwarded(bench), bench.woken) == ([], [], 0)
    assert bench.driver.deadline is not None
    assert bench.driver.deadline <= bench.now + AGAIN_US
    bench.pass_time(AGAIN_US)
    ((to, again),) = forwarded(bench)
    assert to == "n2"
    assert again.proposals[0].request != forward.proposals[0].request, "a late answer to the first settles nothing"
    bench.hear(2, answer(again, Done(b"r", 9, 1)))
    assert answers == [Done(b"r", 9, 1)]


def test_what_may_have_been_proposed_is_never_sent_again() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    ((_, forward),) = forwarded(bench)
    bench.hear(2, answer(forward, Unknown("the link broke")))
    assert answers == [Unknown("the link broke")]
    bench.follow(leader=3, term=2)
    bench.pass_time(AGAIN_US)
    assert forwarded(bench) == []


@pytest.mark.parametrize("code", ["log-full", "overloaded", "too-large", "stopping"])
def test_what_the_next_leader_would_refuse_as_well_does_not_wait(code: str) -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    ((_, forward),) = forwarded(bench)
    bench.hear(2, answer(forward, NotProposed(code, "no")))
    assert codes(answers) == [code]


def test_who_forwarded_a_write_keeps_it_itself() -> None:
    bench = Bench()
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, b"x"),)))
    ((_, reply),) = bench.wire.take(ForwardReply)
    assert isinstance(reply, ForwardReply)
    assert codes([from_a_peer(reply.answers[0].outcome)]) == ["no-leader"]


def test_writes_of_a_hand_over_go_to_the_next_leader_or_stay_where_it_came_to_nothing() -> None:
    for taken_over in (True, False):
        bench = Bench()
        bench.lead()
        handed = hand_over(bench)
        answers = bench.write(b"x")
        bench.take()
        assert (answers, bench.woken, bench.wire.take(Append)) == ([], 0, []), "nothing is asked of anybody meanwhile"
        if taken_over:
            bench.depose(leader=2)
            bench.turn()
            assert [to for to, _ in forwarded(bench)] == ["n2"]
        else:
            bench.pass_time(200_000)
            bench.hear(2, AppendReply(bench.driver.core.term, True, 2))  # it lives, and does not campaign
            bench.pass_time(150_000)
            bench.turn()
            assert bench.driver.core.status(bench.now).last_index == 3
        assert [outcome.code for outcome in handed] == ["ok" if taken_over else "refused"]


def test_a_write_that_left_for_a_process_that_is_gone_is_of_unknown_outcome_at_once() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    ((_, forward),) = forwarded(bench)
    bench.take(PeerGone(MEMBERS[2], "boot-of-n3"))
    assert answers == [], "the end of another says nothing of it"
    bench.take(PeerGone(MEMBERS[1], "boot-of-n2"))
    assert [type(outcome) for outcome in answers] == [Unknown]
    bench.hear(2, answer(forward, Done(b"r", 9, 1)))
    assert len(answers) == 1
    assert forward.boot == BOOT


def test_a_node_that_stops_refuses_what_waits() -> None:
    bench = Bench()
    answers = bench.write()
    assert bench.driver.writes_wait
    bench.driver.stop()
    assert codes(answers) == ["no-leader"]
    assert not bench.driver.writes_wait


def test_what_waits_has_its_place_among_all_requests() -> None:
    bench = Bench(pending_requests_max=2)
    assert [codes(bench.write()) for _ in range(3)] == [[], [], ["overloaded"]]


def test_a_read_waits_for_whoever_leads_next_and_is_confirmed_by_that_one() -> None:
    bench = Bench()
    answers = bench.read()
    assert (answers, bench.wire.take(ReadIndex)) == ([], [])
    bench.follow()
    bench.turn()
    ((to, asked),) = bench.wire.take(ReadIndex)
    assert (to, answers) == ("n2", []), "that somebody leads does not answer it: what is here may be old"
    assert isinstance(asked, ReadIndex)
    bench.hear(2, ReadIndexReply(1, asked.context, 1))
    assert answers == [None]


def test_a_read_waits_for_the_round_of_the_node_that_wins() -> None:
    bench = Bench()
    answers = bench.read()
    bench.pass_time(400_000)
    pre_vote = bench.wire.take(PreVote)[0][1]
    assert isinstance(pre_vote, PreVote)
    bench.hear(2, PreVoteReply(pre_vote.term, True, pre_vote.campaign))
    vote = bench.wire.take(Vote)[0][1]
    assert isinstance(vote, Vote)
    bench.hear(2, VoteReply(vote.term, True))
    assert answers == [], "nothing of this term is committed yet"
    bench.acknowledge()
    ((_, beat),) = [(to, beat) for to, beat in bench.wire.take(Heartbeat) if to == "n2"]
    assert isinstance(beat, Heartbeat)
    assert answers == [], "a quorum has not confirmed it"
    bench.hear(2, HeartbeatReply(bench.driver.core.term, beat.context))
    assert answers == [None]


def test_a_read_that_was_asked_of_a_leader_that_leads_no_more_goes_to_the_next() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.read()
    ((_, first),) = bench.wire.take(ReadIndex)
    bench.follow(leader=3, term=2)
    bench.turn()
    ((to, again),) = bench.wire.take(ReadIndex)
    assert (to, answers) == ("n3", [])
    assert isinstance(first, ReadIndex)
    assert isinstance(again, ReadIndex)
    bench.hear(2, ReadIndexReply(2, first.context, 1))
    assert answers == [], "the former leader's late answer says nothing of what the next one took"
    bench.hear(3, ReadIndexReply(2, again.context, 1))
    assert answers == [None]


def test_a_read_whose_own_time_is_up_is_answered_then_and_is_asked_of_nobody_later() -> None:
    bench = Bench()
    hasty, patient = bench.read(50_000), bench.read()
    bench.pass_time(50_000)
    assert [failed and failed.code for failed in hasty] == ["timeout"]
    assert patient == []
    bench.follow()
    bench.turn()
    ((_, asked),) = bench.wire.take(ReadIndex)
    assert isinstance(asked, ReadIndex)
    bench.hear(2, ReadIndexReply(1, asked.context, 1))
    assert patient == [None]
    assert len(hasty) == 1


def test_what_waited_is_proposed_before_what_comes_with_the_next_leader() -> None:
    bench = Bench()
    bench.write(b"first")
    bench.follow()
    bench.woken = 0
    bench.write(b"second")
    ((_, forward),) = forwarded(bench)
    assert [proposal.data for proposal in forward.proposals] == [b"first", b"second"]


def test_a_node_that_stops_answers_reads_that_wait() -> None:
    bench = Bench()
    answers = bench.read()
    bench.driver.stop()
    assert [failed and failed.code for failed in answers] == ["stopping"]


def write(size_bytes: int = 1, deadline_us: int = LONG_US) -> PendingWrite:
    return PendingWrite(b"x" * size_bytes, lambda _outcome: None, True, deadline_us)


def test_only_so_many_wait_and_only_so_many_bytes() -> None:
    between = BetweenLeaders()
    assert [between.hold(write(), NOBODY, 0) for _ in range(HELD_WRITES_MAX + 1)] == [*[True] * HELD_WRITES_MAX, False]
    assert len(between.take_writes()) == HELD_WRITES_MAX
    half = write(HELD_BYTES_MAX // 2)
    assert [between.hold(half, NOBODY, 0) for _ in range(3)] == [True, True, False]
    assert len(between.take_writes()) == 2
    assert between.hold(write(HELD_BYTES_MAX + 1), NOBODY, 0)
    assert not between.hold(write(), NOBODY, 0)


def test_only_so_many_reads_wait_and_room_comes_back() -> None:
    between = BetweenLeaders()
    many = tuple(range(HELD_READS_MAX - 1))
    assert between.hold_reads(many, UNREAD, 0)
    assert not between.hold_reads((1, 2), UNREAD, 0)
    assert between.hold_reads((1,), UNREAD, 0)
    assert between.take_reads() == [*many, 1]
    assert between.hold_reads(many, UNREAD, 0)
    assert sum(len(held.requests) for held in between.expired(HELD_US)[1]) == len(many)
    assert not between.any
    between.leader_changed()
    assert between.hold_reads(many, UNREAD, HELD_US)


def test_room_of_bytes_comes_back_when_writes_run_out_of_time() -> None:
    between = BetweenLeaders()
    large = write(HELD_BYTES_MAX, deadline_us=1000)
    assert between.hold(large, NOBODY, 0)
    assert between.deadline == 1000
    assert not between.hold(write(), NOBODY, 0)
    assert len(between.expired(1000)[0]) == 1
    assert [between.hold(write(), NOBODY, 1000) for _ in range(2)] == [True, True]


def test_where_nobody_asked_for_long_the_next_waits_again() -> None:
    between = BetweenLeaders()
    assert between.hold(write(), NOBODY, 0)
    assert len(between.expired(HELD_US)[0]) == 1
    assert not between.hold(write(), NOBODY, HELD_US)
    assert not between.hold(write(), NOBODY, 2 * HELD_US)
    assert between.hold(write(), NOBODY, 3 * HELD_US + 1)
    assert between.deadline == 4 * HELD_US + 1
