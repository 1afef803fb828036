"""If a server has applied an entry at an index, no other will ever apply a different one there (section 5.4.3).

There is one history, the same everywhere, that only grows; nothing is applied that is not committed.
"""

from node.raft.core import Raft
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class StateMachineSafety:
    def __init__(self, history: History) -> None:
        self._history = history

    def rebooted(self, name: str, core: Raft, wiped: bool) -> None:
        """What it had applied was durable there: it has all of that, or nothing. Before the history forgets it."""
        applied, terms = self._history.applied.get(name, 0), self._history.terms.get(name, [])
        for index in range(core.base.index + 1, 0 if wiped else applied + 1):
            if core.term_at(index) != terms[index - 1]:
                fail(f"{name} had applied entry {index} of term {terms[index - 1]} and came back without it")

    def stepped(self, name: str, core: Raft) -> bool:
        """Whether something is committed that nobody knew before."""
        history = self._history
        before = history.commit.get(name, 0)
        if core.commit < before:
            fail(f"the commit index of {name} fell from {before} to {core.commit}")
        grown = core.commit > len(history.committed)
        if core.commit > before:
            first = max(before, core.base.index)
            for entry in core.entries(first + 1, core.commit - first):
                if entry.index > len(history.committed):
                    history.committed.append(entry)
                elif history.committed[entry.index - 1] != entry:
                    fail(f"{name} committed {entry}, others {history.committed[entry.index - 1]}")
            history.commit[name] = core.commit
        applied = core.applied
        if applied < history.applied.get(name, 0) or applied > core.commit:
            fail(f"{name} applied {applied}, after {history.applied.get(name, 0)}, with commit index {core.commit}")
        history.applied[name] = applied
        return grown
