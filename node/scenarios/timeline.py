"""The nodes' own events in words: what happened when, from one moment on.

Why it exists: what a scenario claims was seen must be what the nodes told, in their order. Pure: events in, lines out.
"""

from collections.abc import Callable, Iterable

from node.observe.events import TraceEvent

LINES_MAX = 20
"""More lines than this explain nothing."""


def lines(events: Iterable[TraceEvent], since_us: int, lines_max: int = LINES_MAX) -> list[tuple[str, str]]:
    """(`+412 ms`, what happened) for each event since then that has words, in the wall clock's order; once each."""
    told: dict[str, int] = {}
    for event in sorted(events, key=lambda event: event.time_us):
        words = _words(event) if event.time_us >= since_us else ""
        if words and words not in told:
            told[words] = event.time_us
    shown = [(f"{(at - since_us) / 1000:+.0f} ms", words) for words, at in told.items()]
    left = len(shown) - lines_max
    return shown if left <= 0 else [*shown[:lines_max], ("", f"... and {left} more")]


def _words(event: TraceEvent) -> str:
    say = _KINDS.get(event.kind)
    return say(event) if say else ""


def _election(event: TraceEvent) -> str:
    if event.detail.get("phase") == "pre-vote":
        return f"{event.node} hears no leader, asks who would vote for it (PreVote)"
    return f"{event.node} stands for election in term {event.term} and votes for itself"


def _vote(event: TraceEvent) -> str:
    candidate, granted = event.detail.get("candidate"), event.detail.get("granted")
    if event.detail.get("phase") == "pre-vote":
        return ""
    if granted:
        return f"{event.node} gives its vote of term {event.term} to {candidate}"
    return f"{event.node} refuses {candidate} its vote in term {event.term}: {event.detail.get('reason')}"


def _role(event: TraceEvent) -> str:
    left = event.detail.get("from")
    if event.detail.get("to") == "follower" and left in ("leader", "candidate"):
        return f"{event.node} is no longer {left}: {event.detail.get('reason')}"
    return ""


def _leader(event: TraceEvent) -> str:
    leader = event.detail.get("leader")
    return f"{event.node} follows {leader} in term {event.term}" if leader and leader != event.node else ""


def _stalled(event: TraceEvent) -> str:
    return f"{event.node} stood still for {event.detail.get('ms')} ms"


def _truncated(event: TraceEvent) -> str:
    count, first = event.detail.get("count"), event.detail.get("from")
    what = f"its entry at index {first}" if count == 1 else f"its {count} entries from index {first} on"
    return f"{event.node} removes {what}"


_KINDS: dict[str, Callable[[TraceEvent], str]] = {
    "born": lambda _: "the cluster is born: all five agree who its members are",
    "started": lambda e: f"{e.node} is up, with the log from its disk",
    "election": _election,
    "vote": _vote,
    "won": lambda e: f"{e.node} wins term {e.term} with {e.detail.get('votes')} of {e.detail.get('voters')} votes",
    "quorum-lost": lambda e: f"{e.node} hears {e.detail.get('heard')} of {e.detail.get('voters')} and steps down",
    "role": _role,
    "leader": _leader,
    "stalled": _stalled,
    "truncated": _truncated,
    "append-refused": lambda e: f"{e.node} refuses entries after index {e.detail.get('index')}: its log differs there",
}
