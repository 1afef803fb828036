"""One client's watches, and what it is to be told next, as etcd has them.

Why it exists: a client may watch many ranges over one stream, and takes answers at its own pace. A watch is a position
in the revisions: what comes next is found when it is taken, in the group's recent events or, further back, in the
history. So nothing is stored for a client that does not read. It must not know how answers travel; whoever carries
them calls `take` after `on_ready`, until `more` is False.
"""

from collections.abc import Callable, Iterator, Sequence

from node.watching.events import Event, Response, distinct, event_of
from node.watching.hub import WATCHES_MAX, WatchHub
from node.watching.interest import Group

TAKE_WORK_MAX = 1_000
"""Keys of the history that are looked at, and events that are made, in one `take`; 1 to 2 ms."""

RESPONSE_REVISIONS_MAX = 1_000
"""Revisions in one response, as in etcd."""

FRAGMENT_BYTES_MAX = 2 * 1024 * 1024
"""A longer response is told in several, where the client takes fragments: etcd's 1.5 MiB, and half a one beside."""

LOOK_UNITS = 3
"""What an event costs that is made from the history."""

INVALID_ID = -1
DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"
EMPTY_RANGE = "mvcc: watcher range is empty"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
TOO_MANY = "etcdserver: too many watches on this member"


class Watch:
    """`next`: the first revision of which nothing was told. `walk`, `partial`: the keys of it that the history still
    has, and the events that it had so far."""

    __slots__ = (
        "fragment",
        "group",
        "id",
        "next",
        "no_delete",
        "no_put",
        "partial",
        "prev_kv",
        "progress",
        "quiet",
        "stream",
        "walk",
        "was_synced",
    )

    def __init__(self, stream: "WatchStream", id: int, group: Group, next: int) -> None:
        self.stream = stream
        self.id = id
        self.group = group
        self.next = next
        self.prev_kv = self.no_put = self.no_delete = self.fragment = self.progress = False
        self.quiet = True
        """Whether nothing was told since the last tick."""
        self.was_synced = False
        self.walk: Iterator[bytes] | None = None
        self.partial: list[Event] | None = None

    def wants(self, event: Event) -> bool:
        """Whether its filters let it through."""
        return not (self.no_delete if event.is_delete else self.no_put)


class _Budget:
    __slots__ = ("bytes", "work")

    def __init__(self, bytes_max: int, work_max: int) -> None:
        self.bytes = bytes_max
        self.work = work_max

    def __bool__(self) -> bool:
        return self.bytes > 0 and self.work > 0


class WatchStream:
    """`on_ready` is called when there is something to take, once until it is taken. `ended`: why no more will come,
    else empty. Call `close` when the client is gone. `needs_leader`: end where there is no leader for too long."""

    __slots__ = (
        "_asked",
        "_due",
        "_next_id",
        "_on_ready",
        "_said",
        "_told",
        "_watches",
        "ended",
        "hub",
        "needs_leader",
    )

    def __init__(self, hub: WatchHub, on_ready: Callable[[], None], *, needs_leader: bool = False) -> None:
        self.hub = hub
        self.ended = ""
        self.needs_leader = needs_leader
        self._on_ready = on_ready
        self._watches: dict[int, Watch] = {}
        self._due: dict[Watch, None] = {}
        """Those for which there may be something."""
        self._said: list[Response] = []
        """What was answered to requests, and not taken."""
        self._told = False
        """Whether `on_ready` was called since the last `take`."""
        self._asked: dict[int, None] = {}
        """Watches that are to say how far they have come, or -1: all of them."""
        self._next_id = 0
        hub.streams[self] = None

    # --- what the client asks for ------------------------------------------------------------------------------

    def create(
        self,
        start: bytes,
        end: bytes = b"",
        revision: int = 0,
        *,
        watch_id: int = 0,
        prev_kv: bool = False,
        progress: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
        fragment: bool = False,
    ) -> None:
        """Follow [start, end) from `revision` on (0: from what comes next); ends as in a range, no `start` at all is
        the first key. `watch_id` 0: the stream chooses one."""
        hub = self.hub
        start = start or b"\0"
        refusal = self._refusal(start, end, revision, watch_id)
        if refusal:
            self._say(Response(INVALID_ID, hub.revision, created=True, canceled=True, cancel_reason=refusal))
            return
        if not hub.watches:
            hub.advance()
        group = hub.interests.group(start, end, hub.next_whole)
        watch = Watch(self, watch_id or self._free_id(), group, revision or hub.revision + 1)
        watch.prev_kv, watch.progress, watch.fragment = prev_kv, progress, fragment
        watch.no_put, watch.no_delete = no_put, no_delete
        group.watches[watch] = None
        self._watches[watch.id] = watch
        hub.watches += 1
        self._due[watch] = None
        self._say(Response(watch.id, hub.revision, created=True))

    def _refusal(self, start: bytes, end: bytes, revision: int, watch_id: int) -> str:
        if watch_id and (watch_id in self._watches or watch_id == INVALID_ID):
            return DUPLICATE_ID
        if end not in (b"", b"\0") and end <= start:
            return EMPTY_RANGE
        if revision < 0:
            return COMPACTED
        return TOO_MANY if self.hub.watches >= WATCHES_MAX else ""

    def _free_id(self) -> int:
        while self._next_id in self._watches:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def cancel(self, watch_id: int) -> None:
        """End one; nothing where there is none of that id."""
        watch = self._watches.get(watch_id)
        if watch is not None:
            self._drop(watch)
            self._say(Response(watch_id, self.hub.revision, canceled=True))

    def progress(self) -> None:
        """Say how far all watches have come, once they have: after all events until then."""
        if self._watches:
            self._asked[INVALID_ID] = None
            self._stir()

    def close(self) -> None:
        """The client is gone."""
        for watch in list(self._watches.values()):
            self._drop(watch)
        self._said.clear()
        self.hub.streams.pop(self, None)

    # --- what happens ------------------------------------------------------------------------------------------

    def stir(self, watch: Watch, revision: int) -> None:
        """There may be something for it from `revision` on, and nothing before that which it was not stirred for."""
        if self._watches.get(watch.id) is watch:
            if watch not in self._due:
                watch.next = max(watch.next, revision)
                self._due[watch] = None
            self._stir()

    def tick(self) -> None:
        """Time to tell those watches that asked for it, and were told nothing since the last time."""
        for watch in self._watches.values():
            if watch.progress:
                if watch.quiet:
                    self._asked[watch.id] = None
                watch.quiet = True
        if self._asked:
            self._stir()

    def end(self, reason: str) -> None:
        """No more will come."""
        self.ended = self.ended or reason
        self._stir()

    def _say(self, response: Response) -> None:
        self._said.append(response)
        self._stir()

    def _stir(self) -> None:
        if not self._told:
            self._told = True
            self._on_ready()

    def _drop(self, watch: Watch) -> None:
        del self._watches[watch.id]
        self._due.pop(watch, None)
        self._asked.pop(watch.id, None)
        group = watch.group
        del group.watches[watch]
        if not group.watches:
            self.hub.interests.drop(group)
        self.hub.watches -= 1
        if not self._watches:
            self._asked.clear()

    # --- what is taken -----------------------------------------------------------------------------------------

    @property
    def more(self) -> bool:
        """Whether there may be something to take at once."""
        return bool(self._said or self._due)

    def take(self, bytes_max: int, work_max: int = TAKE_WORK_MAX) -> list[Response]:
        """What comes next: of events about so many bytes, and one whole revision at least where there is one. It may
        be nothing although there is `more`."""
        self._told = False
        said, self._said = self._said, []
        budget = _Budget(bytes_max, work_max)
        while self._due and budget:
            watch = next(iter(self._due))
            del self._due[watch]
            if self._serve(watch, said, budget):
                self._due[watch] = None  # behind the others
        if self._asked:
            self._tell_progress(said)
        return said

    def _serve(self, watch: Watch, said: list[Response], budget: _Budget) -> bool:
        """Whether there is more for it."""
        hub, group = self.hub, watch.group
        events: list[Event] = []
        until = min(hub.revision, watch.next + RESPONSE_REVISIONS_MAX - 1)
        while watch.next <= until and budget:
            if watch.next >= group.since and watch.walk is None:
                self._from_recent(watch, until, events, budget)
            elif watch.next < hub.store.compact_revision:
                self._answer(watch, events, said)
                self._drop(watch)
                said.append(Response(watch.id, 0, canceled=True, compact_revision=hub.store.compact_revision))
                return False
            else:
                self._from_history(watch, events, budget)
        self._answer(watch, events, said)
        watch.was_synced = watch.next > hub.revision
        return not watch.was_synced

    def _from_recent(self, watch: Watch, until: int, events: list[Event], budget: _Budget) -> None:
        recent = watch.group.recent or ()
        for at in range(watch.group.after(watch.next - 1), len(recent)):
            revision, changed = recent[at]
            if revision > until:
                break
            if not budget:
                return
            for event in changed:
                self._take(watch, event, events, budget)
            watch.next = revision + 1
        watch.next = until + 1

    def _take(self, watch: Watch, event: Event, events: list[Event], budget: _Budget) -> None:
        budget.work -= 1
        if watch.wants(event):
            events.append(event)
            budget.bytes -= event.size_bytes
            if watch.prev_kv:
                event.load_previous(self.hub.store)
                budget.work -= LOOK_UNITS

    def _from_history(self, watch: Watch, events: list[Event], budget: _Budget) -> None:
        """Look at a part of the revision `next`; its events are told once all of them are there."""
        store, revision, group = self.hub.store, watch.next, watch.group
        if watch.was_synced:
            watch.was_synced = False
            self.hub.fell_behind += 1
        if watch.walk is None:
            watch.walk, watch.partial = distinct(store.changed(revision)), []
            budget.work -= 1
        partial = watch.partial or []
        for key in watch.walk:
            budget.work -= 1
            if group.contains(key):
                budget.work -= LOOK_UNITS
                self._take(watch, event_of(store, key, revision), partial, budget)
            if budget.work <= 0:
                watch.partial = partial
                return
        events += partial
        watch.walk = watch.partial = None
        watch.next = revision + 1

    def _answer(self, watch: Watch, events: list[Event], said: list[Response]) -> None:
        if not events:
            return
        watch.quiet = False
        self.hub.events_sent += len(events)
        pieces = _fragments(events) if watch.fragment else [events]
        for at, piece in enumerate(pieces, 1):
            fragment = at < len(pieces)
            told = Response(watch.id, watch.next - 1, piece, fragment=fragment, with_previous=watch.prev_kv)
            said.append(told)

    def _tell_progress(self, said: list[Response]) -> None:
        """Only after all that came before: a client drops what is not later than what progress told."""
        revision = self.hub.revision
        if INVALID_ID in self._asked:
            if not all(map(self._is_synced, self._watches.values())):
                return
            said.append(Response(INVALID_ID, revision))
        for watch_id in self._asked:
            watch = self._watches.get(watch_id)
            if watch is not None and self._is_synced(watch):
                said.append(Response(watch_id, revision))
        self._asked.clear()

    def _is_synced(self, watch: Watch) -> bool:
        """Whether it was told all that there is; passed over what it does not want is told, too."""
        revision, group = self.hub.revision, watch.group
        if watch.next > revision:
            return True
        if watch in self._due or watch.walk is not None or watch.next < group.since:
            return False
        recent = group.recent or ()
        at = group.after(watch.next - 1)
        if at < len(recent) and recent[at][0] <= revision:
            return False
        watch.next = revision + 1
        return True


def _fragments(events: Sequence[Event]) -> list[Sequence[Event]]:
    """In pieces that are not too long, unless one event is."""
    pieces: list[Sequence[Event]] = []
    begin = size = 0
    for at, event in enumerate(events):
        event_bytes = event.size_bytes + (len(event.previous.value) if event.previous is not None else 0)
        if size and size + event_bytes > FRAGMENT_BYTES_MAX:
            pieces.append(events[begin:at])
            begin, size = at, 0
        size += event_bytes
    pieces.append(events[begin:])
    return pieces
