"""Clients that hold leases, lose them, and let them go; and a world of them.

Why it exists: a lease must outlive whatever can happen to a cluster (leader changes, pauses, clocks that leap, restarts
from snapshots) for as long as its client was told, and no longer than a moment more once somebody leads.
"""

from collections import Counter

from node.raft.core import Raft
from node.simulation.chance import pick, up_to
from node.simulation.clients import Client
from node.simulation.invariants.lease_time import LeaseTime
from node.simulation.invariants.violation import fail
from node.simulation.server import Server
from node.simulation.world import CLIENTS, World
from node.statemachine.writes import (
    LeaseGrant,
    LeaseGranted,
    LeaseKeepAlive,
    LeaseKept,
    LeaseRevoke,
    LeaseRevoked,
    Put,
    PutResult,
    Refused,
    Result,
)

TTLS_S = (2, 2, 3, 4)
IDLE_US_MAX = 3_500_000
"""How long a client may forget about everything, now and then: longer than most leases live."""

LOOK_US = 50_000
ENDS_US_MAX = 10_000_000
"""So long after the last keep-alive every lease has ended."""


class LeasingClient(Client):
    """As a client, but what it writes is put with a lease. `counts`: what it met."""

    def begin_with(self, judge: LeaseTime, counts: Counter[str]) -> None:
        """Call once, before `begin`."""
        self._judge = judge
        self._counts = counts
        self._lease = 0

    def begin(self) -> None:
        """Mostly soon; now and then late, when its lease may have ended."""
        if self._lease and self._rng.random() < 0.06:
            at_us = self._scheduler.now() + up_to(self._rng, IDLE_US_MAX)
            self._scheduler.schedule(at_us, self._next)
        else:
            super().begin()

    def _write(self, server: Server) -> None:
        number, chance = self._lease, self._rng.random()
        if not number:
            self._ask(server, LeaseGrant(0, pick(self._rng, TTLS_S)), self._granted)
        elif chance < 0.5:
            self._value += 1
            self._ask(server, Put(self.key, b"%d" % self._value, number), self._put)
        elif chance < 0.9:
            self._ask(server, LeaseKeepAlive(number), self._kept)
        else:
            self._judge.left(number)
            self._lease = 0
            if chance < 0.95:
                self._ask(server, LeaseRevoke(number), self._revoked)
            else:
                self._counts["leases that were left alone"] += 1
                self.begin()

    def _granted(self, result: Result, asked_us: int, index: int) -> None:
        if not isinstance(result, LeaseGranted):
            fail(f"a lease was asked for, and {result!r} was answered")
        self._lease = result.id
        self._judge.lives(result.id, asked_us, result.ttl_s, index)

    def _put(self, result: Result, _asked_us: int, index: int) -> None:
        if isinstance(result, PutResult):
            self._judge.put(self._lease, self.key, index)
        elif isinstance(result, Refused) and result.code == "lease-not-found":
            self._lost()
        else:
            fail(f"{self.key!r} was put with lease {self._lease}, and {result!r} was answered")

    def _kept(self, result: Result, asked_us: int, index: int) -> None:
        if not isinstance(result, LeaseKept):
            fail(f"lease {self._lease} was to be kept alive, and {result!r} was answered")
        if result.ttl_s:
            self._counts["leases kept alive"] += 1
            self._judge.lives(self._lease, asked_us, result.ttl_s, index)
        else:
            self._lost()

    def _revoked(self, result: Result, _asked_us: int, _index: int) -> None:
        if not isinstance(result, LeaseRevoked | Refused):
            fail(f"a lease was revoked, and {result!r} was answered")
        self._counts["leases revoked"] += isinstance(result, LeaseRevoked)

    def _lost(self) -> None:
        self._counts["leases that ended while their clients were away"] += 1
        self._judge.gone(self._lease, self._scheduler.now())
        self._lease = 0


class Leasing(World):
    """`run()` raises Violation. An ordinary world, but for its clients."""

    def _clients(self, first: int = 0) -> list[Client]:
        self.leases = LeaseTime()
        made = []
        for number in range(first, first + CLIENTS):
            client = LeasingClient(
                number, self.servers, self.scheduler, self.rng, self.invariants, self.tallies, self.on_line
            )
            client.begin_with(self.leases, self.happenings.counts)
            made.append(client)
        return list(made)

    def on_step(self, server: Server, core: Raft) -> None:
        """Beside all else, whether what clients hold is there."""
        super().on_step(server, core)
        self.leases.stepped(server.label, server.machine, core.applied, self.scheduler.now())

    def _compare(self) -> None:
        super()._compare()
        until_us = self.scheduler.now() + ENDS_US_MAX
        while any(server.machine.lease_count for server in self._members()):
            if self.scheduler.now() >= until_us:
                fail(f"there are leases, although nobody has kept one alive for {ENDS_US_MAX} us")
            self.scheduler.run_until(self.scheduler.now() + LOOK_US)
            for server in self._members():
                if server.leads and server.driver is not None:
                    log_time_us = server.driver.core.log_time_us(self.scheduler.now())
                    self.leases.late(server.label, server.machine, log_time_us)
        self._must(self._quiet, "the servers did not come to the same end")
        for server in self._members():
            if server.machine.key_count:
                fail(f"{server.label}: {server.machine.key_count} keys have outlived their leases")
