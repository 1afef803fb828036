"""What a node's disk kept from one life to the next, by what it told when it started again.

Why it exists: a node that forgot something catches up within a moment, between two samples; the events of its new
life show what it began with. A process and the one before it on the same disk need no clock to be put in order. It must
not judge a new disk, which is a new member.
"""

from collections import defaultdict
from collections.abc import Iterator

from chaos.checks.verdict import Evidence
from chaos.model import Event, View

Forgotten = tuple[View, Event]
"""What the earlier life showed, and what the later one told."""


def forgotten_terms(evidence: Evidence) -> list[Forgotten]:
    """Lives that began in a lower term than an earlier life had shown; one each."""
    found = []
    for before, told in _lives(evidence):
        kept = max(before, key=lambda view: view.term)
        found += [(kept, event) for event in told if event.role != "initial" and event.term < kept.term][:1]
    return found


def forgotten_entries(evidence: Evidence) -> list[Forgotten]:
    """Lives whose log ended before what an earlier life had applied: a leader's entries did not fit there; one each."""
    found = []
    for before, told in _lives(evidence):
        most = max(before, key=lambda view: view.applied)
        found += [(most, event) for event in told if _end(event) is not None and (_end(event) or 0) < most.applied][:1]
    return found


def _end(event: Event) -> int | None:
    """Where the log of the node that tells of it ended, at most."""
    hint = event.detail.get("hint")
    return hint if event.kind == "append-refused" and isinstance(hint, int) else None


def _lives(evidence: Evidence) -> Iterator[tuple[list[View], list[Event]]]:
    """For each life but the first of each disk: the samples of all earlier ones, and its own events in their order."""
    told: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in sorted(evidence.events, key=lambda event: event.seq):
        told[event.node, event.boot].append(event)
    disks: dict[tuple[str, str], dict[str, list[View]]] = defaultdict(lambda: defaultdict(list))
    for view in sorted(evidence.views, key=lambda view: view.asked_us):
        disks[view.name, view.incarnation][view.boot].append(view)
    for (name, _), lives in disks.items():
        before: list[View] = []
        for boot, views in lives.items():
            if before:
                yield before, told[name, boot]
            before = [*before, *views]
