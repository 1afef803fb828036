"""Caught up is what a read barrier says, asked when a leader is known and again after a pause where it failed."""

from node.runtime.readiness import ASK_AGAIN_US, ReadyWatch


def test_a_barrier_is_asked_once_a_leader_is_known_and_again_until_it_holds() -> None:
    watch = ReadyWatch(300_000)
    assert not watch.wants_barrier("", 0)
    assert watch.wants_barrier("n2", 1)
    assert not watch.wants_barrier("n2", 2), "one is under way"
    watch.barrier_ended(False, 10)
    assert not watch.wants_barrier("n2", 9 + ASK_AGAIN_US)
    assert watch.wants_barrier("n2", 10 + ASK_AGAIN_US)
    assert not watch.view("n2", 0).caught_up
    watch.barrier_ended(True, 20)
    assert watch.view("n2", 0).caught_up
    assert not watch.wants_barrier("n2", 2 * ASK_AGAIN_US)


def test_the_time_without_a_leader_counts_from_when_one_was_last_known() -> None:
    watch = ReadyWatch(300_000)
    assert watch.view("", 5).leaderless_us is None
    assert watch.view("n2", 5).leaderless_us == 0
    watch.saw("n2", 10)
    watch.saw("", 20)
    assert watch.view("", 25).leaderless_us == 15
    assert watch.view("n3", 30).leaderless_us == 0
