"""What one step may not do is done in the next, which comes without anything else that happens."""

from node.raft.messages import Append
from node.raft.settings import RaftSettings
from node.runtime.inputs import WantWrite
from tests.runtime.doubles import TIMEOUT_US, Bench

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
