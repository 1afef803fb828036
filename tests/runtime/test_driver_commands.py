"""Operators' commands through the driver: to the core, over one hop to another node, and from a peer."""

from collections.abc import Callable

import msgspec
import pytest

from node.raft.messages import Command, CommandReply, Report, TimeoutNow, Vote
from node.raft.types import Member, Role
from node.runtime.inputs import Arrived, WantOrder, WantRelay
from node.runtime.orders import ORDERS_MAX
from node.runtime.ports import CommandOutcome, NotProposed
from tests.runtime.doubles import BOOT, MEMBERS, Bench


def order(bench: Bench, command: str, target: str = "", **arguments: str) -> list[CommandOutcome]:
    """Ask; the list gets the one answer."""
    answers: list[CommandOutcome] = []
    bench.take(WantOrder(command, bench.now + 1_000_000, answers.append, {"target": target, **arguments}))
    return answers


def relay(bench: Bench, node: str = "n2", command: str = "check_timers") -> list[CommandOutcome]:
    answers: list[CommandOutcome] = []
    bench.take(WantRelay(node, command, b"{}", bench.now + 1_000_000, answers.append))
    return answers


def told(bench: Bench) -> Command:
    ((_, message),) = bench.wire.take(Command)
    assert isinstance(message, Command)
    return message


def reply(command: Command, code: str = "ok", boot: str = BOOT) -> CommandReply:
    body = {"command": command.name, "node": "liar", "code": code, "message": "done", "data": {"a": 1}}
    return CommandReply(boot, command.request, msgspec.msgpack.encode(body))


def test_an_order_is_the_cores_and_answered_by_it() -> None:
    bench = Bench()
    bench.follow()
    (outcome,) = order(bench, "trigger_election")
    assert (outcome.code, outcome.command) == ("ok", "trigger_election")
    assert bench.driver.core.role is Role.CANDIDATE
    assert [to for to, _ in bench.wire.take(Vote)] == ["n2", "n3"]


def test_what_the_core_refuses_is_refused_with_its_reason() -> None:
    bench = Bench()
    bench.follow()
    (outcome,) = order(bench, "transfer_leadership", "n3")
    assert (outcome.code, outcome.message) == ("refused", "n1 does not lead: n2 does")
    assert [answer.code for answer in order(bench, "become_follower")] == ["refused"]
    assert [answer.code for answer in order(bench, "force_timeout")] == ["ok"]


def test_during_a_hand_over_writes_are_certainly_not_proposed_and_afterwards_they_are() -> None:
    bench = Bench()
    bench.lead()
    answers = order(bench, "transfer_leadership", "n2")
    assert bench.wire.take(TimeoutNow)
    refusals = bench.write(b"x", timeout_us=50_000)
    bench.pass_time(50_000)
    (refusal,) = refusals
    assert isinstance(refusal, NotProposed)
    assert (refusal.code, refusal.leader) == ("transferring", "n2")
    assert answers == []
    bench.depose(leader=2)
    assert [answer.code for answer in answers] == ["ok"]


def test_a_relayed_command_is_one_message_and_its_reply_the_answer() -> None:
    bench = Bench()
    bench.follow()
    answers = relay(bench)
    command = told(bench)
    assert (command.boot, command.name, command.arguments) == (BOOT, "check_timers", b"{}")
    assert answers == []
    bench.hear(2, reply(command))
    (outcome,) = answers
    assert (outcome.code, outcome.node, outcome.data) == ("ok", "n2", {"a": 1})
    bench.hear(2, reply(command))
    assert len(answers) == 1


def test_what_the_link_did_not_take_was_certainly_not_obeyed() -> None:
    bench = Bench()
    bench.wire.cut.append("n2")
    answers = relay(bench)
    bench.pass_time(2_000_000)
    assert [answer.code for answer in answers] == ["no-link"]


def test_no_reply_in_time_is_of_unknown_outcome_and_a_late_one_changes_nothing() -> None:
    bench = Bench()
    bench.follow()
    answers = relay(bench)
    command = told(bench)
    assert bench.driver.deadline is not None
    assert bench.driver.deadline <= bench.now + 1_000_000
    bench.pass_time(1_000_001)
    assert [answer.code for answer in answers] == ["unknown"]
    bench.hear(2, reply(command))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("sender", "spoil"),
    [(3, lambda r: r), (2, lambda r: msgspec.structs.replace(r, boot="another"))],
    ids=["from one who was not asked", "for another process"],
)
def test_a_reply_that_is_not_ours_is_dropped(sender: int, spoil: Callable[[CommandReply], CommandReply]) -> None:
    bench = Bench()
    bench.follow()
    answers = relay(bench)
    bench.hear(sender, spoil(reply(told(bench))))
    assert answers == []


def test_a_node_with_a_new_disk_is_no_member_and_its_own_answer_is_believed_all_the_same() -> None:
    bench = Bench()
    bench.follow()
    newcomer = Member("n2", "another-disk")
    bench.take(Arrived(newcomer, Report(b"status")))
    answers = relay(bench)
    command = told(bench)
    bench.hear(2, reply(command))
    assert answers == [], "that process is gone: the command went to the one that was heard last"
    bench.take(Arrived(newcomer, reply(command, "refused")))
    assert [answer.code for answer in answers] == ["refused"]


def test_a_reply_that_cannot_be_read_is_of_unknown_outcome() -> None:
    bench = Bench()
    bench.follow()
    answers = relay(bench)
    bench.hear(2, CommandReply(BOOT, told(bench).request, b"\xc1"))
    assert [answer.code for answer in answers] == ["unknown"]


def test_commands_that_wait_are_bounded_and_stopping_answers_them() -> None:
    bench = Bench()
    bench.follow()
    waiting = [relay(bench) for _ in range(ORDERS_MAX)]
    assert [answer.code for answer in relay(bench)] == ["overloaded"]
    assert [answer.code for answer in order(bench, "trigger_election")] == ["overloaded"]
    bench.driver.stop()
    assert {answer.code for answers in waiting for answer in answers} == {"unknown"}


class Obeys:
    """The surroundings' hook: remembers, and answers when told."""

    def __init__(self, bench: Bench) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.replies: list[Callable[[CommandOutcome], None]] = []
        self.wanted: list[str] = []
        bench.report_wanted, bench.command = self.wanted.append, self._command

    def _command(self, name: str, arguments: bytes, reply: Callable[[CommandOutcome], None]) -> None:
        self.asked.append((name, arguments))
        self.replies.append(reply)


def test_a_member_may_command_and_gets_the_answer_with_its_own_number_and_boot() -> None:
    bench = Bench()
    obeys = Obeys(bench)
    bench.hear(3, Command("boot-3", 9, "check_timers", b'{"a":1}'))
    assert obeys.asked == [("check_timers", b'{"a":1}')]
    assert not bench.wire.take(CommandReply)
    obeys.replies[0](CommandOutcome("check_timers", "n1", "ok", "done"))
    bench.pass_time(1)
    ((to, answer),) = bench.wire.take(CommandReply)
    assert isinstance(answer, CommandReply)
    assert (to, answer.boot, answer.request) == ("n3", "boot-3", 9)
    assert msgspec.msgpack.decode(answer.outcome, type=CommandOutcome).code == "ok"


def test_a_stranger_commands_nothing_and_is_told_so() -> None:
    bench = Bench()
    obeys = Obeys(bench)
    bench.take(Arrived(Member("n2", "another-disk"), Command("boot-2", 9, "simulate_failure", b"{}")))
    assert obeys.asked == []
    ((to, answer),) = bench.wire.take(CommandReply)
    assert isinstance(answer, CommandReply)
    assert to == "n2"
    assert msgspec.msgpack.decode(answer.outcome, type=CommandOutcome).code == "refused"


def test_a_report_that_asks_for_another_gets_one() -> None:
    bench = Bench()
    obeys = Obeys(bench)
    bench.hear(2, Report(b"x"))
    assert obeys.wanted == []
    bench.hear(2, Report(b"x", 0, True))
    assert obeys.wanted == ["n2"]
    assert bench.reports == [(MEMBERS[1], b"x")] * 2


def test_commit_latency_is_from_the_leaders_log_to_its_store() -> None:
    bench = Bench()
    bench.follow()
    bench.write(b"forwarded")
    assert bench.driver.latency.summary(bench.now).count == 0
    bench = Bench()
    bench.now = 500_000_000
    bench.lead()
    bench.write(b"x")
    bench.now += 29_000  # and one more for each input
    bench.acknowledge()
    summary = bench.driver.latency.summary(bench.now)
    assert summary.count == 1
    assert summary.recent[0].max == 30.0
    assert summary.p50 is not None
    assert 27 <= summary.p50 <= 30


def test_a_change_of_members_is_the_leaders_and_answered_once_it_is_committed() -> None:
    bench = Bench()
    bench.follow()
    (outcome,) = order(bench, "remove_member", name="n3", force="no")
    assert (outcome.code, outcome.message) == ("refused", "n1 does not lead: n2 does")
