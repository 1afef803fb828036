"""Which writes are traced, and what is remembered of the log's entries."""

from collections.abc import Callable

import pytest

from node.raft.messages import Append, AppendReply
from node.raft.types import Entry, EntryKind
from node.runtime.ports import Done, NotProposed, Outcome
from node.tracing.context import PARENT
from node.tracing.paths import ENTRIES_MAX, Paths
from node.tracing.writes import TracedWrite, TracedWrites, parent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def entries(first: int, last: int, term: int = 1) -> tuple[Entry, ...]:
    return tuple(Entry(index, term, EntryKind.WRITE, b"") for index in range(first, last + 1))


class Clock:
    def __init__(self) -> None:
        self.us = 1_000_000

    def __call__(self) -> int:
        self.us += 1
        return self.us


def test_a_reply_makes_all_before_it_durable_there_at_its_time() -> None:
    paths = Paths(Clock())
    paths.disk_began(entries(1, 3))
    paths.disk_done(entries(1, 3))
    paths.message(True, "n2", Append(1, 0, 0, 0, entries(1, 3)))
    paths.message(False, "n2", AppendReply(1, True, 2))
    paths.message(False, "n2", AppendReply(1, True, 3))
    first, second, third = (paths.of(index, 1) for index in (1, 2, 3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.disk_begun_us < first.disk_done_us < first.sent_us["n2"] < first.durable_at_us["n2"]
    assert first.durable_at_us == second.durable_at_us
    assert third.durable_at_us["n2"] > second.durable_at_us["n2"]


def test_a_refusal_makes_nothing_durable_and_what_was_overwritten_is_gone() -> None:
    paths = Paths(Clock())
    paths.disk_began(entries(1, 1))
    paths.message(True, "n2", Append(1, 0, 0, 0, entries(1, 1)))
    paths.message(False, "n2", AppendReply(1, False, 1))
    seen = paths.of(1, 1)
    assert seen is not None
    assert not seen.durable_at_us
    paths.disk_began(entries(1, 1, term=2))
    assert paths.of(1, 1) is None
    assert paths.of(1, 2) is not None


def test_what_is_remembered_is_bounded() -> None:
    paths = Paths(Clock())
    paths.disk_began(entries(1, ENTRIES_MAX))
    paths.disk_began(entries(ENTRIES_MAX + 1, 3 * ENTRIES_MAX))
    assert paths.of(2 * ENTRIES_MAX, 1) is None
    assert paths.of(2 * ENTRIES_MAX + 1, 1) is not None


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"01-{TRACE}-{SPAN}-01-later", True),
        (f"00-{TRACE}-{SPAN}-01-later", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        ("", False),
        ("x" * 10_000, False),
    ],
)
def test_a_traceparent_is_read_as_the_standard_has_it(text: str, understood: bool) -> None:
    assert (parent_of(text) is not None) == understood


class Told:
    """Traced writes whose timers fire at once."""

    def __init__(self, per_second_max: int) -> None:
        self.clock = Clock()
        self.told: list[TracedWrite] = []
        self.traced = TracedWrites(
            Paths(self.clock), self.clock, lambda: "n1", lambda _s, action: action(), per_second_max, self.told.append
        )

    def write(self, outcome: Outcome, traceparent: str = "") -> list[Outcome]:
        """What the client is answered."""
        answered: list[Outcome] = []
        before = PARENT.set(traceparent)
        try:
            reply: Callable[[Outcome], None] = self.traced.begun(10, answered.append)
        finally:
            PARENT.reset(before)
        reply(outcome)
        return answered


def test_no_more_writes_than_allowed_are_traced_and_all_are_answered() -> None:
    told = Told(per_second_max=2)
    done = Done(None, 1, 1)
    assert all(told.write(done) == [done] for _ in range(5))
    assert len(told.told) == 2
    told.clock.us += 1_000_000
    told.write(done)
    assert len(told.told) == 3


def test_who_asked_not_to_be_traced_is_not_and_takes_no_turn() -> None:
    told = Told(per_second_max=1)
    told.write(Done(None, 1, 1), f"00-{TRACE}-{SPAN}-00")
    assert told.told == []
    told.write(NotProposed("timeout", "why", ""), f"00-{TRACE}-{SPAN}-01")
    (write,) = told.told
    assert write.outcome == "not-proposed"
    assert write.seen is None
    assert write.parent is not None
    assert write.parent.trace_id == int(TRACE, 16)
