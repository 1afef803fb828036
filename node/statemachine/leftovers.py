"""States that were replaced, or loaded in vain: let go a bounded piece at a time.

Why it exists: to free a million keys in one go takes a node a second. It must not touch what somebody still reads.
"""

from collections import deque
from collections.abc import Iterator
from typing import Protocol


class State(Protocol):
    """`Versions`, and what stands beside them."""

    @property
    def held(self) -> bool:
        """Whether somebody reads in it."""

    def emptying(self) -> Iterator[int]:
        """Let everything go, piece by piece, and tell for each in how many steps."""


class Leftovers:
    """What nobody will use any more, once those are done who read it now."""

    def __init__(self) -> None:
        self._waiting: deque[State] = deque()
        self._emptying: Iterator[int] = iter(())

    def add(self, state: State) -> None:
        """Nobody begins to read it from now on."""
        self._waiting.append(state)

    def free(self, steps_max: int) -> int:
        """Let go a part. Returns the steps, as `Versions.purge` does; fewer than `steps_max`: no more can go now."""
        steps = 0
        while steps < steps_max:
            step = next(self._emptying, 0)
            steps += step
            if not step and not self._next():
                break
        return steps

    def _next(self) -> bool:
        for state in self._waiting:
            if not state.held:
                self._waiting.remove(state)
                self._emptying = state.emptying()
                return True
        return False
