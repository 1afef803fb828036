"""The live trace of one node: two bounded rings, one sequence, readers that can resume.

Why it exists: transitions (elections, links, births) are few and precious, messages many and cheap, so traffic must
never evict an election: each has its own ring. A reader is only a pair of positions in the rings. The ring itself is
its bounded queue, a slow reader costs nothing, and what was overwritten before it came is counted and told.

Messages are kept as they are, without what is heavy in them, and turned into events when somebody looks. All of it
is used from the event loop's thread alone; it must not block, and it must not know who reads.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from node.observe.events import KINDS, TraceEvent
from node.observe.messages import RARE, Numbers, light, numbers_of, type_name
from node.raft.messages import Message

TRANSITIONS_MAX_EVENTS = 4096
"""Transitions that are kept."""

MESSAGES_MAX_EVENTS = 8192
"""Messages that are kept; some seconds of a busy leader."""

CURSOR_BYTES_MAX = 128
"""A longer position is not one of ours."""

_GOLDEN = 0.6180339887498949
"""Steps of this size round a circle never fall into a rhythm."""

Detail = dict[str, str | int | bool]
_T = TypeVar("_T")


class Cursor(NamedTuple):
    """How many transitions and how many messages a reader has seen or passed over."""

    transitions: int
    messages: int


class Batch(NamedTuple):
    """Events in order, each with the cursor after it; how many were overwritten before this reader came, and how
    many messages a sample left out."""

    events: list[tuple[Cursor, TraceEvent]]
    lost_transitions: int
    lost_messages: int
    left_out: int = 0


class _Ring(Generic[_T]):
    """The last `size` of all that was ever appended; item n of all has number n, from 0."""

    __slots__ = ("_slots", "size", "total")

    def __init__(self, size: int) -> None:
        self._slots: list[_T | None] = [None] * size
        self.size = size
        self.total = 0

    @property
    def first(self) -> int:
        return max(0, self.total - self.size)

    def append(self, item: _T) -> None:
        self._slots[self.total % self.size] = item
        self.total += 1

    def __getitem__(self, number: int) -> _T | None:
        return self._slots[number % self.size] if self.first <= number < self.total else None


class _Message(msgspec.Struct, frozen=True, gc=False):
    seq: int
    time_us: int
    term: int
    role: str
    sent: bool
    peer: str
    content: Message | Numbers
    kind: type


class Trace:
    """Satisfies `node.runtime.ports.TraceSink`.

    `node` and `boot` name the process; `wall_us` returns microseconds since the epoch. `listener` is called with
    every transition at once (for logs); it must not raise.
    """

    def __init__(
        self,
        node: str,
        boot: str,
        wall_us: Callable[[], int],
        *,
        transitions_max: int = TRANSITIONS_MAX_EVENTS,
        messages_max: int = MESSAGES_MAX_EVENTS,
        listener: Callable[[TraceEvent], None] | None = None,
    ) -> None:
        self.node = node
        self.boot = boot
        self.term = 0
        self.role = "initial"
        self.transition_counts: dict[tuple[str, ...], int] = {}
        """By kind and, for some kinds, details: ("role", "follower", "pre-candidate"), ("truncated",)."""
        self.message_counts: dict[tuple[bool, str, type], int] = {}
        """By (sent, peer, message class)."""
        self._wall_us = wall_us
        self._listener = listener
        self._seq = 0
        self._transitions: _Ring[TraceEvent] = _Ring(transitions_max)
        self._messages: _Ring[_Message] = _Ring(messages_max)
        self._waiting: dict[asyncio.Future[None], bool] = {}

    def transition(self, kind: str, term: int, role: str, detail: Detail) -> None:
        """Record one; `kind` is one of `node.observe.events.KINDS`."""
        self.term, self.role = term, role
        key = (kind, *(str(detail.get(name, "")).lower() for name in _counted(kind)))
        self.transition_counts[key] = self.transition_counts.get(key, 0) + 1
        self._seq += 1
        event = TraceEvent(self._seq, self._wall_us(), self.node, kind, term, role, detail)
        self._transitions.append(event)
        if self._waiting:
            self._wake(message=False)
        if self._listener is not None:
            self._listener(event)

    def message(self, sent: bool, peer: str, message: Message) -> None:
        """Record one that left or came in; cheap enough for every message."""
        kind = type(message)
        key = (sent, peer, kind)
        self.message_counts[key] = self.message_counts.get(key, 0) + 1
        self._seq += 1
        self._messages.append(
            _Message(self._seq, self._wall_us(), self.term, self.role, sent, peer, light(message), kind)
        )
        if self._waiting:
            self._wake(message=True)

    def reader(self, messages: bool = False, after: Cursor | None = None) -> "Reader":
        """A reader from `after` on; None: all transitions that are kept, and messages from now on."""
        return Reader(self, messages, after or Cursor(self._transitions.first, self._messages.total))

    def cursor_text(self, cursor: Cursor) -> str:
        """A position as text, good for this process only: what SSE calls an event's id."""
        return f"{self.boot}.{cursor.transitions}.{cursor.messages}"

    def parse_cursor(self, text: str) -> Cursor | None:
        """Inverse of `cursor_text`. None: not such a text. One of another process: everything is new."""
        boot, *numbers = text.rsplit(".", 2)
        if len(text) > CURSOR_BYTES_MAX or len(numbers) != 2 or not all(n.isascii() and n.isdigit() for n in numbers):
            return None
        if boot != self.boot:
            return Cursor(0, 0)
        transitions, messages = map(int, numbers)
        return Cursor(min(transitions, self._transitions.total), min(messages, self._messages.total))

    def _wake(self, message: bool) -> None:
        woken = [future for future, wants_messages in self._waiting.items() if wants_messages or not message]
        for future in woken:
            del self._waiting[future]
            if not future.done():
                future.set_result(None)


class Reader:
    """One reader's position. Readers share the rings and do not disturb each other."""

    def __init__(self, trace: Trace, messages: bool, cursor: Cursor) -> None:
        self._trace = trace
        self.wants_messages = messages
        self.cursor = cursor
        self._phase = 0.0
        self._future: asyncio.Future[None] | None = None

    def take(self, limit: int) -> Batch:
        """At most `limit` events after the cursor, in order of their sequence numbers; moves the cursor."""
        transitions, messages = self._trace._transitions, self._trace._messages
        start = self.cursor
        t = max(start.transitions, transitions.first)
        m = max(start.messages, messages.first) if self.wants_messages else messages.total
        lost = (t - start.transitions, m - start.messages if self.wants_messages else 0)
        events: list[tuple[Cursor, TraceEvent]] = []
        while len(events) < limit:
            transition, message = transitions[t], messages[m]
            if message is not None and (transition is None or message.seq < transition.seq):
                m += 1
                event = _event(self._trace.node, message)
            elif transition is not None:
                t += 1
                event = transition
            else:
                break
            events.append((Cursor(t, event.seq - t if not self.wants_messages else m), event))
        self.cursor = Cursor(t, m)
        return Batch(events, *lost)

    def sample(self, limit: int, messages_max: int) -> Batch:
        """As `take`, but the cursor passes every message that waits and at most `messages_max` of them are in the
        batch: rare kinds first, the rest evenly spread. Costs a glance a message, however many there are."""
        transitions, messages = self._trace._transitions, self._trace._messages
        start = self.cursor
        t, m = max(start.transitions, transitions.first), max(start.messages, messages.first)
        lost = (t - start.transitions, m - start.messages)
        t_end, m_end = min(transitions.total, t + limit), messages.total
        beyond = transitions[t_end]
        if beyond is not None:  # messages after a transition that has to wait wait, too
            m_end = max(m, min(m_end, beyond.seq - 1 - t_end))
        self._phase = (self._phase + _GOLDEN) % 1
        picked = _spread(messages, m, m_end, messages_max, self._phase)
        left_out = m_end - m - len(picked)
        events: list[tuple[Cursor, TraceEvent]] = []
        numbers = iter(picked)
        number = next(numbers, None)
        while t < t_end or number is not None:
            transition, message = transitions[t], None if number is None else messages[number]
            if number is not None and message is not None and (transition is None or message.seq < transition.seq):
                m, number = number + 1, next(numbers, None)
                events.append((Cursor(t, m), _event(self._trace.node, message)))
            elif transition is not None:
                t += 1
                events.append((Cursor(t, m), transition))
        self.cursor = Cursor(t, m_end)
        return Batch(events, *lost, left_out)

    async def wait(self) -> None:
        """Return once something came after the cursor (at once when it has already), or `wake` was called."""
        behind = self.cursor.transitions < self._trace._transitions.total
        if behind or (self.wants_messages and self.cursor.messages < self._trace._messages.total):
            return
        self._future = asyncio.get_running_loop().create_future()
        self._trace._waiting[self._future] = self.wants_messages
        try:
            await self._future
        finally:
            self._trace._waiting.pop(self._future, None)
            self._future = None

    def wake(self) -> None:
        """End a `wait` that is going on."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


def _spread(messages: "_Ring[_Message]", first: int, end: int, count: int, phase: float) -> list[int]:
    """At most `count` of the numbers from `first` to `end`, ascending: rare kinds, then every n-th of the others.
    `phase` in [0, 1) shifts which: traffic is periodic, and each of four peers must be seen in turn."""
    if end - first <= count:
        return list(range(first, end))
    rare: list[int] = []
    common: list[int] = []
    for number in range(first, end):
        message = messages[number]
        (rare if message is not None and message.kind in RARE else common).append(number)
    rare = rare[:count]
    room = count - len(rare)
    return sorted(rare + [common[int(len(common) * (i + phase) / room)] for i in range(room) if common])


def _counted(kind: str) -> tuple[str, ...]:
    known = KINDS.get(kind)
    return known.counted if known is not None else ()


def _event(node: str, raw: _Message) -> TraceEvent:
    detail: Detail = {"peer": raw.peer, "sent": raw.sent, "type": type_name(raw.kind)}
    detail.update(raw.content if isinstance(raw.content, dict) else numbers_of(raw.content))
    return TraceEvent(raw.seq, raw.time_us, node, "message", raw.term, raw.role, detail)
