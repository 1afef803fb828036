"""Says again and again in the log why this node has no part in its cluster: that no one else may look at it.

Why it exists: a node that waits is alive and quiet, so a line of long ago would be the last that its log has. A lost
vote is told at once, since somebody may have to act; whatever else it waits for, once that takes longer than a birth.
It must not judge: why a node waits, the core says.
"""

import logging
from collections.abc import Callable

from node.raft.status import CoreStatus

LOOK_S = 1.0
PATIENCE_LOOKS = 10
"""What is over sooner is part of an ordinary start."""
AGAIN_LOOKS = 60

_LOG = logging.getLogger("node")


class Waiting:
    """`core`: what it says of itself now. `later(seconds, action)`: the loop's timer. `start` once."""

    def __init__(self, core: Callable[[], CoreStatus], later: Callable[[float, Callable[[], None]], None]) -> None:
        self._core = core
        self._later = later
        self._looks = 0
        """Since it waits."""
        self._next = PATIENCE_LOOKS
        """After so many it is told."""
        self._told_of_vote = False

    def start(self) -> None:
        """Look once a second from now on."""
        self._later(LOOK_S, self._look)

    def _look(self) -> None:
        core = self._core()
        if not core.waiting_for:
            self._looks, self._next, self._told_of_vote = 0, PATIENCE_LOOKS, False
        else:
            self._looks += 1
            vote = core.vote_lost and not self._told_of_vote
            if vote or self._looks >= self._next:
                _LOG.warning(
                    "%s: %s", "this node has no vote" if core.vote_lost else "this node waits", core.waiting_for
                )
                self._next = self._looks + AGAIN_LOOKS
                self._told_of_vote = self._told_of_vote or core.vote_lost
        self._later(LOOK_S, self._look)
