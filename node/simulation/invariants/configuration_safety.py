"""Two configurations that follow each other cannot both decide without a server in common (thesis 4.1).

So a change begins only when the one before is committed, and an entry of the leader's own term (the flaw in the scheme
that was found in 2015).
"""

from bisect import bisect_left

from node.raft.core import Raft
from node.raft.types import Configuration, Entry, EntryKind
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class ConfigurationSafety:
    def __init__(self, history: History) -> None:
        self._history = history
        self._changes: dict[tuple[int, int], Configuration] = {}
        """Entries that change the members, by index and term; the birth is none."""
        self._birth = Configuration(())
        self.done = 0
        """How many changes were committed."""
        self._looked = 0
        self.last = Configuration(())
        """The latest that is committed."""
        self._committed: list[tuple[int, Configuration]] = []
        """All that were, each with its index."""

    @property
    def rolled_back(self) -> int:
        """How many changes were overwritten by another leader's entries."""
        committed = self._history.committed
        return sum(1 for index, term in self._changes if index <= len(committed) and committed[index - 1].term != term)

    @property
    def changed(self) -> bool:
        """Whether a leader has ever made a change."""
        return bool(self._changes)

    def founded(self, configuration: Configuration) -> None:
        """The cluster begins with these members, at the end of what is committed."""
        self._birth = self.last = configuration
        self._looked = len(self._history.committed)
        self._committed = [(self._looked, configuration)]

    def appended(self, name: str, entry: Entry) -> None:
        """A leader made an entry that nobody had before. Call when it is known what is committed by now."""
        if entry.kind is not EntryKind.CONFIGURATION:
            return
        if entry.index == 1:
            self._birth = Configuration.decode(entry.data)
            return
        committed, terms = self._history.committed, self._history.terms[name]
        # Not only the last one: an old leader that has not heard of a newer one may go on.
        of_its_term = bisect_left(committed, entry.term, key=lambda one: one.term)
        if of_its_term == len(committed) or committed[of_its_term].term != entry.term:
            fail(f"{name} changes the members in term {entry.term} before an entry of that term is committed")
        for index in range(len(committed) + 1, entry.index):
            if index <= len(terms) and (index, terms[index - 1]) in self._changes:
                fail(f"{name} changes the members in entry {entry.index}, but the change in {index} is not committed")
        self._changes[entry.index, entry.term] = Configuration.decode(entry.data)

    def stepped(self, name: str, core: Raft) -> None:
        """In force is the latest of the log, committed or not: also after the log was truncated. And who was told that
        it is no member is none."""
        if not self._changes:
            return
        if core.left_out:
            # Not of the latest: it may have been let in again since, and learns that with its log.
            then = self._in_force(core.told_out)
            if name in [self._history.disks.get(member) for member in then.members]:
                fail(f"{name} was told that it is no member at entry {core.told_out}, and {then}, which was, has it")
        terms, latest, expected = self._history.terms[name], 1, self._birth
        for (index, term), configuration in self._changes.items():
            if latest < index <= len(terms) and terms[index - 1] == term:
                latest, expected = index, configuration
        if core.configuration != expected:
            fail(f"{name} goes by {core.configuration}, but the latest of its log, {latest}, is {expected}")

    def _in_force(self, index: int) -> Configuration:
        """The committed one by which entry `index` was decided."""
        place = bisect_left(self._committed, index + 1, key=lambda one: one[0])
        return self._committed[place - 1][1] if place else Configuration(())

    def committed(self) -> None:
        """Something more is committed."""
        for entry in self._history.committed[self._looked :]:
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = Configuration.decode(entry.data)
                if self.last.voters and could_decide_apart(self.last, configuration):
                    fail(f"entry {entry.index} changes the members from {self.last} to {configuration} in one step")
                self.last = configuration
                self._committed.append((entry.index, configuration))
                self.done += entry.index > 1
        self._looked = len(self._history.committed)


def could_decide_apart(one: Configuration, other: Configuration) -> bool:
    """Whether a majority of the one and a majority of the other can have no server in common."""
    common = [member for member in one.voters if member in other.voters]
    shared = 0
    for configuration in (one, other):
        needed = len(configuration.voters) // 2 + 1
        shared += max(0, needed - (len(configuration.voters) - len(common)))
    return shared <= len(common)
