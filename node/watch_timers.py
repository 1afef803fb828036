"""What watches are told by the clock: that they are up to date, and that the cluster has had no leader for too long.

Why it exists: the room of watches knows no time. Both are one timer for the whole node, whatever the number of watches.
"""

from collections.abc import Callable

from node.watching.hub import TICK_PARTS, WatchHub

LEADERLESS_TIMEOUTS = 3
"""Election timeouts without a leader after which streams end whose clients asked for one, as in etcd."""


class WatchTimers:
    """`later(seconds, action)`: the loop's timer. `start` once."""

    def __init__(
        self,
        hub: WatchHub,
        later: Callable[[float, Callable[[], None]], None],
        has_leader: Callable[[], bool],
        progress_seconds: float,
        election_seconds: float,
    ) -> None:
        self._hub = hub
        self._later = later
        self._has_leader = has_leader
        self._tick_seconds = progress_seconds / TICK_PARTS
        self._election_seconds = election_seconds
        self._leaderless = 0

    def start(self) -> None:
        self._later(self._tick_seconds, self._tick)
        self._later(self._election_seconds, self._look)

    def _tick(self) -> None:
        self._hub.tick()
        self._later(self._tick_seconds, self._tick)

    def _look(self) -> None:
        self._leaderless = 0 if self._has_leader() else self._leaderless + 1
        if self._leaderless >= LEADERLESS_TIMEOUTS:
            self._hub.no_leader()
        self._later(self._election_seconds, self._look)
