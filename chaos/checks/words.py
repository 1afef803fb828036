"""How records are told to people: one line each, times in seconds of the run.

Why it exists: a verdict is believed when it shows what contradicts each other. It must not judge.
"""

from chaos.model import Event, View
from chaos.workload.history import Op

PROOF_LINES_MAX = 12


def seconds(time_us: int) -> str:
    """A time or duration: "12.345 s"."""
    return f"{time_us / 1e6:.3f} s"


def short(key: str) -> str:
    """A key without the part that all keys of a run share."""
    return key.rpartition("/")[2]


def of_op(op: Op) -> str:
    """One request and its answer."""
    did = f"{op.client} wrote {op.key} = {op.value}" if op.kind == "write" else f"{op.client} read {op.key}: {op.value}"
    why = f" ({op.error})" if op.error else ""
    return (
        f"{seconds(op.sent_us)} to {seconds(op.done_us)}: {did} via {op.via}, {op.outcome} {op.code or ''}".rstrip()
        + why
    )


def of_event(event: Event) -> str:
    """One event of a node."""
    detail = ", ".join(f"{name} {value}" for name, value in event.detail.items())
    return f"{seconds(event.at_us)}: {event.node} told of {event.kind!r} in term {event.term} ({detail})"


def of_view(view: View) -> str:
    """One sample."""
    return (
        f"{seconds(view.answered_us)}: {view.name} was {view.role} in term {view.term}, leader {view.leader or '-'}, "
        f"commit {view.commit}, applied {view.applied}, last index {view.last_index}, process {view.boot or '-'}"
    )


def proof(lines: list[str]) -> tuple[str, ...]:
    """The first of them, and how many more there are."""
    if len(lines) <= PROOF_LINES_MAX:
        return tuple(lines)
    return (*lines[:PROOF_LINES_MAX], f"... and {len(lines) - PROOF_LINES_MAX} more")
