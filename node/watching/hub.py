"""All who follow the store, on one node: what each revision changed is put where those look who follow its keys.

Why it exists: an event is made once, in the turn in which it was applied, however many want it. The most recent events
are kept, a bounded number for the whole node; who is further behind reads the history itself, when there is somebody to
read it to. So a slow client costs no memory, and no task belongs to a watch. It must not know clients, doors or clocks:
whoever owns it calls `advance` whenever entries were applied, and `tick` and `no_leader` when it is time.

`revision` is how far it has come: what is later than that is not told to anybody, nor that it has been passed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from node.watching.events import Event, distinct, event_of
from node.watching.interest import Group, Interests
from node.watching.port import WatchedStore
from node.watching.shares import Shares

if TYPE_CHECKING:
    from node.watching.stream import WatchStream
    from node.watching.watch import Watch

WORK_PER_TURN_MAX = 1_000
"""Look-ups, events and watches that are told in one turn of the loop; 1 to 2 ms."""

BEHIND_REVISIONS_MAX = 1_000
"""Where the store is further ahead, as after a restore, watches read the history instead."""

RECENT_EVENTS_MAX = 2_048
RECENT_BYTES_MAX = 16 * 1024 * 1024
"""Recent events that are kept for those who have not taken them yet."""

STOPPING = "etcdserver: server stopped"
NO_LEADER = "etcdserver: no leader"

TICK_PARTS = 16
"""A tick tells one of so many parts of the streams: all after so many ticks."""


class WatchHub:
    """One for a node. `wake`: call `advance` again soon, there is more to do."""

    def __init__(self, store: WatchedStore, wake: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.revision = store.revision
        self.interests = Interests()
        self.shares = Shares()
        self.watches = 0
        self.recent_events_max = RECENT_EVENTS_MAX
        self.behind_revisions_max = BEHIND_REVISIONS_MAX
        """Fewer in simulated worlds, so that what is rare happens."""
        self.events_sent = 0
        """To clients, each of them counted."""
        self.fell_behind = 0
        """How often a watch that had caught up had to read the history."""
        self.streams: dict[WatchStream, None] = {}
        self._wake = wake
        self._walk: Iterator[bytes] | None = None
        """The keys of the revision after `revision` that are still to be looked at; None: it is not begun."""
        self._touched: dict[Group, None] = {}
        """Groups that want something of it."""
        self._recent: deque[tuple[Group, int, int]] = deque()
        """Groups whose oldest recent revision is to go next, with how many events and bytes that has."""
        self._recent_events = 0
        self._recent_bytes = 0
        self._to_tell: deque[tuple[int, Iterator[Watch]]] = deque()
        """Watches that have not heard yet that there is something from that revision on."""
        self._ticks = 0

    @property
    def refused(self) -> int:
        """Watches that were not created for want of room."""
        return self.shares.refused

    @property
    def next_whole(self) -> int:
        """The first revision of which nothing was looked at yet."""
        return self.revision + (1 if self._walk is None else 2)

    def advance(self, work_max: int = WORK_PER_TURN_MAX) -> None:
        """Take what the store has applied since, as much as one turn may hold."""
        target = self.store.revision
        if not self.interests:
            self._to_tell.clear()  # those who were still to hear of something are gone
            if target != self.revision:
                self._pass_over(target)
            return
        if target - self.revision > self.behind_revisions_max or self.revision + 1 < self.store.compact_revision:
            everybody = (watch for group in list(self.interests) for watch in list(group.watches))
            self._to_tell.append((self.revision + 1, everybody))
            self._pass_over(target)
        self._tell(self._fan_out(target, work_max))
        if self.revision < target or self._to_tell:
            self._wake()

    def _pass_over(self, target: int) -> None:
        """Go on at `target`; who is behind reads the history."""
        self._walk = None
        self._touched.clear()
        self._recent.clear()
        self._recent_events = self._recent_bytes = 0
        for group in self.interests:
            group.recent = None
            group.since = target + 1
        self.revision = target

    def _fan_out(self, target: int, left: int) -> int:
        store, interests = self.store, self.interests
        cost = interests.cost
        while self.revision < target and left > 0:
            revision = self.revision + 1
            if self._walk is None:
                self._walk = distinct(store.changed(revision))
            for key in self._walk:
                left -= cost
                groups = interests.of(key)
                if groups:
                    self._put(event_of(store, key, revision), groups)
                    left -= 1 + len(groups)
                if left <= 0:
                    break
            else:
                self._complete(revision)
        return left

    def _put(self, event: Event, groups: list[Group]) -> None:
        revision = event.kv.mod_revision
        for group in groups:
            if group in self._touched:
                group.recent[-1][1].append(event)  # type: ignore[index]
            elif group.since <= revision:
                if group.recent is None:
                    group.recent = []
                group.recent.append((revision, [event]))
                self._touched[group] = None

    def _complete(self, revision: int) -> None:
        """All of it is where it belongs."""
        self._walk = None
        self.revision = revision
        for group in self._touched:
            if group.recent is None:
                continue  # the last watch left meanwhile
            events = group.recent[-1][1]
            size = sum(event.size_bytes for event in events)
            self._recent.append((group, len(events), size))
            self._recent_events += len(events)
            self._recent_bytes += size
            self._to_tell.append((revision, iter(list(group.watches))))
        self._touched = {}
        while self._recent_events > self.recent_events_max or self._recent_bytes > RECENT_BYTES_MAX:
            self._let_go_oldest()

    def _let_go_oldest(self) -> None:
        group, events, size = self._recent.popleft()
        self._recent_events -= events
        self._recent_bytes -= size
        if group.recent:
            group.since = group.recent[0][0] + 1
            del group.recent[0]

    def _tell(self, left: int) -> None:
        while self._to_tell and left > 0:
            revision, watches = self._to_tell[0]
            for watch in islice(watches, left):
                watch.stream.stir(watch, revision)
                left -= 1
            if left > 0:
                self._to_tell.popleft()

    def tick(self) -> None:
        """Time for progress: a part of the streams each time, so that nothing is held up."""
        part, self._ticks = self._ticks % TICK_PARTS, self._ticks + 1
        for stream in list(islice(self.streams, part, None, TICK_PARTS)):
            stream.tick()

    def no_leader(self) -> None:
        """There has been none for too long: streams end whose clients asked for that."""
        for stream in [stream for stream in self.streams if stream.needs_leader]:
            stream.end(NO_LEADER)

    def stop(self) -> None:
        """The node ends: every stream does."""
        for stream in list(self.streams):
            stream.end(STOPPING)
