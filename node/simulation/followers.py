"""A client that watches what others write, at any node and at its own pace.

Why it exists: a watcher must hear every change once and in order, whatever can happen to a cluster (kills, restores
from snapshots, cuts, compactions) and however slow it is. What it talks to is the hub, the streams and the history of
real nodes; it must not judge.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from node.simulation.chance import Chance, pick, up_to
from node.simulation.invariants.true_changes import TrueChanges
from node.simulation.invariants.violation import fail
from node.simulation.invariants.watch_guarantees import Asked, Heard, WatchGuarantees
from node.simulation.scheduler import Scheduler
from node.simulation.server import Server
from node.watching.events import Response
from node.watching.stream import INVALID_ID, WatchStream

RANGES = (
    *((b"a", b""), (b"b/1", b""), (b"a", b"b"), (b"a/", b"a0"), (b"a/", b"a0"), (b"b/", b"b0")),
    *((b"", b"\0"), (b"a/2", b"b/2"), (b"b", b"\0"), (b"nothing", b"")),
)

WATCHES_MAX = 3
"""Of one client, over one stream."""

PACES_US = (1_000, 1_000, 40_000, 600_000)
"""How long a client takes at most until it takes what there is: some fall far behind."""

STAYS_US_MAX = 1_500_000
"""How long a client stays with a node before it looks whether that is there, or goes to another."""

TAKE_BYTES_MAX = 900
TAKE_WORK_MAX = 30
"""Of one take: less than a revision of several keys costs, now and then."""


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
            server.later(0, partial(self._create, stream, watch))

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
            said = (response.watch_id, response.revision, len(response.events), int(response.fragment))
            self._report(b"%d %s heard %d %d %d %d" % (self._scheduler.now(), self._name.encode(), *said))
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
