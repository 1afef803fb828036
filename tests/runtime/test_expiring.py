"""What is due in the state machine is proposed by the leader, soon, one entry at a time, and by nobody else."""

from node.raft.messages import Append, AppendReply, Heartbeat
from node.raft.types import Entry, EntryKind
from node.runtime.expiring import ANSWER_US, RETRY_US
from node.runtime.inputs import WantOrder
from tests.runtime.doubles import TIMEOUT_US, Bench


def log_time(bench: Bench) -> int:
    return bench.driver.core.log_time_us(bench.now)


def proposed(bench: Bench) -> int:
    """How many such entries are in the log, committed or not."""
    core = bench.driver.core
    return sum(entry.data == b"due" for entry in core.entries(1, core.status(bench.now).last_index))


def leader() -> Bench:
    bench = Bench()
    bench.lead()
    return bench


def test_a_leader_proposes_what_is_due_and_not_before() -> None:
    bench = leader()
    bench.machine.due_us = log_time(bench) + 100_000
    bench.take()
    assert bench.driver.deadline is not None
    assert bench.driver.deadline <= bench.now + 100_000
    bench.pass_time(90_000)
    assert proposed(bench) == 0
    bench.hear(2, AppendReply(bench.driver.core.term, True, bench.driver.core.commit))
    bench.pass_time(20_000)
    assert proposed(bench) == 1


def test_the_driver_asks_for_a_turn_when_something_is_due() -> None:
    bench = leader()
    bench.take()
    without = bench.driver.deadline
    bench.machine.due_us = log_time(bench) + 5_000
    bench.take()
    assert bench.driver.deadline == bench.now + 4_000 != without


def test_one_proposal_at_a_time_and_the_next_once_it_is_applied() -> None:
    bench = leader()
    bench.machine.due_us = log_time(bench)
    for _ in range(5):
        bench.take()
    assert proposed(bench) == 1
    bench.acknowledge()
    bench.take()
    bench.take()
    assert proposed(bench) == 2
    bench.machine.due_us = None
    bench.acknowledge()
    for _ in range(5):
        bench.take()
    assert proposed(bench) == 2


def test_who_follows_proposes_nothing_and_asks_for_no_turn() -> None:
    bench = Bench()
    bench.follow()
    bench.machine.due_us = 0
    for _ in range(3):
        bench.take()
        bench.hear(2, Heartbeat(1, 1))
    assert proposed(bench) == 0
    assert bench.driver.deadline is not None
    assert bench.driver.deadline > bench.now
    assert not bench.wire.take(Append)


def test_a_proposal_whose_fate_is_never_known_is_followed_by_another() -> None:
    bench = leader()
    bench.machine.due_us = log_time(bench)
    bench.take()
    assert proposed(bench) == 1
    for _ in range(ANSWER_US // 100_000 + 4):
        bench.pass_time(100_000)
        bench.hear(2, AppendReply(bench.driver.core.term, True, bench.driver.core.commit))
    assert proposed(bench) == 2


def test_while_the_lead_is_handed_over_nothing_is_proposed_and_no_turn_is_asked_for_in_vain() -> None:
    bench = leader()
    bench.take(WantOrder("transfer_leadership", bench.now + TIMEOUT_US, lambda _outcome: None, {"target": "n2"}))
    bench.machine.due_us = log_time(bench)
    bench.take()
    assert proposed(bench) == 0
    assert bench.driver.deadline is not None
    assert bench.driver.deadline > bench.now
    assert bench.driver.expiring.deadline == bench.now + RETRY_US


def test_a_leader_tells_log_time_exactly_and_who_follows_counts_from_what_it_applied() -> None:
    bench = leader()
    assert bench.driver.expiring.log_time_us(bench.now) == log_time(bench)
    other = Bench()
    other.follow()
    other.hear(2, Append(1, 1, 0, 2, (Entry(2, 1, EntryKind.NOOP, b"", 3_000_000),)))
    while other.woken:
        other.turn()
    assert other.machine.applied[-1].time_us == 3_000_000
    applied_at = other.now
    assert 3_000_000 <= other.driver.expiring.log_time_us(applied_at) <= 3_005_000
    later = other.driver.expiring.log_time_us(applied_at + 10_000)
    assert later == other.driver.expiring.log_time_us(applied_at) + 10_000
