"""What one watcher was told, as it came, whatever it came in; and what a judge says of it once the truth is known.

Why it exists: a judge that ran along would have to know what happened before the cluster is asked. It must not know how
answers travel.
"""

from typing import NamedTuple

from node.simulation.invariants.watch_guarantees import Asked, Heard, Truth, WatchGuarantees


class Told(NamedTuple):
    """`kind`: created, events, progress or gone; `compacted`: the highest revision whose compaction had been asked for
    by then."""

    kind: str
    revision: int
    compacted: int
    events: tuple[Heard, ...] = ()
    fragment: bool = False


class Recorded:
    """One watcher over all of its connections, until it is told that its history is gone: then another one begins.
    `next`: from where it resumes; 0: from what comes next."""

    def __init__(self, name: str, asked: Asked) -> None:
        self.name = name
        self.asked = asked
        self.next = asked.revision
        self.told: list[Told] = []
        self.gone = 0
        """Where its history begins now, once it was told so."""

    @property
    def seen(self) -> int:
        """All until then was told, as far as it was said."""
        return self.next - 1

    def take(self, told: Told) -> None:
        """It was told this."""
        self.told.append(told)
        if told.kind == "created":
            self.next = self.next or told.revision + 1
        elif told.kind == "gone":
            self.gone = told.revision
        elif told.kind == "progress":
            self.next = max(self.next, told.revision + 1)
        elif told.events and not told.fragment:
            self.next = told.events[-1].change.mod_revision + 1

    def judge(self, truth: Truth, until: int) -> int:
        """How many events it was told, all as was promised, and all there are until that revision; else raises
        `Violation`."""
        judge = WatchGuarantees(self.name, self.asked, truth)
        for told in self.told:
            if told.kind == "created":
                judge.created(told.revision)
            elif told.kind == "progress":
                judge.progressed(told.revision)
            elif told.kind == "gone":
                judge.gone(told.revision, told.compacted)
            else:
                judge.heard(told.events, told.compacted, fragment=told.fragment)
        if not self.gone:
            judge.ends(until)
        return judge.events
