"""The numbers of a client's writes in one session of the cluster, and which of them still wait for an answer.

Why it exists: a cluster does a write once however often it comes, by its number, and remembers what it answered until
it is told that nobody waits for it any more. It must not send anything.
"""

WRITES_MAX = 200
"""Writes of one session from the first that waits to the last: a cluster remembers the answers of some more."""


class Window:
    """`session`: what the cluster calls it."""

    def __init__(self, session: str) -> None:
        self.session = session
        self._next = 1
        self._waiting: dict[int, None] = {}

    @property
    def full(self) -> bool:
        """Whether its next write would come too long after the first that waits: another session is needed."""
        return self._next - self.answered > WRITES_MAX

    @property
    def answered(self) -> int:
        """Nobody waits for a write up to this number; 0: for the first there is."""
        return next(iter(self._waiting), self._next) - 1

    def begin(self) -> int:
        """The number of a new write. Call `end` with it once it is sent no more, whatever became of it: what of it is
        still on its way is not done any more once the next write was."""
        sequence = self._next
        self._next += 1
        self._waiting[sequence] = None
        return sequence

    def end(self, sequence: int) -> None:
        """Nobody waits for it."""
        del self._waiting[sequence]

    def headers(self, sequence: int) -> dict[str, str]:
        """What says that a request is that write of this session."""
        answered = min(self.answered, sequence - 1)
        numbers = {"Raft-Session": self.session, "Raft-Sequence": str(sequence)}
        return {**numbers, "Raft-Answered": str(answered)} if answered else numbers
