"""What a client was told is done is committed, from that very step on, and stays so (section 5.3, 8)."""

from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class DurableAnswers:
    def __init__(self, history: History) -> None:
        self._history = history
        self._acknowledged: list[tuple[int, int]] = []

    def acknowledged(self, index: int, term: int) -> None:
        """A client was told that its write is done: after this very step it must be among what is committed."""
        self._acknowledged.append((index, term))

    def stepped(self) -> None:
        committed = self._history.committed
        for index, term in self._acknowledged:
            if index > len(committed) or committed[index - 1].term != term:
                fail(f"entry {index} of term {term} was acknowledged but is not committed")
        self._acknowledged.clear()
