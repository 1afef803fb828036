"""Etcd's Watch service: what a client's messages mean to its stream of watches, whatever they came in.

Why it exists: JSON and gRPC ask for the same. What a stream answers is `node.watching`'s; here is what is asked. It
must not know JSON, HTTP or a protocol's bytes.
"""

from collections.abc import Callable

from node.addresses import ASKING
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import ENUMS, Message
from node.api.etcd.users import Users
from node.runtime.ports import NodeHandle
from node.watching.hub import NO_LEADER, WatchHub
from node.watching.stream import WatchStream

_NOPUT, _NODELETE = ENUMS["FilterType"]["NOPUT"], ENUMS["FilterType"]["NODELETE"]


class WatchCalls:
    """Makes streams, and tells them what their clients ask for."""

    def __init__(self, handle: NodeHandle, hub: WatchHub, users: Users) -> None:
        self._handle = handle
        self._users = users
        self._hub = hub

    def open(self, on_ready: Callable[[], None], *, needs_leader: bool = False) -> WatchStream:
        """A client's stream. `needs_leader`: it asked for one (`hasleader`); raises `EtcdError` where there is none."""
        if needs_leader and not self._handle.status().core.leader:
            raise EtcdError(Code.UNAVAILABLE, NO_LEADER)
        may_end = self._users.end_of_anybody()
        return WatchStream(self._hub, on_ready, needs_leader=needs_leader, whose=ASKING.get(), reason_to_end=may_end)

    def ask(self, stream: WatchStream, message: Message) -> None:
        """A WatchRequest; one that asks for nothing says nothing, as in etcd."""
        create, cancel = message.get("create_request"), message.get("cancel_request")
        if create is not None:
            filters, key, end = create.get("filters", ()), create.get("key", b""), create.get("range_end", b"")
            start = create.get("start_revision", 0)
            refusal = "" if start < 0 else self._users.may_not_watch(key or b"\0", end)
            if refusal:
                stream.refuse(refusal)
                return
            stream.create(
                key,
                end,
                start,
                watch_id=create.get("watch_id", 0),
                prev_kv=create.get("prev_kv", False),
                progress=create.get("progress_notify", False),
                no_put=_NOPUT in filters,
                no_delete=_NODELETE in filters,
                fragment=create.get("fragment", False),
            )
        elif cancel is not None:
            stream.cancel(cancel.get("watch_id", 0))
        elif message.get("progress_request") is not None:
            stream.progress()
