"""One watch of a client: a position in the revisions, and how what comes next is found.

Why it exists: what a watch has not taken is not stored for it. It is looked up when it is taken, in the recent events
of its group or, further back, in the history. It must not know what a client is answered.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from node.watching.events import Event, distinct, event_of
from node.watching.interest import Group

if TYPE_CHECKING:
    from node.watching.stream import WatchStream

FRAGMENT_BYTES_MAX = 2 * 1024 * 1024
"""A longer response is told in several, where the client takes fragments: etcd's 1.5 MiB, and half a one beside."""

LOOK_UNITS = 3
"""What an event costs that is made from the history."""


class Budget:
    """What one `take` may still tell, and do."""

    __slots__ = ("bytes", "work")

    def __init__(self, bytes_max: int, work_max: int) -> None:
        self.bytes = bytes_max
        self.work = work_max

    def __bool__(self) -> bool:
        return self.bytes > 0 and self.work > 0


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

    def from_recent(self, until: int, events: list[Event], budget: Budget) -> None:
        """Take what the group still has, until that revision."""
        recent = self.group.recent or ()
        for at in range(self.group.after(self.next - 1), len(recent)):
            revision, changed = recent[at]
            if revision > until:
                break
            if not budget:
                return
            for event in changed:
                self._take(event, events, budget)
            self.next = revision + 1
        self.next = until + 1

    def _take(self, event: Event, events: list[Event], budget: Budget) -> None:
        budget.work -= 1
        if self.wants(event):
            events.append(event)
            budget.bytes -= event.size_bytes
            if self.prev_kv:
                event.load_previous(self.stream.hub.store)
                budget.work -= LOOK_UNITS

    def from_history(self, events: list[Event], budget: Budget) -> None:
        """Look at a part of the revision `next`; its events are told once all of them are there."""
        store, revision, group = self.stream.hub.store, self.next, self.group
        if self.was_synced:
            self.was_synced = False
            self.stream.hub.fell_behind += 1
        if self.walk is None:
            self.walk, self.partial = distinct(store.changed(revision)), []
            budget.work -= 1
        partial = self.partial or []
        for key in self.walk:
            budget.work -= 1
            if group.contains(key):
                budget.work -= LOOK_UNITS
                self._take(event_of(store, key, revision), partial, budget)
            if budget.work <= 0:
                self.partial = partial
                return
        events += partial
        self.walk = self.partial = None
        self.next = revision + 1

    def is_synced(self) -> bool:
        """Whether it was told all that there is. What it does not want is passed over."""
        revision, group = self.stream.hub.revision, self.group
        if self.next > revision:
            return True
        if self.walk is not None or self.next < group.since:
            return False
        recent = group.recent or ()
        at = group.after(self.next - 1)
        if at < len(recent) and recent[at][0] <= revision:
            return False
        self.next = revision + 1
        return True


def fragments(events: Sequence[Event]) -> list[Sequence[Event]]:
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
