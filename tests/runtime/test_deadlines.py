"""What waits for a time: exact, and as cheap with what waits no more as without."""

from node.runtime.deadlines import SPARE_MAX, Deadlines


def test_what_is_due_comes_oldest_first_and_never_early() -> None:
    deadlines = Deadlines()
    for number, at_us in ((1, 30), (2, 10), (3, 20)):
        deadlines.add(number, at_us)
    assert deadlines.next == 10
    assert deadlines.due(9, 99) == []
    assert deadlines.due(20, 99) == [2, 3]
    assert (deadlines.next, len(deadlines)) == (30, 1)


def test_what_waits_no_more_is_never_due_and_nothing_is_waited_for() -> None:
    deadlines = Deadlines()
    deadlines.add(1, 10)
    deadlines.discard(1)
    deadlines.discard(1)
    assert (deadlines.next, deadlines.due(99, 99), len(deadlines)) == (None, [], 0)


def test_a_turn_looks_at_no_more_than_it_may_and_the_rest_is_still_due() -> None:
    deadlines = Deadlines()
    for number in range(100):
        deadlines.add(number, number)
    assert deadlines.due(1_000, 30) == list(range(30))
    assert deadlines.next == 30
    for number in range(30, 60):
        deadlines.discard(number)
    assert deadlines.due(1_000, 30) == [], "these waited no more, and to look at them is work, too"
    assert deadlines.due(1_000, 30) == list(range(60, 90))


def test_what_was_answered_long_before_it_was_due_is_not_kept_until_then() -> None:
    deadlines = Deadlines()
    deadlines.add(0, 1)  # the oldest of all waits on, so that nothing is cleared away from the top
    for number in range(1, 50_000):
        deadlines.add(number, 600_000_000)
        deadlines.discard(number)
        assert len(deadlines._heap) <= 2 + SPARE_MAX + 1
