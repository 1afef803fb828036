"""Who is told what: 503 only where nothing was proposed, "unknown" for everything that may have happened."""

import pytest

from node.raft.messages import (
    Forward,
    ForwardedAnswer,
    ForwardedProposal,
    ForwardReply,
    Heartbeat,
    HeartbeatReply,
    ReadIndex,
    ReadIndexReply,
    Report,
)
from node.raft.types import Member
from node.runtime.between_leaders import HELD_US
from node.runtime.forwarding import LAST_ANSWERS_US
from node.runtime.inputs import Arrived
from node.runtime.ports import Done, NotProposed, Outcome, ReadFailed, Unknown
from tests.runtime.doubles import BOOT, MEMBERS, Bench, from_a_peer, to_a_peer


def _forwarded(bench: Bench) -> Forward:
    (to, message), *more = bench.wire.take(Forward)
    assert not more
    assert to == "n2"
    assert isinstance(message, Forward)
    return message


def _reply(forward: Forward, outcome: Outcome, boot: str = BOOT) -> ForwardReply:
    answers = tuple(ForwardedAnswer(p.request, to_a_peer(outcome)) for p in forward.proposals)
    return ForwardReply(boot, answers)


def test_a_write_on_the_leader_is_answered_once_it_is_applied() -> None:
    bench = Bench()
    bench.lead()
    answers = bench.write(b"x")
    assert answers == []
    bench.acknowledge()
    assert answers == [Done(b"x", 3, 1)]


def test_a_write_is_not_answered_before_the_leaders_own_disk_has_it() -> None:
    bench = Bench()
    bench.lead()
    bench.disk.held = True
    answers = bench.write()
    bench.acknowledge()
    assert answers == []
    bench.disk.held = False
    bench.disk.complete()
    bench.acknowledge()
    assert len(answers) == 1


def test_without_a_leader_a_write_was_never_proposed() -> None:
    bench = Bench()
    answers = bench.write()
    bench.pass_time(HELD_US)
    (answer,) = answers
    assert isinstance(answer, NotProposed)
    assert answer.code == "no-leader"


def test_a_follower_forwards_once_and_passes_the_answer_on() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write(b"x")
    forward = _forwarded(bench)
    assert [p.data for p in forward.proposals] == [b"x"]
    assert answers == []
    bench.hear(2, _reply(forward, Done(b"r", 9, 1)))
    assert answers == [Done(b"r", 9, 1)]


def test_what_the_link_did_not_take_was_never_proposed() -> None:
    bench = Bench()
    bench.follow()
    bench.wire.cut.append("n2")
    answers = bench.write()
    bench.pass_time(HELD_US)
    (answer,) = answers
    assert isinstance(answer, NotProposed)
    assert answer.code == "no-link"


def test_a_forwarded_write_takes_no_second_hop() -> None:
    bench = Bench()
    bench.follow()
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, b"x"),)))
    sent = list(bench.wire.sent)
    assert not [message for _, message in sent if isinstance(message, Forward)]
    ((to, reply),) = [(to, m) for to, m in sent if isinstance(m, ForwardReply)]
    assert (to, reply.boot, reply.answers[0].request) == ("n3", "boot-of-n3", 5)
    assert isinstance(from_a_peer(reply.answers[0].outcome), NotProposed)


def test_the_leader_answers_a_forwarded_write_over_the_link() -> None:
    bench = Bench()
    bench.lead()
    bench.hear(3, Forward("boot-of-n3", (ForwardedProposal(5, b"x"), ForwardedProposal(6, b"y"))))
    assert bench.wire.take(ForwardReply) == []
    bench.acknowledge()
    ((to, reply),) = bench.wire.take(ForwardReply)
    assert to == "n3"
    assert isinstance(reply, ForwardReply)
    outcomes = [from_a_peer(answer.outcome) for answer in reply.answers]
    assert outcomes == [Done(b"x", 3, 1), Done(b"y", 4, 1)]


def test_a_stranger_cannot_forward() -> None:
    bench = Bench()
    bench.lead()
    stranger = Member("n3", "another-disk")
    bench.take(Arrived(stranger, Forward("boot", (ForwardedProposal(5, b"x"),))))
    assert bench.driver.core.status(bench.now).last_index == 2


def test_an_answer_for_another_process_of_this_name_is_not_taken() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    forward = _forwarded(bench)
    bench.hear(2, _reply(forward, Done(b"r", 9, 1), boot="an-earlier-process"))
    assert answers == []


def test_an_answer_of_an_unknown_form_leaves_the_outcome_unknown() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write()
    request = _forwarded(bench).proposals[0].request
    bench.hear(2, ForwardReply(BOOT, (ForwardedAnswer(request, b"\xc1"),)))
    assert isinstance(answers[0], Unknown)


def test_pitfall_34_a_write_that_timed_out_on_the_leader_is_unknown_not_failed() -> None:
    bench = Bench()
    bench.lead()
    answers = bench.write(timeout_us=100_000)
    bench.pass_time(120_000)
    assert isinstance(answers[0], Unknown)
    bench.acknowledge()
    assert len(answers) == 1, "the entry is applied later, but the client was answered"


def test_pitfall_34_a_forwarded_write_that_timed_out_is_unknown_not_failed() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.write(timeout_us=100_000)
    bench.pass_time(120_000)
    assert isinstance(answers[0], Unknown)


def test_pitfall_34_an_overwritten_write_is_unknown_not_failed() -> None:
    bench = Bench()
    bench.lead()
    answers = bench.write()
    term = bench.depose()
    assert answers == [], "the new leader may still commit it"
    bench.overwrite(term)
    assert isinstance(answers[0], Unknown)


def test_a_write_of_a_deposed_leader_is_done_if_the_new_leader_commits_it() -> None:
    bench = Bench()
    bench.lead()
    answers = bench.write(b"x")
    term = bench.depose()
    bench.hear(3, Heartbeat(term, 3))
    assert answers == [Done(b"x", 3, 1)]


def test_a_write_forwarded_to_a_leader_that_is_gone_is_unknown_as_soon_as_another_leads() -> None:
    bench = Bench()
    bench.follow(leader=2, term=1)
    answers = bench.write()
    bench.wire.cut = ["n2"]
    bench.follow(leader=3, term=2)
    assert answers == [Unknown("n2 stopped leading before it answered; the write may still happen")]


def test_a_leader_that_handed_over_still_answers_what_was_forwarded_to_it() -> None:
    bench = Bench()
    bench.follow(leader=2, term=1)
    answers = bench.write()
    forward = _forwarded(bench)
    bench.follow(leader=3, term=2)
    assert answers == [], "its outcome is about to be known"
    done = Done(b"x", 7, 1)
    bench.hear(2, ForwardReply(BOOT, (ForwardedAnswer(forward.proposals[0].request, to_a_peer(done)),)))
    assert answers == [done]


def test_a_former_leader_that_does_not_answer_is_waited_for_a_second_and_not_longer() -> None:
    bench = Bench()
    bench.follow(leader=2, term=1)
    answers = bench.write(timeout_us=10 * LAST_ANSWERS_US)
    bench.follow(leader=3, term=2)
    bench.pass_time(LAST_ANSWERS_US - 10_000)
    assert answers == []
    bench.pass_time(20_000)
    assert isinstance(answers[0], Unknown)
    assert "n2 stopped leading" in answers[0].reason


def test_writes_wait_until_the_last_one_is_answered() -> None:
    bench = Bench()
    bench.lead()
    waits = [bench.driver.writes_wait]
    bench.write()
    waits.append(bench.driver.writes_wait)
    bench.acknowledge()
    waits.append(bench.driver.writes_wait)
    assert waits == [False, True, False]


def test_a_stopping_node_answers_everything_that_waits() -> None:
    bench = Bench()
    bench.lead()
    write, read = bench.write(), bench.read()
    bench.driver.stop()
    assert isinstance(write[0], Unknown)
    assert read == [ReadFailed("stopping", "the node is stopping")]


def test_too_many_waiting_requests_are_refused() -> None:
    bench = Bench(pending_requests_max=2)
    bench.lead()
    bench.write()
    bench.read()
    (write,), (read,) = bench.write(), bench.read()
    assert isinstance(write, NotProposed)
    assert write.code == "overloaded"
    assert read is not None
    assert read.code == "overloaded"


def test_a_read_on_the_leader_waits_for_a_quorum_to_answer_a_round() -> None:
    bench = Bench()
    bench.lead()
    bench.wire.sent.clear()
    answers = bench.read()
    heartbeat = bench.wire.take(Heartbeat)[0][1]
    assert isinstance(heartbeat, Heartbeat)
    assert answers == []
    bench.hear(2, HeartbeatReply(1, heartbeat.context))
    assert answers == [None]


def test_a_read_on_a_follower_asks_the_leader_and_waits_until_it_is_applied() -> None:
    bench = Bench()
    bench.follow()
    answers = bench.read()
    asked = bench.wire.take(ReadIndex)[0][1]
    assert isinstance(asked, ReadIndex)
    bench.hear(2, ReadIndexReply(1, asked.context, 1))
    assert answers == [None]


@pytest.mark.parametrize("lead", [True, False])
def test_a_read_that_no_quorum_confirms_fails_in_time_and_changes_nothing(lead: bool) -> None:
    bench = Bench()
    if lead:
        bench.lead()
    else:
        bench.follow()
    answers = bench.read(timeout_us=50_000)
    bench.pass_time(60_000)
    assert answers[0] is not None
    assert answers[0].code == "timeout"


def test_the_deadline_covers_waiting_requests() -> None:
    bench = Bench()
    bench.follow()
    bench.write(timeout_us=20_000)
    assert bench.driver.deadline is not None
    assert bench.driver.deadline <= bench.now + 20_000


def test_reports_of_peers_reach_the_views() -> None:
    bench = Bench()
    bench.hear(2, Report(b"status"))
    assert bench.reports == [(MEMBERS[1], b"status")]


def test_a_write_that_ran_out_of_time_while_the_own_disk_was_silent_says_so_and_blames_no_quorum() -> None:
    bench = Bench()
    bench.lead()
    bench.disk.held = True
    answers = bench.write(timeout_us=5_000_000)
    bench.acknowledge()
    bench.pass_time(5_000_000)
    (answer,) = answers
    assert isinstance(answer, Unknown)
    assert answer.reason == "this node's disk has not answered for 5002 ms; the write may still happen"


def test_a_read_that_ran_out_of_time_leaves_nothing_in_the_core() -> None:
    bench = Bench()
    bench.lead()
    answers = bench.read(timeout_us=20_000)
    assert bench.driver.core.status(0).reads_waiting == 1
    bench.pass_time(20_000)
    assert len(answers) == 1
    assert bench.driver.core.status(0).reads_waiting == 0
