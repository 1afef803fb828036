"""Turns the nodes' traces into a few lines that a newcomer understands.

Why it exists: one election is dozens of events on five nodes; a person wants to read three lines. Pure: events in,
lines out, so that every case can be tested. It must not print, wait or ask.
"""

import msgspec

from node.observe.events import TraceEvent
from node.observe.turns import DOING

REMEMBERED_MAX = 4096
"""Facts told already, so that nobody hears them twice; beyond it, the oldest are forgotten."""


class Line(msgspec.Struct, frozen=True):
    """One line for people (`text`), and the same for programs. `time_us`: wall clock. `extra`: lines below it."""

    time_us: int
    kind: str
    node: str
    text: str
    term: int | None = None
    extra: tuple[str, ...] = ()


class Narrator:
    """Feed it every event of every node, in any order between nodes; None means: nothing new to tell."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._told: dict[tuple[object, ...], None] = {}

    def tell(self, event: TraceEvent) -> Line | None:
        """The line for `event`, or None where it says nothing that has not been told."""
        teller = getattr(self, "_" + event.kind.replace("-", "_"), None)
        text = teller(event) if teller else None
        return Line(event.time_us, event.kind, event.node, text, event.term) if text else None

    def has_told_who_leads(self, term: int) -> bool:
        """Whether a line about the leader of `term` was given out."""
        return ("leader", term) in self._told

    def _first(self, *fact: object) -> bool:
        if fact in self._told:
            return False
        self._told[fact] = None
        if len(self._told) > REMEMBERED_MAX:
            del self._told[next(iter(self._told))]
        return True

    def _born(self, event: TraceEvent) -> str | None:
        if not self._first("born", event.detail.get("cluster")):
            return None
        voters = str(event.detail.get("voters", "")).replace(" ", ", ")
        return f"the cluster is born; its voters are {voters}"

    def _election(self, event: TraceEvent) -> str | None:
        phase = event.detail.get("phase")
        if not self._first("election", event.node, phase, event.term):
            return None
        if phase == "pre-vote":
            return f"{event.node} hears no leader and asks whether it could win an election"
        return f"{event.node} stands for election and asks for votes in term {event.term}"

    def _won(self, event: TraceEvent) -> str | None:
        self._first("leader", event.term)
        if not self._first("won", event.term):
            return None
        votes, voters = event.detail.get("votes"), event.detail.get("voters", self._nodes)
        count = f" with {votes} of {voters} votes" if isinstance(votes, int) else ""
        return f"{event.node} won the election{count} and leads in term {event.term}"

    def _leader(self, event: TraceEvent) -> str | None:
        leader = event.detail.get("leader")
        if leader:  # its next doubt is news again, even in the same term
            self._told.pop(("election", event.node, "pre-vote", event.term), None)
        if not leader or not self._first("leader", event.term):
            return None
        return f"{leader} leads in term {event.term} (told by {event.node})"

    def _quorum_lost(self, event: TraceEvent) -> str | None:
        self._first("down", event.node, event.term)
        return f"{event.node} no longer hears a majority and steps down as leader of term {event.term}"

    def _role(self, event: TraceEvent) -> str | None:
        if event.detail.get("from") != "leader" or not self._first("down", event.node, event.term):
            return None
        reason = event.detail.get("reason")
        return f"{event.node} is no longer leader{f': {reason}' if reason else ''}"

    def _fatal(self, event: TraceEvent) -> str | None:
        return f"{event.node} must stop: {event.detail.get('reason', 'no reason given')}"

    def _truncated(self, event: TraceEvent) -> str | None:
        count = event.detail.get("count")
        return f"{event.node} removed {count} uncommitted entries that differ from the leader's log"

    def _stalled(self, event: TraceEvent) -> str:
        took, doing = f"{event.node} stood still for {event.detail.get('ms')} ms", event.detail.get("doing")
        if doing == "nothing":
            return f"{took}: its process was stopped, or the machine had no time for it"
        return f"{took} over {DOING.get(str(doing), 'something else')}"

    def _log_full(self, event: TraceEvent) -> str | None:
        if not self._first("log-full", event.node):
            return None
        return f"{event.node} refuses writes: its log reached its limit of {event.detail.get('limit')} bytes"
