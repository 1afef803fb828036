"""If an entry is committed in a given term, it is in the logs of the leaders of all later terms (section 5.4).

And nothing is committed that fewer than a majority of the voters hold (section 5.4.2); learners are not counted (thesis
4.2.1).
"""

from node.raft.core import Raft
from node.raft.types import Entry, Member
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class LeaderCompleteness:
    def __init__(self, history: History) -> None:
        self._history = history
        self._looked: dict[str, tuple[int, int]] = {}
        """Of each leader, its term and how much of what is committed it was found to hold. Its log only grows."""

    def rebooted(self, name: str) -> None:
        """What it held must be looked at anew."""
        self._looked.pop(name, None)

    def leads(self, name: str, core: Raft) -> None:
        """After a step of a leader."""
        committed, terms = self._history.committed, self._history.terms[name]
        term, first = self._looked.get(name, (0, 0))
        if term != core.term:
            first = 0
        for entry in committed[first:]:
            if entry.term >= core.term:
                break  # committed in this leader's own term, or by a newer leader that it has not heard of
            if entry.index > len(terms) or terms[entry.index - 1] != entry.term:
                fail(f"{name} leads term {core.term} without committed entry {entry.index} of term {entry.term}")
            first = entry.index
        self._looked[name] = core.term, first

    def committed(self, name: str, core: Raft, entry: Entry) -> None:
        """`entry` is the last that `name`, who leads, knows to be committed, as the first of all."""
        voters = core.configuration.voters
        holding = sum(1 for voter in voters if self._may_hold(voter, entry))
        if entry.index > 1 and 2 * holding <= len(voters):
            fail(
                f"{name} committed entry {entry.index} of term {entry.term}, held by {holding} of {len(voters)} voters"
            )

    def _may_hold(self, voter: Member, entry: Entry) -> bool:
        """A disk that is lost by now, or was not seen in this process, is taken at its word."""
        label = self._history.disks.get(voter)
        terms = None if label is None else self._history.terms.get(label)
        return terms is None or (len(terms) >= entry.index and terms[entry.index - 1] == entry.term)
