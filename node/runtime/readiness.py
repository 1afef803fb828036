"""What a node knows of its own readiness: since when no leader is known, and whether it has caught up since its start.

Why it exists: `/readyz` must outlast an election and must not call a node ready that still lacks what was acknowledged
before it started. What was committed then, only a quorum knows: one read barrier, asked once a leader is known, is
exactly that question. It must not judge (see `node.observe.health`) and has no clock.
"""

from node.runtime.ports import Readiness

ASK_AGAIN_US = 100_000
"""Pause after a read barrier that failed."""


class ReadyWatch:
    """`saw` and `wants_barrier` once per turn of the shell, `barrier_ended` when the barrier was answered."""

    def __init__(self, election_timeout_us: int) -> None:
        self.leaving = False
        self._election_timeout_us = election_timeout_us
        self._leader_seen_us: int | None = None
        self._caught_up = False
        self._asking = False
        self._ask_from_us = 0

    @property
    def caught_up(self) -> bool:
        """Whether this node holds all that was acknowledged before it started."""
        return self._caught_up

    def saw(self, leader: str, now: int) -> None:
        """`leader`: who is known to lead until now; empty: nobody."""
        if leader:
            self._leader_seen_us = now

    def wants_barrier(self, leader: str, now: int) -> bool:
        """Whether the shell shall ask for a read barrier now; True counts as asked."""
        if self._caught_up or self._asking or not leader or now < self._ask_from_us:
            return False
        self._asking = True
        return True

    def barrier_ended(self, done: bool, now: int) -> None:
        """The barrier was answered: `done`, or it failed and is asked again."""
        self._asking = False
        self._caught_up = done
        self._ask_from_us = now + ASK_AGAIN_US

    def view(self, leader: str, now: int) -> Readiness:
        """For `/readyz`; `leader` is who leads now."""
        leaderless_us = 0 if leader else None if self._leader_seen_us is None else now - self._leader_seen_us
        return Readiness(self._caught_up, leaderless_us, self._election_timeout_us, self.leaving)
