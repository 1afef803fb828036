"""Answers on their way to this node's own clients, a bounded number in every turn of the loop.

Why it exists: one commit, one read round, one lost leader answers thousands at once, and each of them then renders
its answer: all in one turn, they would hold up the heartbeats. It must not judge outcomes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

REPLIES_PER_TURN_MAX = 128
"""Clients answered in one turn of the loop: a client behind the web framework costs some 100 microseconds."""

Reply = Callable[[Any], None]


class Replies:
    """Each is called once, by `tell`: single ones in the order in which they came, those of groups likewise, and one of
    each in turn, so that writes that never end do not keep reads from their answers, nor the other way round."""

    def __init__(self) -> None:
        self._single: deque[tuple[Reply, Any]] = deque()
        self._groups: deque[Iterator[tuple[Reply, Any]]] = deque()
        self._group_is_next = False

    def __len__(self) -> int:
        """How many outcomes wait to be told; those of groups are not counted: they are where they waited before."""
        return len(self._single)

    def add(self, reply: Reply, outcome: Any) -> None:
        """Call `reply(outcome)` soon."""
        self._single.append((reply, outcome))

    def add_all(self, replies: Iterator[tuple[Reply, Any]]) -> None:
        """A group that is not even looked at before it is told: so that many cost nothing at once."""
        self._groups.append(replies)

    def tell(self, replies_max: int | None = REPLIES_PER_TURN_MAX) -> bool:
        """Answer so many (None: all); whether more wait."""
        left = replies_max
        while self._single or self._groups:
            if left == 0:
                return True
            following = self._next()
            if following is not None:
                reply, outcome = following
                reply(outcome)
                left = None if left is None else left - 1
        return False

    def _next(self) -> tuple[Reply, Any] | None:
        self._group_is_next = not self._group_is_next
        if self._single and not (self._groups and self._group_is_next):
            return self._single.popleft()
        following = next(self._groups[0], None)
        if following is None:
            self._groups.popleft()
        return following
