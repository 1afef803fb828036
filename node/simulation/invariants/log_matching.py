"""If two logs contain an entry with the same index and term, they are identical up to it (section 5.3).

Equal index and term: equal entry and equal predecessor, hence by induction equal logs up to there. And a leader never
overwrites or deletes entries in its log, it only appends (Leader Append-Only, section 5.3).
"""

from collections.abc import Iterator

from node.raft.core import Raft
from node.raft.types import Entry, Role
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class LogMatching:
    def __init__(self, history: History) -> None:
        self._history = history
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        self._led: dict[str, int] = {}
        """The term that a server led after its last step; 0: none."""

    def rebooted(self, name: str) -> None:
        """Who leads after a restart was elected anew."""
        self._led.pop(name, None)

    def stepped(self, name: str, core: Raft) -> Iterator[tuple[Entry, int]]:
        """Compare what is new in the log of `name`; entries that no server had before, and the term before each."""
        seen = self._history.terms[name]
        same = len(seen)
        while same > core.base.index and core.term_at(same) != seen[same - 1]:
            same -= 1
        led, self._led[name] = self._led.get(name, 0), core.term if core.role is Role.LEADER else 0
        if same < len(seen):
            if same < self._history.commit.get(name, 0):
                fail(f"{name} removed entry {same + 1}, which it knew to be committed")
            if led == core.term:
                fail(f"{name} leads term {core.term} and removed its own entry {same + 1}")
            del seen[same:]
        for entry in core.entries(same + 1, 1 << 30):
            fact = (entry, seen[-1] if seen else 0)
            if (entry.index, entry.term) not in self._entries:
                yield fact
            if self._entries.setdefault((entry.index, entry.term), fact) != fact:
                fail(f"{name} has another entry {entry.index} of term {entry.term} than a server before it")
            seen.append(entry.term)
