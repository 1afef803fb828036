"""Writes that are traced: which of them, and what is told of each.

Why it exists: tracing may cost what it costs, and never more than a little of a busy node, so the number of writes
that are traced in a second is bounded. It must not know OpenTelemetry: whoever makes spans of it gets `TracedWrite`s.
"""

import re
from collections.abc import Callable

import msgspec

from node.runtime.ports import Done, DoneUntold, Outcome
from node.tracing.context import PARENT
from node.tracing.paths import Paths, Seen

SETTLE_SECONDS = 0.25
"""How long a write is held after its answer: so that disks are seen that were not waited for."""

_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""W3C Trace Context, section 3.2: version, trace, span of the caller, flags; later versions may add something."""


class Parent(msgspec.Struct, frozen=True):
    """The caller's span."""

    trace_id: int
    span_id: int
    sampled: bool


class TracedWrite(msgspec.Struct, frozen=True):
    """Times in microseconds since the epoch. `outcome`: done, not-proposed, unknown, ... `seen` None: this node did not
    see the entry, or remembers it no more. `leader`: who led when it was answered, as far as this node knew."""

    begun_us: int
    answered_us: int
    size_bytes: int
    outcome: str
    index: int
    term: int
    leader: str
    seen: Seen | None
    parent: Parent | None


class TracedWrites:
    """`ended` is called with each, a little after its answer. `later`: the loop's timer. `per_second_max`: more writes
    than that are not traced, whoever asks for it."""

    def __init__(
        self,
        paths: Paths,
        wall_us: Callable[[], int],
        leader: Callable[[], str],
        later: Callable[[float, Callable[[], None]], None],
        per_second_max: int,
        ended: Callable[[TracedWrite], None],
    ) -> None:
        self.paths = paths
        self._wall_us = wall_us
        self._leader = leader
        self._later = later
        self._per_second_max = per_second_max
        self._ended = ended
        self._second = 0
        self._left = 0

    def begun(self, size_bytes: int, reply: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """A write of a client of this node comes in; what to answer it with instead of `reply`."""
        begun_us = self._wall_us()
        parent = parent_of(PARENT.get())
        if (parent is not None and not parent.sampled) or not self._take_turn(begun_us // 1_000_000):
            return reply

        def answered(outcome: Outcome) -> None:
            answered_us, leader = self._wall_us(), self._leader()
            reply(outcome)
            self._later(
                SETTLE_SECONDS, lambda: self._settled(begun_us, answered_us, size_bytes, outcome, leader, parent)
            )

        return answered

    def _take_turn(self, second: int) -> bool:
        if second != self._second:
            self._second, self._left = second, self._per_second_max
        self._left -= 1
        return self._left >= 0

    def _settled(
        self, begun_us: int, answered_us: int, size_bytes: int, outcome: Outcome, leader: str, parent: Parent | None
    ) -> None:
        index, term = (outcome.index, outcome.term) if isinstance(outcome, (Done, DoneUntold)) else (0, 0)
        seen = self.paths.of(index, term)
        told = TracedWrite(begun_us, answered_us, size_bytes, _words(outcome), index, term, leader, seen, parent)
        self._ended(told)


def _words(outcome: Outcome) -> str:
    return str(outcome.__struct_config__.tag)


def parent_of(traceparent: str) -> Parent | None:
    """None: there is none, or it means nothing, as the standard has it: then the write begins a trace of its own."""
    found = _PARENT.fullmatch(traceparent.strip())
    if found is None or traceparent.startswith("ff") or (found[4] and traceparent.startswith("00")):
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(found[3], 16) & 1))
