"""A client that holds a lease and keeps it alive, and counts by its own clock how long it lives: as `raftclient` does.

Why it exists: whoever holds something by a lease must know when it may hold it no more, although nobody can tell it. It
must not know what is held.
"""

from node.simulation.chance import pick
from node.simulation.clients import Client
from node.simulation.invariants.violation import fail
from node.simulation.server import Server
from node.statemachine.writes import LeaseGrant, LeaseGranted, LeaseKeepAlive, LeaseKept, Result

TTLS_S = (2, 2, 3)
BEATS_PER_TTL = 3


class HoldingClient(Client):
    """Before all else it sees to its lease; `_go_on` is what it does with one."""

    _lease = 0
    """0: it has none."""
    _lives_until_us = 0
    """It certainly lives until then."""
    _ttl_us = 0
    _beat_us = 0

    def _next(self) -> None:
        if self.stopped:
            return
        server = pick(self._rng, self._servers)
        now = self._scheduler.now()
        if self._lease and now >= self._lives_until_us:
            self._lost()
        if server.driver is None:
            self.begin()  # connection refused
        elif not self._lease:
            self._ask(server, LeaseGrant(0, pick(self._rng, TTLS_S)), self._granted)
        elif now >= self._beat_us:
            self._ask(server, LeaseKeepAlive(self._lease), self._kept)
        else:
            self._go_on(server)

    def _go_on(self, server: Server) -> None:
        raise NotImplementedError

    def _lives(self) -> None:
        """It lives on, until `_lives_until_us`."""

    def _lost(self) -> None:
        """It may have ended. Called before `_lease` is forgotten, by an overriding method."""
        self._lease = self._lives_until_us = 0

    def _granted(self, result: Result, asked_us: int, _index: int) -> None:
        if not isinstance(result, LeaseGranted):
            fail(f"a lease was asked for, and {result!r} was answered")
        self._lease, self._ttl_us = result.id, result.ttl_s * 1_000_000
        self._lives_on(asked_us)

    def _kept(self, result: Result, asked_us: int, _index: int) -> None:
        if isinstance(result, LeaseKept) and result.ttl_s:
            self._lives_on(asked_us)
        else:
            self._lost()

    def _lives_on(self, asked_us: int) -> None:
        """Counted from before it asked; one that is over by that clock is over, whatever the cluster says."""
        until_us = asked_us + self._ttl_us
        if self._scheduler.now() >= max(until_us, self._lives_until_us):
            self._lost()
            return
        self._beat_us = asked_us + self._ttl_us // BEATS_PER_TTL
        self._lives_until_us = max(self._lives_until_us, until_us)
        self._lives()
