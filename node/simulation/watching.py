"""Clients that watch what others write, at any node and at their own pace; and a world of them.

Why it exists: a watcher must hear every change once and in order, whatever can happen to a cluster (kills, restores from
snapshots, cuts, compactions) and however slow it is. What runs is the hub, the streams and the history of real nodes;
the judge knows what happened from the log alone.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from node.simulation.chance import Chance, pick, up_to
from node.simulation.clients import Client
from node.simulation.invariants.true_changes import TrueChanges
from node.simulation.invariants.violation import fail
from node.simulation.invariants.watch_guarantees import Asked, Heard, WatchGuarantees
from node.simulation.scheduler import Scheduler
from node.simulation.server import Server
from node.simulation.world import CLIENTS, LIVENESS_US, World
from node.statemachine.writes import Compact, Compare, DeleteRange, Put, Relation, Result, StoreWrite, Target, Txn
from node.watching.events import Response
from node.watching.hub import TICK_PARTS
from node.watching.stream import INVALID_ID, WatchStream

KEYS = (b"a", b"a/1", b"a/2", b"a/3", b"b/1", b"b/2", b"c")
RANGES = (
    *((b"a", b""), (b"b/1", b""), (b"a", b"b"), (b"a/", b"a0"), (b"a/", b"a0"), (b"b/", b"b0")),
    *((b"", b"\0"), (b"a/2", b"b/2"), (b"b", b"\0"), (b"nothing", b"")),
)

FOLLOWERS = 6
WATCHES_MAX = 3
"""Of one client, over one stream."""

PACES_US = (1_000, 1_000, 40_000, 600_000)
"""How long a client takes at most until it takes what there is: some fall far behind."""

STAYS_US_MAX = 1_500_000
"""How long a client stays with a node before it looks whether that is there, or goes to another."""

TICK_US = 150_000
TAKE_BYTES_MAX = 900
TAKE_WORK_MAX = 30
"""Of one take: less than a revision of several keys costs, now and then."""

BEHIND_MAX = 12
"""How many revisions before the newest a compaction leaves."""


class ChangingClient(Client):
    """As a client, but it changes many keys at once, deletes them, and compacts. It knows how far the store is."""

    _revision = 1

    def _write(self, server: Server) -> None:
        self._post(server, self._drawn(), self._told)

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


class Follower:
    """Follows some ranges over one stream at a time, and goes on elsewhere where that breaks, or when it likes to."""

    def __init__(
        self,
        number: int,
        servers: Sequence[Server],
        scheduler: Scheduler,
        rng: Chance,
        truth: Callable[[], TrueChanges],
        counts: Counter[str],
        report: Callable[[bytes], None],
    ) -> None:
        self.watches: list[WatchGuarantees] = []
        self._name = f"w{number}"
        self._servers = servers
        self._calm = False
        self._stopped = False
        self._scheduler = scheduler
        self._rng = rng
        self._truth = truth
        self._counts = counts
        self._report = report
        self._pace_us = pick(rng, PACES_US)
        self._connections = 0
        self._stream: WatchStream | None = None
        self._server = servers[0]
        self._boot = ""
        self._by_id: dict[int, WatchGuarantees] = {}
        self._asked: deque[WatchGuarantees] = deque()
        """Watches whose creation was not answered yet, in order."""

    def begin(self) -> None:
        """Soon; call once."""
        for _ in range(1 + up_to(self._rng, WATCHES_MAX)):
            self.watches.append(self._new_watch())
        self._scheduler.schedule(self._scheduler.now() + up_to(self._rng, 800_000), self._look)

    def settle(self, servers: Sequence[Server]) -> None:
        """From now on it stays with one of these, and takes at once what there is."""
        self._servers, self._calm = servers, True

    def untold(self, until: int) -> bool:
        """Whether something until that revision is still to be told."""
        return any(watch.untold(until) is not None for watch in self.watches)

    def stop(self) -> None:
        """It hears no more."""
        self._stopped = True
        self._leave()

    def _leave(self) -> None:
        server = self._server
        if self._stream is not None and server.driver is not None and server.boot == self._boot:
            server.later(0, self._stream.close)
        self._stream = None

    # --- connections -------------------------------------------------------------------------------------------

    @property
    def _is_there(self) -> bool:
        server = self._server
        return server.driver is not None and server.boot == self._boot and server in self._servers

    def _look(self) -> None:
        """Is the node still there? And shall this client stay?"""
        if self._stopped:
            return
        if self._stream is None or not self._is_there or (not self._calm and self._rng.random() < 0.25):
            self._leave()
            self._connect(pick(self._rng, self._servers))
        elif self._rng.random() < 0.3:
            self._server.later(0, self._stream.progress)
        stays_us = STAYS_US_MAX // 10 if self._calm else STAYS_US_MAX
        self._scheduler.schedule(self._scheduler.now() + 1_000 + up_to(self._rng, stays_us), self._look)

    def _connect(self, server: Server) -> None:
        if server.driver is None:
            return  # refused; it looks again
        self._connections += 1
        connection = self._connections
        self._server, self._boot = server, server.boot
        self._by_id.clear()
        self._asked.clear()

        def take() -> None:
            if connection == self._connections and self._stream is stream and not stream.ended:
                self._take(stream)
                if stream.more:
                    ready()

        def ready() -> None:
            server.later(up_to(self._rng, 1_000 if self._calm else self._pace_us), take)

        stream = self._stream = WatchStream(server.hub, ready)
        self._counts["watch streams opened"] += 1
        for watch in self.watches:
            self._counts["watches resumed"] += bool(watch.events)
            server.later(0, lambda watch=watch: self._create(stream, watch))  # type: ignore[misc]

    def _create(self, stream: WatchStream, watch: WatchGuarantees) -> None:
        if self._stream is not stream:
            return
        asked = watch.asked
        self._asked.append(watch)
        options = {"prev_kv": asked.prev_kv, "no_put": asked.no_put, "no_delete": asked.no_delete}
        stream.create(asked.start, asked.end, watch.next, progress=True, fragment=True, **options)

    def _new_watch(self, first: int = -1) -> WatchGuarantees:
        """From that revision on; without one from wherever it likes, what comes later included."""
        revision = self._truth().revision
        if first < 0:
            first = pick(self._rng, (0, 0, 1, revision, max(1, revision - up_to(self._rng, 30)), revision + 5))
        start, end = pick(self._rng, RANGES)
        filters = self._rng.random()
        asked = Asked(start, end, first, self._rng.random() < 0.4, filters < 0.1, filters > 0.9)
        return WatchGuarantees(f"{self._name} from {first} on of {start!r}..{end!r}", asked, self._truth())

    # --- what it hears -----------------------------------------------------------------------------------------

    def _take(self, stream: WatchStream) -> None:
        bytes_max, work_max = 1 + up_to(self._rng, TAKE_BYTES_MAX), 1 + up_to(self._rng, TAKE_WORK_MAX)
        compacted = self._truth().compacted
        for response in stream.take(bytes_max, work_max):
            said = b"%d %s %d" % (response.watch_id, b"and more" if response.fragment else b"", response.revision)
            line = b"%d %s heard %s %d" % (self._scheduler.now(), self._name.encode(), said, len(response.events))
            self._report(line)
            self._hear(stream, response, compacted)

    def _hear(self, stream: WatchStream, response: Response, compacted: int) -> None:
        if response.created and response.watch_id != INVALID_ID:
            watch = self._by_id[response.watch_id] = self._asked.popleft()
            watch.created(response.revision)
        elif response.canceled:
            if response.watch_id == INVALID_ID:
                fail(f"{self._name} may not watch: {response.cancel_reason}")
            self._begin_anew(stream, self._by_id.pop(response.watch_id), response.compact_revision, compacted)
        elif response.events:
            watch = self._by_id[response.watch_id]
            previous = response.with_previous
            events = [Heard(event.kv, event.previous if previous else None) for event in response.events]
            watch.heard(events, compacted, fragment=response.fragment)
            self._counts["events heard"] += len(events)
            if not response.fragment:
                watch.progressed(response.revision)
        else:
            told = self._by_id.values() if response.watch_id == INVALID_ID else (self._by_id[response.watch_id],)
            for watch in told:
                watch.progressed(response.revision)
            self._counts["progress heard"] += 1

    def _begin_anew(self, stream: WatchStream, watch: WatchGuarantees, compact_revision: int, compacted: int) -> None:
        watch.gone(compact_revision, compacted)
        self._counts["watches that found their history compacted"] += 1
        again = self._new_watch(compact_revision)
        self.watches[self.watches.index(watch)] = again
        self._create(stream, again)


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
                server.later(0, lambda hub=server.hub: [hub.tick() for _ in range(TICK_PARTS)])  # type: ignore[misc]
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
