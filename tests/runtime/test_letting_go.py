"""What a step says leaves before anything that takes time is begun, and not with the end of the turn."""

import pytest

from node.raft.events import Deadline
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from node.raft.types import Entry, EntryKind
from tests.runtime.doubles import Bench


class Watched:
    """A bench, and in which order its ports were asked to do what takes time or lets others go on."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.order: list[str] = []
        bench = self.bench
        self._note(bench.disk, "flush", "disk")
        self._note(bench.machine, "begin", "apply")
        bench.wire.on_flush = lambda messages: self.order.append("+".join(type(each).__name__ for each in messages))

    def _note(self, port: object, method: str, word: str) -> None:
        do = getattr(port, method)

        def noted(*arguments: object) -> object:
            self.order.append(word)
            return do(*arguments)

        setattr(port, method, noted)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_leaders_entries_leave_before_its_own_disk_is_asked(watched: Watched) -> None:
    bench = watched.bench
    bench.lead()
    bench.hear(3, AppendReply(bench.driver.core.term, True, bench.driver.core.commit))
    watched.order.clear()
    bench.write()
    assert watched.order == ["Append+Append", "disk"]


def test_an_acknowledgement_leaves_when_it_is_durable_and_before_anything_is_applied(watched: Watched) -> None:
    watched.bench.follow()
    watched.order.clear()
    entries = (Entry(2, 1, EntryKind.NOOP), Entry(3, 1, EntryKind.WRITE, b"x"))
    watched.bench.hear(2, Append(1, 1, 0, 3, entries))
    assert watched.order[:3] == ["disk", "AppendReply", "apply"], watched.order


def test_an_answer_to_a_heartbeat_leaves_in_its_turn(watched: Watched) -> None:
    watched.bench.follow()
    watched.order.clear()
    watched.bench.hear(2, Heartbeat(1, 1))
    assert watched.order == ["HeartbeatReply"]
    assert isinstance(watched.bench.wire.sent[-1][1], HeartbeatReply)


def test_a_turn_that_says_nothing_lets_nothing_go(watched: Watched) -> None:
    watched.bench.lead()
    watched.order.clear()
    watched.bench.take(Deadline())
    assert watched.order == []
