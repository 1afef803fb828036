"""Answers without an end that stand open, each with whom it was let in for: they end when that one may not go on.

Why it exists: a watch lives for days. A token that is taken back, or a user whose password was changed, must not go on
reading through what was opened before; nor whoever had to say nothing of themselves, once everybody has to. It must not
know what stands open, how it is ended, or who may what.
"""

from collections.abc import Callable
from typing import NamedTuple

from node.access.principals import Need, Principal

ENDED_PER_TURN_MAX = 64
"""Ended in one turn of the loop, which takes some 5 ms: where users are put in force all may have to go."""


class LetIn(NamedTuple):
    """For whom, by what they showed, and for what."""

    principal: Principal
    credential: str | None
    need: Need


class Standing:
    """Those of one node. As many as there are requests and streams at a time, which doors bound. `soon`: do it in the
    next turn of the loop; None: there is no loop, so all are ended at once."""

    def __init__(self, soon: Callable[[Callable[[], None]], object] | None = None) -> None:
        self._soon = soon
        self._ending: dict[int, None] = {}
        self._open: dict[int, tuple[LetIn, Callable[[], None]]] = {}
        self._next = 0

    def hold(self, let_in: LetIn, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once that may not go on any more. Call what is returned when it is over."""
        number = self._next = self._next + 1
        self._open[number] = let_in, end
        return lambda: self._forget(number)

    def judge(self, may: Callable[[LetIn], bool]) -> None:
        """End what may not go on. Each that is the same is looked at once: many stand by one."""
        known: dict[LetIn, bool] = {}
        idle = not self._ending
        for number, (let_in, _) in self._open.items():
            if let_in not in known:
                known[let_in] = may(let_in)
            if not known[let_in]:
                self._ending[number] = None
        if idle:
            self._end_some()

    def _end_some(self) -> None:
        ended = 0
        while self._ending:
            if ended == ENDED_PER_TURN_MAX and self._soon is not None:
                self._soon(self._end_some)
                return
            number = next(iter(self._ending))
            del self._ending[number]
            ended += 1
            self._open[number][1]()

    def _forget(self, number: int) -> None:
        self._open.pop(number, None)
        self._ending.pop(number, None)
