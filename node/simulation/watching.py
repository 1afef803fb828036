"""Clients that change many keys, others that watch them; and a world of both.

Why it exists: see `followers.py`. The judge knows what happened from the log alone.
"""

from functools import partial

from node.simulation.chance import pick, up_to
from node.simulation.clients import Client
from node.simulation.followers import Follower
from node.simulation.invariants.true_changes import TrueChanges
from node.simulation.invariants.violation import fail
from node.simulation.server import Server
from node.simulation.world import CLIENTS, LIVENESS_US, World
from node.statemachine.writes import Compact, Compare, DeleteRange, Put, Relation, Result, StoreWrite, Target, Txn
from node.watching.hub import TICK_PARTS, WatchHub

KEYS = (b"a", b"a/1", b"a/2", b"a/3", b"b/1", b"b/2", b"c")

FOLLOWERS = 6
TICK_US = 150_000

BEHIND_MAX = 12
"""How many revisions before the newest a compaction leaves."""


class ChangingClient(Client):
    """As a client, but it changes many keys at once, deletes them, and compacts. It knows how far the store is."""

    _revision = 1

    def _write(self, server: Server) -> None:
        self._ask(server, self._drawn(), self._told)

    def _drawn(self) -> StoreWrite:
        chance = self._rng.random()
        if chance < 0.5:
            return self._put()
        if chance < 0.65:
            return DeleteRange(*pick(self._rng, ((b"a/1", b""), (b"b/2", b""), (b"a/", b"a0"), (b"b", b"\0"))))
        if chance < 0.92:
            first, *others = sorted(KEYS, key=lambda _: self._rng.random())[: 2 + up_to(self._rng, 4)]
            there = Compare(first, Target.VERSION, Relation.GREATER, 0)
            return Txn((there,), (DeleteRange(first), *map(self._put, others)), tuple(map(self._put, (first, *others))))
        return Compact(max(0, self._revision - up_to(self._rng, BEHIND_MAX)))

    def _put(self, key: bytes = b"") -> Put:
        self._value += 1
        return Put(key or pick(self._rng, KEYS), b"%s %d" % (self.key, self._value))

    def _told(self, result: Result, _asked_us: int, _index: int) -> None:
        self._revision = max(self._revision, getattr(result, "revision", 0))


def _tick_all(hub: WatchHub) -> None:
    for _ in range(TICK_PARTS):
        hub.tick()


class Watching(World):
    """`run()` raises Violation. An ordinary world, but that somebody watches."""

    def _clients(self, first: int = 0) -> list[Client]:
        self._truth = TrueChanges()
        shared = (self.servers, self.scheduler, self.rng)
        judged = (self.invariants, self.tallies, self.on_line)
        self.followers = [
            Follower(number, *shared, self.truth, self.happenings.counts, self.on_line) for number in range(FOLLOWERS)
        ]
        return [ChangingClient(number, *shared, *judged) for number in range(first, first + CLIENTS)]

    def truth(self) -> TrueChanges:
        """Of all that is committed by now."""
        self._truth.follow(self.invariants.committed)
        return self._truth

    def _begin(self) -> None:
        super()._begin()
        for follower in self.followers:
            follower.begin()
        self.scheduler.schedule(TICK_US, self._tick)

    def _tick(self) -> None:
        """As watch_timers.py has it."""
        for server in self.servers:
            if server.driver is not None:
                server.later(0, partial(_tick_all, server.hub))
        self.scheduler.schedule(self.scheduler.now() + TICK_US, self._tick)

    def _compare(self) -> None:
        super()._compare()
        for follower in self.followers:
            follower.settle(self._members())
        last = self.truth().revision
        until_us = self.scheduler.now() + LIVENESS_US
        self.scheduler.run_until(until_us, lambda: not any(follower.untold(last) for follower in self.followers))
        for follower in self.followers:
            for watch in follower.watches:
                watch.ends(last)
        self.happenings.counts["watches that had to read the history"] += sum(s.hub.fell_behind for s in self.servers)
        for follower in self.followers:
            follower.stop()
        self.scheduler.run_until(self.scheduler.now() + TICK_US)
        for server in self._members():
            if server.hub.watches or server.hub.streams or server.hub.interests:
                fail(f"{server.label} keeps {server.hub.watches} watches that nobody has")
