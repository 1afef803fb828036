"""A snapshot replaces committed entries and nothing else (section 7).

What a log does not hold any more is committed, and is what everybody committed. That the state in a snapshot is that of
the log is seen when all stores are compared at the end of a world.
"""

from node.raft.core import Raft
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class SnapshotEqualsLog:
    def __init__(self, history: History) -> None:
        self._history = history

    def stepped(self, name: str, core: Raft) -> None:
        """Before the log is compared: entries before the base are taken from what is committed."""
        seen, committed, base = self._history.terms.setdefault(name, []), self._history.committed, core.base
        if not base.index:
            return
        if base.index > len(committed) or committed[base.index - 1].term != base.term:
            fail(f"the log of {name} follows entry {base.index} of term {base.term}, which is not committed")
        if len(seen) < base.index or seen[base.index - 1] != base.term:
            seen[:] = [entry.term for entry in committed[: base.index]]
