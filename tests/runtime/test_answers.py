"""Answers on their way to other nodes: in bounded messages, offered again where a link refuses, counted where lost."""

from node.raft.messages import (
    ANSWER_BYTES_MAX,
    FORWARD_REPLY_ANSWERS_MAX,
    FORWARD_REPLY_BYTES_MAX,
    CommandReply,
    ForwardReply,
    Message,
)
from node.runtime.answers import (
    ANSWER_BYTES_PER_TURN_MAX,
    ANSWER_KEPT_US,
    ANSWER_RETRY_US,
    ANSWERS_PER_TURN_MAX,
    Answers,
)
from node.runtime.onehop import HopCounts
from node.runtime.ports import Done, DoneUntold, Unknown
from tests.runtime.doubles import Echo, Wire, from_a_peer

KIB = 1024


class Desk:
    """Answers that leave over a wire that remembers; `lost`: what was given up."""

    def __init__(self) -> None:
        self.wire, self.counts = Wire(), HopCounts()
        self.lost: list[tuple[str, int]] = []
        self.encoded = 0
        self.answers = Answers(
            self._encode, self.wire.send, self.counts, lambda peer, count: self.lost.append((peer, count))
        )

    def _encode(self, result: object, bytes_max: int) -> bytes | None:
        self.encoded += 1
        return Echo().encode_result(result, bytes_max)

    def owe(self, number: int, size_bytes: int = 1, peer: str = "n2", boot: str = "boot") -> None:
        self.answers.add(peer, boot, number, Done(b"x" * size_bytes, number, 1))

    def sent(self) -> list[tuple[str, list[int]]]:
        """Since the last call: to whom, and which numbers are in each message."""
        sent = [(to, _numbers(message)) for to, message in self.wire.sent]
        self.wire.sent.clear()
        return sent


def _numbers(message: Message) -> list[int]:
    if isinstance(message, CommandReply):
        return [message.request]
    assert isinstance(message, ForwardReply)
    return [answer.request for answer in message.answers]


def test_what_was_decided_together_travels_together_to_each_process() -> None:
    desk = Desk()
    desk.owe(1)
    desk.owe(2, peer="n3")
    desk.owe(3)
    desk.owe(4, boot="a-later-process")
    assert not desk.answers.send(0)
    assert desk.sent() == [("n2", [1, 3]), ("n2", [4]), ("n3", [2])]
    assert (len(desk.answers), desk.answers.deadline) == (0, None)


def test_a_message_is_closed_before_it_grows_too_long_and_a_long_answer_travels_alone() -> None:
    desk = Desk()
    for number, size_bytes in enumerate((600 * KIB, 300 * KIB, 300 * KIB, 3 * KIB * KIB, 1)):
        desk.owe(number, size_bytes)
    desk.answers.send(0)
    desk.answers.send(0)
    lengths = [sum(len(a.outcome) for a in m.answers) for _, m in desk.wire.sent if isinstance(m, ForwardReply)]
    assert [length <= FORWARD_REPLY_BYTES_MAX for length in lengths] == [True, True, False, True]
    assert desk.sent() == [("n2", [0, 1]), ("n2", [2]), ("n2", [3]), ("n2", [4])]


def test_a_message_holds_a_bounded_number_of_answers() -> None:
    desk = Desk()
    for number in range(2 * FORWARD_REPLY_ANSWERS_MAX + 1):
        desk.owe(number)
    desk.answers.send(0)
    assert [len(numbers) for _, numbers in desk.sent()] == [FORWARD_REPLY_ANSWERS_MAX, FORWARD_REPLY_ANSWERS_MAX, 1]


def test_of_one_answer_that_is_too_long_it_is_told_that_it_was_done_and_the_others_arrive_all_the_same() -> None:
    desk = Desk()
    for number in range(11):
        desk.owe(number, ANSWER_BYTES_MAX + 1 if number == 5 else 1)
    desk.answers.send(0)
    ((_, message),) = desk.wire.sent
    assert isinstance(message, ForwardReply)
    outcomes = {answer.request: from_a_peer(answer.outcome) for answer in message.answers}
    assert outcomes.pop(5) == DoneUntold(5, 1, "its answer is too long to be sent here")
    assert outcomes == {number: Done(b"x", number, 1) for number in outcomes}
    assert len(outcomes) == 10
    assert desk.counts.untold == 1


def test_what_a_link_refuses_is_offered_again_and_arrives_once_in_order() -> None:
    desk = Desk()
    desk.wire.cut.append("n2")
    desk.owe(1)
    desk.answers.add_command("n2", "boot", 9, b"obeyed")
    desk.owe(2, peer="n3")
    assert not desk.answers.send(1_000)
    assert desk.sent() == [("n3", [2])]
    assert desk.answers.deadline == 1_000 + ANSWER_RETRY_US
    desk.wire.cut.clear()
    desk.owe(3)
    desk.answers.send(1_000 + ANSWER_RETRY_US - 1)
    assert desk.sent() == [], "a link that is full is not asked at every turn"
    desk.answers.send(1_000 + ANSWER_RETRY_US)
    assert desk.sent() == [("n2", [1]), ("n2", [9]), ("n2", [3])]
    assert (len(desk.answers), desk.counts.lost, desk.encoded) == (0, 0, 3)


def test_what_no_link_takes_for_a_second_is_given_up_counted_and_told() -> None:
    desk = Desk()
    desk.wire.cut.append("n2")
    desk.answers.now = 0
    desk.owe(1)
    desk.owe(2)
    now = 0
    while len(desk.answers):
        assert desk.counts.lost == 0
        desk.answers.send(now)
        if now == 500_000:
            desk.owe(3)
        now += ANSWER_RETRY_US
        assert now < 2 * ANSWER_KEPT_US
        if desk.counts.lost:
            break
    assert now - ANSWER_RETRY_US == ANSWER_KEPT_US
    assert (desk.counts.lost, desk.lost, len(desk.answers)) == (3, [("n2", 3)], 0)


def test_one_turn_encodes_and_sends_a_bounded_number_of_answers_and_of_bytes() -> None:
    desk = Desk()
    for number in range(3 * ANSWERS_PER_TURN_MAX):
        desk.owe(number)
    assert desk.answers.send(0), "more can be sent at once"
    assert desk.encoded <= ANSWERS_PER_TURN_MAX + FORWARD_REPLY_ANSWERS_MAX
    while desk.answers.send(0):
        pass
    assert [n for _, numbers in desk.sent() for n in numbers] == list(range(3 * ANSWERS_PER_TURN_MAX))
    desk = Desk()
    for number in range(20):
        desk.owe(number, KIB * KIB)
    assert desk.answers.send(0)
    assert desk.encoded * KIB * KIB <= ANSWER_BYTES_PER_TURN_MAX + 2 * KIB * KIB


def test_the_last_turn_sends_everything_and_waits_for_no_link() -> None:
    desk = Desk()
    desk.wire.cut.append("n2")
    desk.owe(1)
    for number in range(2, 3_000):
        desk.owe(number, peer="n3")
    desk.answers.send(0, everything=True)
    assert sum(len(numbers) for _, numbers in desk.sent()) == 2_998
    assert (len(desk.answers), desk.counts.lost) == (0, 1)


def test_outcomes_without_a_result_need_no_state_machine() -> None:
    desk = Desk()
    desk.answers.add("n2", "boot", 7, Unknown("nobody knows"))
    desk.answers.send(0)
    ((_, message),) = desk.wire.sent
    assert isinstance(message, ForwardReply)
    assert from_a_peer(message.answers[0].outcome) == Unknown("nobody knows")
