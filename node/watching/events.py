"""What a watcher is told: events, and the responses that carry them.

Why it exists: an event is made once and encoded once, for all who want it, so it has room for what doors made of it. It
must not know what an encoding looks like.
"""

from collections.abc import Iterable, Iterator, Sequence

from node.statemachine.writes import KeyValue
from node.watching.port import WatchedStore

EVENT_BYTES = 200
"""What an event takes beside its key and value, about."""


class Event:
    """What one revision did to one key. `kv`: the version that it wrote, or of a delete only key and revision. The
    other slots are for doors: what they made of it, without and with the version before."""

    __slots__ = (
        "_previous",
        "is_delete",
        "json",
        "json_with_previous",
        "kv",
        "protobuf",
        "protobuf_with_previous",
        "text",
    )

    def __init__(self, kv: KeyValue, *, is_delete: bool) -> None:
        self.kv = kv
        self.is_delete = is_delete
        self._previous: KeyValue | bool | None = False
        self.json: bytes | None = None
        self.json_with_previous: bytes | None = None
        self.protobuf: bytes | None = None
        self.protobuf_with_previous: bytes | None = None
        self.text: bytes | None = None

    def load_previous(self, store: WatchedStore) -> None:
        """Look up what lived before it, unless that was done; what is compacted is left out."""
        if self._previous is False:
            before = self.kv.mod_revision - 1
            gone = before < store.compact_revision
            self._previous = None if gone else store.version(self.kv.key, before)

    @property
    def previous(self) -> KeyValue | None:
        """What lived before it, once it was loaded."""
        return self._previous if isinstance(self._previous, KeyValue) else None

    @property
    def size_bytes(self) -> int:
        """About what it takes, without and with an encoding."""
        return EVENT_BYTES + len(self.kv.key) + len(self.kv.value)


def event_of(store: WatchedStore, key: bytes, revision: int) -> Event:
    """What `revision`, which is kept, did to `key`, which it changed."""
    kv = store.version(key, revision)
    return Event(kv or KeyValue(key, b"", 0, revision, 0), is_delete=kv is None)


def distinct(keys: Sequence[bytes]) -> Iterator[bytes]:
    """Keys in order, each once."""
    return iter(keys) if len(keys) < 2 else _distinct(keys)


def _distinct(keys: Iterable[bytes]) -> Iterator[bytes]:
    seen = set[bytes]()
    for key in keys:
        if key not in seen:
            seen.add(key)
            yield key


class Response:
    """One message to a client, as etcd's WatchResponse. `revision` is the header's: all of this watch until then was
    told; 0: none is said. `with_previous`: the client wants the versions before, which are loaded."""

    __slots__ = (
        "cancel_reason",
        "canceled",
        "compact_revision",
        "created",
        "events",
        "fragment",
        "revision",
        "watch_id",
        "with_previous",
    )

    def __init__(
        self,
        watch_id: int,
        revision: int,
        events: Sequence[Event] = (),
        *,
        created: bool = False,
        canceled: bool = False,
        compact_revision: int = 0,
        cancel_reason: str = "",
        fragment: bool = False,
        with_previous: bool = False,
    ) -> None:
        self.watch_id = watch_id
        self.revision = revision
        self.events = events
        self.created = created
        self.canceled = canceled
        self.compact_revision = compact_revision
        self.cancel_reason = cancel_reason
        self.fragment = fragment
        self.with_previous = with_previous
