"""Applying takes many turns of the loop: what is said meanwhile, who is answered when, and how much one turn does."""

from node.raft.messages import Append, Heartbeat, HeartbeatReply, Message, PreVote, PreVoteReply
from node.raft.settings import RaftSettings
from node.raft.types import Entry, EntryKind
from node.runtime.applying import APPLY_WORK_PER_TURN_MAX
from node.runtime.inputs import WantWrite
from node.runtime.ports import Done, Outcome, Unknown
from tests.runtime.doubles import TIMEOUT_US, Bench


def long_writes(bench: Bench, count: int, units: int) -> list[list[Outcome]]:
    """So many writes, committed together, each of so many units of work; their answers."""
    bench.machine.units_per_entry = units
    answers: list[list[Outcome]] = [[] for _ in range(count)]
    bench.take(*(WantWrite(b"%d" % i, bench.now + TIMEOUT_US, into.append) for i, into in enumerate(answers)))
    bench.machine.slices.clear()
    bench.acknowledge()
    return answers


def leading() -> Bench:
    bench = Bench()
    bench.lead()
    bench.wire.sent.clear()
    return bench


def test_a_turn_applies_no_more_than_its_share_and_wakes_for_the_next() -> None:
    bench = leading()
    (answers,) = long_writes(bench, 1, 5 * APPLY_WORK_PER_TURN_MAX // 2)
    assert answers == []
    for _ in range(2):
        bench.turn()
    assert bench.machine.slices == [APPLY_WORK_PER_TURN_MAX, APPLY_WORK_PER_TURN_MAX, APPLY_WORK_PER_TURN_MAX // 2]
    assert [type(answer) for answer in answers] == [Done]
    assert not bench.woken


def test_the_commit_leaves_while_it_is_applied() -> None:
    """A leader that froze while it applied had told nobody of the commit: its successor began from there, and froze."""
    bench = leading()
    commits: list[tuple[int, list[int]]] = []

    def note(_to: str, message: Message) -> None:
        if isinstance(message, (Append, Heartbeat)):
            commits.append((message.commit, [*bench.machine.slices]))

    bench.wire.on_sent = note
    long_writes(bench, 1, 10 * APPLY_WORK_PER_TURN_MAX)
    index = bench.driver.core.commit
    bench.pass_time(RaftSettings().commit_told_us)
    assert (index, [APPLY_WORK_PER_TURN_MAX]) in commits, "one slice was done"


def test_heartbeats_and_votes_are_answered_while_an_entry_is_applied() -> None:
    bench = Bench()
    bench.follow()
    bench.machine.units_per_entry = 10 * APPLY_WORK_PER_TURN_MAX
    bench.hear(2, Append(1, 1, 0, 2, (Entry(2, 1, EntryKind.WRITE, b"long"),)))
    for _ in range(3):
        bench.wire.sent.clear()
        bench.hear(2, Heartbeat(1, 2))
        assert len(bench.wire.take(HeartbeatReply)) == 1
    bench.hear(3, PreVote(2, 2, 1, 1))
    assert len(bench.wire.take(PreVoteReply)) == 1
    assert bench.driver.core.applied == 1
    assert bench.machine.applied[-1].index == 1
    while bench.woken:
        bench.turn()
    assert bench.driver.core.applied == 2
    assert len(bench.machine.slices) == 11, "the birth's one, and ten"


def test_writes_and_reads_do_not_wait_for_a_long_entry_behind_them() -> None:
    bench = leading()
    bench.machine.units_per_entry = 0
    first, second = long_writes(bench, 2, APPLY_WORK_PER_TURN_MAX)
    assert [type(answer) for answer in first] == [Done]
    assert second == []
    assert bench.driver.core.applied == bench.driver.core.commit - 1
    bench.turn()
    assert [type(answer) for answer in second] == [Done]
    assert bench.driver.core.applied == bench.driver.core.commit


def test_a_read_waits_until_what_was_committed_before_it_is_applied() -> None:
    bench = leading()
    (answers,) = long_writes(bench, 1, 4 * APPLY_WORK_PER_TURN_MAX)
    reads = bench.read()
    context = next(m.context for _, m in bench.wire.sent if isinstance(m, Heartbeat) and m.context is not None)
    bench.hear(2, HeartbeatReply(bench.driver.core.term, context))
    assert (reads, answers) == ([], [])
    bench.turn()
    assert reads == [None]
    assert len(answers) == 1


def test_a_restarted_node_applies_its_log_in_slices_too() -> None:
    bench = Bench(units_per_entry=3 * APPLY_WORK_PER_TURN_MAX)
    assert bench.machine.applied == []
    bench.follow()
    assert bench.machine.applied == []
    bench.turn()
    assert [entry.index for entry in bench.machine.applied] == [1]


def test_results_that_nobody_waits_for_are_not_made() -> None:
    bench = Bench()
    bench.follow()
    bench.hear(2, Append(1, 1, 0, 2, (Entry(2, 1, EntryKind.WRITE, b"x"),)))
    assert bench.machine.applied[-1].index == 2
    assert bench.machine.jobs[-1].results == {}
    bench.pass_time(10 * TIMEOUT_US)
    bench = leading()
    answers = long_writes(bench, 1, 0)
    assert len(answers[0]) == 1
    assert bench.machine.jobs[-1].results == {}, "it was taken out"


def test_a_write_that_timed_out_while_it_was_applied_leaves_no_result_behind() -> None:
    bench = leading()
    (answers,) = long_writes(bench, 1, 3 * APPLY_WORK_PER_TURN_MAX)
    bench.now += TIMEOUT_US
    bench.turn()
    bench.turn()
    assert [type(answer) for answer in answers] == [Unknown]
    assert bench.driver.core.applied == bench.driver.core.commit


def test_a_node_that_stops_in_the_middle_of_a_job_says_that_the_outcome_is_unknown() -> None:
    bench = leading()
    (answers,) = long_writes(bench, 1, 3 * APPLY_WORK_PER_TURN_MAX)
    bench.driver.stop()
    assert [type(answer) for answer in answers] == [Unknown]
