"""States that were replaced, or loaded in vain: let go a bounded piece at a time.

Why it exists: to free a million keys in one go takes a node a second. It must not touch what somebody still reads.
"""

from collections import deque
from collections.abc import Iterator

from node.statemachine.versions import Versions


class Leftovers:
    """What nobody will use any more, once those are done who read it now."""

    def __init__(self) -> None:
        self._waiting: deque[Versions] = deque()
        self._emptying: Iterator[int] = iter(())

    def add(self, versions: Versions) -> None:
        """Nobody begins to read it from now on."""
        self._waiting.append(versions)

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
        for versions in self._waiting:
            if not versions.held:
                self._waiting.remove(versions)
                self._emptying = versions.emptying()
                return True
        return False
