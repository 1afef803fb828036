"""Clients that take turns at a lock, as etcd's recipe has it; and a world of them.

Why it exists: a lock is made of leases, transactions, watches and linearizable reads, and fails where any of them does.
A key that belongs to a lease is put under the lock's prefix, once; whoever has the oldest holds the lock; who waits
watches the next older one. So does `node/api/etcd/turns.py` for clients without a library; here it is written as a
client would, of what a node offers to all of them.
"""

from collections import Counter

from node.raft.core import Raft
from node.runtime.inputs import WantRead
from node.runtime.ports import ReadFailed
from node.simulation.chance import up_to
from node.simulation.clients import TIMEOUT_US, Client
from node.simulation.faults import Faults
from node.simulation.holding import HoldingClient
from node.simulation.invariants.lock_order import LockOrder
from node.simulation.invariants.true_changes import TrueChanges
from node.simulation.invariants.violation import fail
from node.simulation.server import Server
from node.simulation.world import CLIENTS, World
from node.statemachine.writes import (
    Compare,
    DeleteRange,
    KeyValue,
    LeaseRevoke,
    Put,
    Range,
    RangeResult,
    Relation,
    Result,
    SortOrder,
    SortTarget,
    Target,
    Txn,
    TxnResult,
    prefix_end,
)
from node.watching.stream import WatchStream

PREFIX = b"lock/"
GUARDED = b"guarded"
PAUSE_US_MAX = 2_000_000
HOLDS_US_MAX = 500_000
WAITS_US_MAX = 500_000
"""After so long who waits looks again, whatever the watch says: its node may be gone."""

ENDS_US_MAX = 10_000_000
LOOK_US = 50_000
TAKE_BYTES = 1_000


class LockingClient(HoldingClient):
    """One turn after the other; `counts`: what it met."""

    _token = 0
    """The revision at which its key was created; 0: it is not in the queue."""
    _holds_until_us = 0
    """0: it does not hold the lock."""
    _waited = False

    def begin_with(self, judge: LockOrder, counts: Counter[str]) -> None:
        """Call once, before `begin`."""
        self._judge = judge
        self._counts = counts

    @property
    def _name(self) -> str:
        return self.key.decode()

    @property
    def _mine(self) -> bytes:
        return PREFIX + b"%x" % self._lease

    def _go_on(self, server: Server) -> None:
        if not self._token:
            self._ask(server, self._queueing(), self._queued)
        elif not self._holds_until_us:
            self._look(server)
        elif self._scheduler.now() < self._holds_until_us:
            self._work(server)
        else:
            self._end(server)

    def _lives(self) -> None:
        self._judge.lives(self._name, self._lives_until_us)

    def _lost(self) -> None:
        self._counts["locks lost with their leases" if self._holds_until_us else "turns lost with their leases"] += 1
        self._forget()

    def _forget(self) -> None:
        self._judge.lets_go(self._name)
        self._lease = self._lives_until_us = self._token = self._holds_until_us = 0
        self._waited = False

    # --- the turn ------------------------------------------------------------------------------------------------

    def _queueing(self) -> Txn:
        oldest = Range(PREFIX, prefix_end(PREFIX), limit=1, sort_order=SortOrder.ASCEND, sort_target=SortTarget.CREATE)
        return Txn((_created(self._mine, 0),), (Put(self._mine, b"", self._lease), oldest), (Range(self._mine), oldest))

    def _queued(self, result: Result, _asked_us: int, _index: int) -> None:
        if not isinstance(result, TxnResult):
            self._lost()
            return
        there = _first(result.responses[0])
        self._token = result.revision if result.succeeded else there.create_revision if there else 0
        oldest = _first(result.responses[1])
        if self._token and oldest is not None and oldest.create_revision == self._token:
            self._holds()

    def _holds(self) -> None:
        now = self._scheduler.now()
        if now >= self._lives_until_us:
            self._lost()
            return
        self._judge.believes(self._name, self._mine, self._token, self._lives_until_us, now)
        self._holds_until_us = now + 1 + up_to(self._rng, HOLDS_US_MAX)
        self._counts["locks taken after others" if self._waited else "locks taken at once"] += 1

    def _look(self, server: Server) -> None:
        """Is there an older key? A linearizable read says so, and a watch when it goes."""
        boot = server.boot

        def reply(failed: ReadFailed | None) -> None:
            if failed is None and server.driver is not None and server.boot == boot and self._token:
                self._tallies.reads_done += 1
                self._saw(server)
            else:
                self._tallies.reads_failed += 1
                self.begin()

        server.post(WantRead(self._scheduler.now() + TIMEOUT_US, reply))

    def _saw(self, server: Server) -> None:
        newest = Range(
            *(PREFIX, prefix_end(PREFIX), 0, 1),
            sort_order=SortOrder.DESCEND,
            sort_target=SortTarget.CREATE,
            max_create_revision=self._token - 1,
        )
        found = server.machine.read(newest)
        before = _first(found)
        if before is not None:
            self._waited = True
            self._wait(server, before.key, server.machine.revision)
            return
        mine = _first(server.machine.read(Range(self._mine)))
        if mine is not None and mine.create_revision == self._token:
            self._holds()
        else:
            self._lost()
        self.begin()

    def _wait(self, server: Server, key: bytes, revision: int) -> None:
        over = False

        def go_on() -> None:
            nonlocal over
            if not over:
                over = True
                server.later(0, stream.close)  # nothing where the process is gone, and all of this with it
                self.begin()

        def take() -> None:
            if not over and any(response.events or response.canceled for response in stream.take(TAKE_BYTES)):
                self._counts["waits that a watch ended"] += 1
                go_on()
            elif not over and stream.more:
                server.later(up_to(self._rng, 2_000), take)

        stream = WatchStream(server.hub, lambda: server.later(up_to(self._rng, 2_000), take))
        stream.create(key, b"", revision + 1, no_put=True)
        self._scheduler.schedule(self._scheduler.now() + up_to(self._rng, WAITS_US_MAX), go_on)

    # --- under the lock --------------------------------------------------------------------------------------------

    def _work(self, server: Server) -> None:
        """Something that only a holder does, or its key once more, as who proclaims does it."""
        mine = _created(self._mine, self._token)
        token = b"%d" % self._token
        does = Put(GUARDED, token) if self._rng.random() < 0.7 else Put(self._mine, token, self._lease)
        self._ask(server, Txn((mine,), (does,)), self._worked)

    def _worked(self, result: Result, _asked_us: int, _index: int) -> None:
        if isinstance(result, TxnResult) and result.succeeded:
            self._counts["writes under a lock"] += 1
        else:
            self._counts["writes refused to who held a lock"] += 1

    def _end(self, server: Server) -> None:
        """It gives the lock up, or its lease, or is heard of no more."""
        lease, mine, token, chance = self._lease, self._mine, self._token, self._rng.random()
        self._forget()
        if chance < 0.6:
            self._ask(server, Txn((_created(mine, token),), (DeleteRange(mine),)), _nothing)
        elif chance < 0.8:
            self._ask(server, LeaseRevoke(lease), _nothing)
        else:
            self._counts["locks that were left alone"] += 1
            self.begin()


def _nothing(_result: Result, _asked_us: int, _index: int) -> None:
    """Whoever gave a lock up does not mind how."""


def _created(key: bytes, revision: int) -> Compare:
    return Compare(key, Target.CREATE_REVISION, Relation.EQUAL, revision)


def _first(found: object) -> KeyValue | None:
    return found.kvs[0] if isinstance(found, RangeResult) and found.kvs else None


class Locking(World):
    """`run()` raises Violation. An ordinary world, but that its clients want one thing, and that it lasts longer."""

    safety_us = 12_000_000

    def _faults(self) -> Faults:
        faults = super()._faults()
        faults.pause_us_max = PAUSE_US_MAX
        return faults

    def _clients(self, first: int = 0) -> list[Client]:
        self._truth = TrueChanges()
        self.lock = LockOrder(PREFIX)
        made = []
        for number in range(first, first + CLIENTS):
            client = LockingClient(
                number, self.servers, self.scheduler, self.rng, self.invariants, self.tallies, self.on_line
            )
            client.begin_with(self.lock, self.happenings.counts)
            made.append(client)
        return list(made)

    def on_step(self, server: Server, core: Raft) -> None:
        """Beside all else, whether those who believe to hold the lock do."""
        super().on_step(server, core)
        self._truth.follow(self.invariants.committed, lambda: self.lock.written(self._truth.living.get(GUARDED)))
        self.lock.stepped(self._truth.living, self.scheduler.now())

    def _compare(self) -> None:
        super()._compare()
        until_us = self.scheduler.now() + ENDS_US_MAX
        while any(server.machine.lease_count for server in self._members()):
            if self.scheduler.now() >= until_us:
                fail(f"there are leases, although nobody has kept one alive for {ENDS_US_MAX} us")
            self.scheduler.run_until(self.scheduler.now() + LOOK_US)
        kept = [key for key in self._truth.living if key.startswith(PREFIX)]
        if kept:
            fail(f"{kept} have outlived their leases")
