"""One client's watches, and what it is to be told next, as etcd has them.

Why it exists: a client may watch many ranges over one stream, and takes answers at its own pace. A watch is a position
in the revisions: what comes next is found when it is taken, in the group's recent events or, further back, in the
history. So nothing is stored for a client that does not read. It must not know how answers travel; whoever carries
them calls `take` after `on_ready`, until `more` is False.
"""

from collections import OrderedDict
from collections.abc import Callable

from node.watching.events import Event, Response
from node.watching.hub import WatchHub
from node.watching.interest import Shape, shape_of
from node.watching.shares import EXHAUSTED
from node.watching.watch import Budget, Watch, fragments

TAKE_WORK_MAX = 1_000
"""Keys of the history that are looked at, and events that are made, in one `take`; 1 to 2 ms."""

SAID_AT_ONCE_MAX = 256
"""Answers to requests in one `take`, some 3 µs each to write."""

RESPONSE_REVISIONS_MAX = 1_000
"""Revisions in one response, as in etcd."""

INVALID_ID = -1
DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"
EMPTY_RANGE = "mvcc: watcher range is empty"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class WatchStream:
    """`on_ready` is called when there is something to take, once until it is taken. `ended`: why no more will come,
    else empty. Call `close` when the client is gone. `needs_leader`: end where there is no leader for too long.
    `whose`: as a door names its client. `reason_to_end`: asked before anything is told, why no more may be; empty: it
    may. None: it always may."""

    __slots__ = (
        "_asked",
        "_due",
        "_next_id",
        "_on_ready",
        "_reason_to_end",
        "_said",
        "_told",
        "_watches",
        "ended",
        "hub",
        "needs_leader",
        "whose",
    )

    def __init__(
        self,
        hub: WatchHub,
        on_ready: Callable[[], None],
        *,
        needs_leader: bool = False,
        whose: str = "",
        reason_to_end: Callable[[], str] | None = None,
    ) -> None:
        self.hub = hub
        self.ended = ""
        self.needs_leader = needs_leader
        self.whose = whose
        self._on_ready = on_ready
        self._reason_to_end = reason_to_end
        self._watches: dict[int, Watch] = {}
        self._due: OrderedDict[Watch, None] = OrderedDict()
        """Those for which there may be something: of very many of a dictionary, to find the first takes long."""
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
        shape = shape_of(start, end)
        refusal = self._refusal(start, end, revision, watch_id, shape)
        if refusal:
            self.refuse(refusal)
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
        hub.shares.take(self.whose, shape)
        self._due[watch] = None
        self._say(Response(watch.id, hub.revision, created=True))

    def refuse(self, reason: str) -> None:
        """Say that a watch which was asked for is none, and why."""
        self._say(Response(INVALID_ID, self.hub.revision, created=True, canceled=True, cancel_reason=reason))

    def _refusal(self, start: bytes, end: bytes, revision: int, watch_id: int, shape: Shape) -> str:
        if watch_id and (watch_id in self._watches or watch_id == INVALID_ID):
            return DUPLICATE_ID
        if end not in (b"", b"\0") and end <= start:
            return EMPTY_RANGE
        if revision < 0:
            return COMPACTED
        exhausted = self.hub.shares.refusal(self.whose, shape, self.hub.watches)
        return exhausted and EXHAUSTED + exhausted

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
        self.hub.shares.give_back(self.whose, shape_of(group.start, group.end))
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
        reason = "" if self._reason_to_end is None else self._reason_to_end()
        if reason:
            self.ended = reason
            self.close()
            return []
        said, self._said = self._said[:SAID_AT_ONCE_MAX], self._said[SAID_AT_ONCE_MAX:]
        budget = Budget(bytes_max, work_max)
        if self._said:
            return said  # what comes later is told later
        while self._due and budget:
            watch, _ = self._due.popitem(last=False)
            if self._serve(watch, said, budget):
                self._due[watch] = None  # behind the others
        if self._asked:
            self._tell_progress(said)
        return said

    def _serve(self, watch: Watch, said: list[Response], budget: Budget) -> bool:
        """Whether there is more for it."""
        hub, group = self.hub, watch.group
        events: list[Event] = []
        until = min(hub.revision, watch.next + RESPONSE_REVISIONS_MAX - 1)
        while watch.next <= until and budget:
            if watch.next >= group.since and watch.walk is None:
                watch.from_recent(until, events, budget)
            elif watch.next < hub.store.compact_revision:
                self._answer(watch, events, said)
                self._drop(watch)
                said.append(Response(watch.id, 0, canceled=True, compact_revision=hub.store.compact_revision))
                return False
            else:
                watch.from_history(events, budget)
        self._answer(watch, events, said)
        watch.was_synced = watch.next > hub.revision
        return not watch.was_synced

    def _answer(self, watch: Watch, events: list[Event], said: list[Response]) -> None:
        if not events:
            return
        watch.quiet = False
        self.hub.events_sent += len(events)
        pieces = fragments(events) if watch.fragment else [events]
        for at, piece in enumerate(pieces, 1):
            fragment = at < len(pieces)
            told = Response(watch.id, watch.next - 1, piece, fragment=fragment, with_previous=watch.prev_kv)
            said.append(told)

    def _tell_progress(self, said: list[Response]) -> None:
        """Only after all that came before: a client drops what is not later than what progress told."""
        revision = self.hub.revision
        if INVALID_ID in self._asked:
            if not all(each.is_synced() for each in self._watches.values()):
                return
            said.append(Response(INVALID_ID, revision))
        for watch_id in self._asked:
            watch = self._watches.get(watch_id)
            if watch is not None and watch.is_synced():
                said.append(Response(watch_id, revision))
        self._asked.clear()
