"""What a watcher is promised, judged by what it was told: etcd's guarantees, as its robustness tests judge them.

Ordered: revisions never go down, and the changes of one revision come in the order in which it made them. Unique: no
event comes twice, over all that a watcher resumed. Atomic: the events of one revision come in one response, or in
fragments of one. Reliable: between what came first and last nothing is missing. Resumable: whoever resumes at a
revision gets all from there on, or is told that it was compacted, and that only where it was. Bookmarkable: once it was
said how far all has come, nothing of before comes. And events are true: they match what was asked for and what was
done, and so does what is said to have lived before.

Why it exists: simulated worlds and recorded histories of real processes are judged by one judge, which knows neither
hub nor streams nor history. The truth comes from elsewhere; see `true_changes.py` for worlds. It must not ask a node.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from node.simulation.invariants.violation import fail
from node.statemachine.writes import KeyValue


class Truth(Protocol):
    """What happened. A change is the version that was written, or a tombstone, whose version is 0."""

    @property
    def revision(self) -> int:
        """The last that is known."""

    def changes(self, revision: int) -> Sequence[KeyValue]:
        """All that it changed, in order."""

    def before(self, key: bytes, revision: int) -> KeyValue | None:
        """What lived there until that revision changed it."""


class Asked(NamedTuple):
    """[start, end), as a range has it, from `revision` on; 0: from what comes next."""

    start: bytes
    end: bytes = b""
    revision: int = 0
    prev_kv: bool = False
    no_put: bool = False
    no_delete: bool = False

    def wants(self, change: KeyValue) -> bool:
        """Whether it is to be told of that."""
        key, start, end = change.key, self.start or b"\0", self.end
        inside = key == start if not end else key >= start and (end == b"\0" or key < end)
        return inside and not (self.no_put if change.version else self.no_delete)


class Heard(NamedTuple):
    """An event. `previous`: what was said to have lived before; None: nothing was."""

    change: KeyValue
    previous: KeyValue | None = None


class WatchGuarantees:
    """One watcher, over all of its connections. Call what is called for as it happens; each raises `Violation` with the
    name of the guarantee that broke. `next`: the first revision of which nothing was told, 0: not known yet; who
    resumes may ask from there."""

    def __init__(self, name: str, asked: Asked, truth: Truth) -> None:
        self.name = name
        self.asked = asked
        self.next = asked.revision
        self.events = 0
        self.last = 0
        """The revision of the last event."""
        self._truth = truth
        self._bookmark = 0
        self._fragments: list[Heard] = []

    def created(self, revision: int) -> None:
        """It began, or resumed, on a node which had come so far."""
        self._fragments.clear()
        self.next = self.next or revision + 1

    def progressed(self, revision: int) -> None:
        """It was told that all until that revision was told."""
        if self._fragments:
            self._broken("atomic", f"progress to {revision} came between fragments of one response")
        missing = self.untold(revision)
        if missing is not None:
            self._broken("bookmarkable", f"progress to {revision} came before {_named(missing)}")
        self._bookmark = max(self._bookmark, revision)
        self.next = max(self.next, revision + 1)

    def heard(self, events: Iterable[Heard], compacted: int, *, fragment: bool = False) -> None:
        """A response with events. `compacted`: the highest revision that may have been compacted by now; `fragment`:
        more of this response comes."""
        self._fragments += events
        if not self._fragments:
            self._broken("reliable", "a response tells nothing")
        if fragment:
            return
        response, self._fragments = self._fragments, []
        told: dict[int, list[Heard]] = {}
        last = 0
        for event in response:
            revision = event.change.mod_revision
            if revision < last:
                self._broken("ordered", f"{revision} came after {last} in one response")
            last = revision
            told.setdefault(revision, []).append(event)
        self._is_new(response)
        self._is_whole(told, last)
        for event in response:
            self._is_true_before(event, compacted)
        self.events += len(response)
        self.next = last + 1
        self.last = last

    def gone(self, compact_revision: int, compacted: int) -> None:
        """It was cancelled: what it was to be told next was compacted, up to that revision. `compacted` as above."""
        if compact_revision > compacted:
            self._broken("resumable", f"{compact_revision} was said to be compacted, and {compacted} was at most")
        if not self.next < compact_revision:
            self._broken("resumable", f"all from {self.next} on is kept since {compact_revision}, and it was cancelled")

    def untold(self, until: int) -> KeyValue | None:
        """The first change, of those until that revision, that it should have been told of and was not."""
        for revision in range(self.next or until + 1, until + 1):
            for change in self._truth.changes(revision):
                if self.asked.wants(change):
                    return change
        return None

    def ends(self, until: int) -> None:
        """Nothing more comes, and it should have been told all until that revision."""
        missing = self.untold(until)
        if missing is not None:
            self._broken("reliable", f"it was never told of {_named(missing)}, although it was told all before")

    # --- what is wrong with a response -------------------------------------------------------------------------

    def _is_new(self, response: Sequence[Heard]) -> None:
        first = response[0].change
        revision = first.mod_revision
        if revision >= self.next:
            return
        if not self.last and revision < self.asked.revision:
            self._broken("resumable", f"{_named(first)} came to a watch that begins at {self.asked.revision}")
        if revision == self.last and not self._was_told(first):
            self._broken("atomic", f"{_named(first)} came apart from the rest of its revision")
        if revision <= self._bookmark and revision > self.last:
            self._broken("bookmarkable", f"{_named(first)} came after progress to {self._bookmark}")
        if revision < self.last and not self._was_told(first):
            self._broken("ordered", f"{_named(first)} came after revision {self.last}")
        self._broken("unique", f"{_named(first)} came again, and all until {self.next - 1} was told")

    def _was_told(self, change: KeyValue) -> bool:
        """All that was told until now was whole, so what it wants of a revision that was told was told."""
        return self.asked.wants(change) and change in self._truth.changes(change.mod_revision)

    def _is_whole(self, told: Mapping[int, Sequence[Heard]], last: int) -> None:
        if last > self._truth.revision:
            self._broken("true", f"revision {last} has not happened: the last is {self._truth.revision}")
        for revision in range(self.next, last + 1):
            wanted = [change for change in self._truth.changes(revision) if self.asked.wants(change)]
            got = [event.change for event in told.get(revision, ())]
            if got == wanted:
                continue
            for change in got:
                if not self.asked.wants(change):
                    self._broken("true", f"it did not ask for {_named(change)}")
                if change not in wanted:
                    really = self._truth.changes(revision)
                    self._broken("true", f"{change} never happened: revision {revision} changed {really}")
            if not got:
                self._broken("reliable", f"{_named(wanted[0])} is missing before revision {last}")
            if len(got) < len(wanted):
                missing = next(change for change in wanted if change not in got)
                self._broken("atomic", f"{_named(missing)} is missing beside {_named(got[0])}")
            if len(got) > len(wanted):
                self._broken("unique", f"revision {revision} was told as {[_named(change) for change in got]}")
            keys = [change.key for change in got], [change.key for change in wanted]
            self._broken("ordered", f"revision {revision} changed {keys[1]}, and {keys[0]} was told")

    def _is_true_before(self, event: Heard, compacted: int) -> None:
        """What lived before is said where it was asked for, unless it is compacted."""
        change, said = event.change, event.previous
        before = self._truth.before(change.key, change.mod_revision) if self.asked.prev_kv else None
        may_be_gone = change.mod_revision - 1 < compacted
        if said != before and not (said is None and may_be_gone):
            self._broken("true", f"before {_named(change)} there was {before}, and {said} was told")

    def _broken(self, guarantee: str, how: str) -> None:
        fail(f"{self.name}: not {guarantee}: {how}")


def _named(change: KeyValue) -> str:
    return f"{'put' if change.version else 'delete'} of {change.key!r} at {change.mod_revision}"
