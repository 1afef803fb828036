"""What one step may not do is done in the next, which comes without anything else that happens."""

from node.raft.events import Deadline
from node.raft.messages import Append, HeartbeatReply
from node.raft.settings import RaftSettings
from node.raft.types import Role
from node.runtime.inputs import Arrived, WantWrite
from tests.runtime.doubles import MEMBERS, TIMEOUT_US, Bench

VALUE_BYTES = 600_000
WRITES = 12
"""Less than the window of a follower, and several times the budget of a step."""


def sent_bytes(bench: Bench) -> int:
    appends = [message for to, message in bench.wire.take(Append) if to == "n2" and isinstance(message, Append)]
    return sum(entry.size_bytes for append in appends for entry in append.entries)


def test_a_leader_with_more_to_send_than_a_step_may_asks_for_another_turn_until_all_is_sent() -> None:
    bench = Bench()
    bench.lead()
    bench.wire.sent.clear()
    bench.disk.held = True
    settings = RaftSettings()
    budget = settings.step_bytes_max + settings.append_bytes_max
    bench.take(*(WantWrite(bytes(VALUE_BYTES), bench.now + TIMEOUT_US, lambda _outcome: None) for _ in range(WRITES)))
    turns = [sent_bytes(bench)]
    while bench.woken:
        bench.take()
        turns.append(sent_bytes(bench))
    assert sum(turns) >= WRITES * VALUE_BYTES
    assert max(turns) <= budget
    assert len(turns) > 2


def test_what_the_disk_has_answered_counts_before_a_timer_that_is_due_in_the_same_turn() -> None:
    """A loop that stood still finds both at once: a disk that has answered by then is not silent."""
    bench = Bench()
    bench.lead()
    bench.disk.held = True
    bench.take(WantWrite(b"x", bench.now + 10 * TIMEOUT_US, lambda _outcome: None))
    bench.now += RaftSettings().disk_silence_us
    bench.disk.complete()
    bench.take(Arrived(MEMBERS[1], HeartbeatReply(bench.driver.core.term)), Deadline())
    assert bench.driver.core.role is Role.LEADER
