"""Answers to clients go out a bounded number in a turn, and no kind of them waits for the others to end."""

from node.runtime.replies import REPLIES_PER_TURN_MAX, Replies


def test_writes_that_never_end_do_not_keep_reads_from_their_answers() -> None:
    replies = Replies()
    told: list[str] = []
    replies.add_all(iter([(told.append, "a read")]))
    for _ in range(3):
        for _ in range(REPLIES_PER_TURN_MAX + 1):
            replies.add(told.append, "a write")
        assert replies.tell()
    assert "a read" in told


def test_reads_that_never_end_do_not_keep_writes_from_their_answers() -> None:
    replies = Replies()
    told: list[str] = []
    replies.add(told.append, "a write")
    replies.add_all((told.append, "a read") for _ in range(4 * REPLIES_PER_TURN_MAX))
    assert replies.tell()
    assert "a write" in told


def test_each_kind_is_told_in_its_order_and_once() -> None:
    replies = Replies()
    told: list[int] = []
    for number in range(5):
        replies.add(told.append, number)
    replies.add_all(iter([(told.append, 10), (told.append, 11)]))
    replies.add_all(iter([(told.append, 12)]))
    assert not replies.tell()
    assert [number for number in told if number < 10] == [0, 1, 2, 3, 4]
    assert [number for number in told if number >= 10] == [10, 11, 12]
    assert not replies.tell()
    assert len(told) == 8
