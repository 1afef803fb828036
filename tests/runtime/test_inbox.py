"""What one turn of the loop takes: weighed, with signs of life first and the timer last."""

import pytest

from node.raft.events import Deadline
from node.raft.messages import (
    Append,
    AppendReply,
    Forward,
    ForwardedAnswer,
    ForwardedProposal,
    ForwardReply,
    Heartbeat,
    Message,
)
from node.raft.types import Entry, EntryKind, Member
from node.runtime.inbox import INBOX_BYTES_MAX, INBOX_INPUTS_MAX, TURN_WEIGHT_MAX, Inbox
from node.runtime.inputs import BYTES_PER_WEIGHT, INPUT_WEIGHT, Arrived, Input, WantWrite, weight_of

N2 = Member("n2", "n2-disk")
MIB = 1024 * 1024


def arrived(message: Message) -> Arrived:
    return Arrived(N2, message)


def write(size_bytes: int = 1) -> WantWrite:
    return WantWrite(b"x" * size_bytes, 0, lambda _outcome: None)


def append(entries: int, size_bytes: int = 1) -> Arrived:
    data = b"x" * size_bytes
    return arrived(Append(1, 1, 0, 0, tuple(Entry(n + 2, 1, EntryKind.WRITE, data) for n in range(entries))))


def weight(items: list[Input]) -> int:
    return sum(weight_of(item) for item in items)


@pytest.mark.parametrize(
    ("light", "heavy"),
    [
        (append(1), append(1_000)),
        (append(1), append(1, MIB)),
        (write(), write(MIB)),
        *(
            (
                arrived(Forward("b", (ForwardedProposal(1, b"x"),))),
                arrived(Forward("b", (ForwardedProposal(1, b"x" * size),) * count)),
            )
            for count, size in ((200, 1), (1, MIB))
        ),
        *(
            (
                arrived(ForwardReply("b", (ForwardedAnswer(1, b"x"),))),
                arrived(ForwardReply("b", (ForwardedAnswer(1, b"x" * size),) * count)),
            )
            for count, size in ((200, 1), (1, MIB))
        ),
    ],
)
def test_an_input_weighs_what_it_holds(light: Input, heavy: Input) -> None:
    assert weight_of(light) <= 2 * INPUT_WEIGHT
    assert weight_of(heavy) >= MIB // BYTES_PER_WEIGHT


@pytest.mark.parametrize("item", [write(MIB), append(500), append(1, MIB), write()])
def test_a_turn_takes_no_more_than_its_weight_however_much_waits(item: Input) -> None:
    inbox = Inbox()
    for _ in range(1_000):
        inbox.post(item)
    taken = 0
    while len(inbox):
        turn = inbox.take_turn()
        assert TURN_WEIGHT_MAX - weight_of(item) < weight(turn) <= TURN_WEIGHT_MAX or not len(inbox)
        taken += len(turn)
    assert taken == 1_000


def test_what_is_heavier_than_a_turn_is_taken_alone() -> None:
    inbox = Inbox()
    for _ in range(2):
        inbox.post(append(TURN_WEIGHT_MAX))
        inbox.post(write())
    assert [len(inbox.take_turn()) for _ in range(4)] == [1, 1, 1, 1]
    assert inbox.take_turn() == []


def test_heartbeats_do_not_wait_behind_data_and_data_not_for_ever_behind_heartbeats() -> None:
    inbox = Inbox()
    for _ in range(1_000):
        inbox.post(write(MIB))
    heartbeat = arrived(Heartbeat(1, 1))
    inbox.post(heartbeat)
    assert inbox.take_turn()[0] is heartbeat
    for _ in range(10_000):
        inbox.post(arrived(AppendReply(1, True, 1)))
    assert any(isinstance(item, WantWrite) for item in inbox.take_turn())


def test_the_timer_is_looked_at_after_what_arrived_and_in_this_very_turn() -> None:
    inbox = Inbox()
    for _ in range(1_000):
        inbox.post(write(MIB))
    inbox.post(Deadline())
    inbox.post(Deadline())
    inbox.post(arrived(Heartbeat(1, 1)))
    turn = inbox.take_turn()
    assert isinstance(turn[0], Arrived)
    assert [isinstance(item, Deadline) for item in turn] == [False] * (len(turn) - 1) + [True]
    assert not any(isinstance(item, Deadline) for item in inbox.take_turn())


def test_within_a_lane_the_order_stays() -> None:
    inbox = Inbox()
    items = [append(1 + number % 300) for number in range(100)]
    for item in items:
        inbox.post(item)
    taken: list[Input] = []
    while len(inbox):
        taken += inbox.take_turn()
    assert taken == items


def test_it_is_full_by_number_and_by_bytes() -> None:
    inbox = Inbox()
    large = write(4 * MIB)
    for _ in range(INBOX_BYTES_MAX // (4 * MIB)):
        inbox.post(large)
    fulls = [inbox.full]
    inbox.take_turn()
    fulls.append(inbox.full)
    assert fulls == [True, False]
    assert len(inbox.drain()) == INBOX_BYTES_MAX // (4 * MIB) - TURN_WEIGHT_MAX // weight_of(large)
    small = write()
    for _ in range(INBOX_INPUTS_MAX):
        inbox.post(small)
    assert inbox.full


def test_what_arrives_while_too_much_waits_is_dropped_and_counted_but_no_heartbeat_for_others_sake() -> None:
    inbox = Inbox()
    small = write()
    for _ in range(INBOX_INPUTS_MAX):
        inbox.post(small)
    assert not inbox.offer(append(1))
    assert inbox.offer(arrived(Heartbeat(1, 1)))
    assert inbox.dropped == {Append: 1}
    assert len(inbox) == INBOX_INPUTS_MAX + 1
