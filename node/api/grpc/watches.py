"""One client's watches over gRPC: what its stream has to say goes out as the client takes it.

Why it exists: it joins a stream of `node.watching` with a call, without a task. What one event brings is mostly said at
once; what is more is said in slices, one for all of the node in a turn. It must not know what is watched.
"""

import asyncio
from collections.abc import Callable

from node.api.etcd.calls import Header
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import Message
from node.api.etcd.watch_calls import WatchCalls
from node.api.grpc import news
from node.api.grpc.methods import Call
from node.api.slices import SLICE_WORK_MAX, SMALL_WORK_MAX, Slices
from node.api.streaming import PIECE_BYTES

ASKED_MAX = 1_000
"""Messages that a client may send while it takes no answers."""

UNTAKEN = EtcdError(Code.RESOURCE_EXHAUSTED, "etcdserver: the answers of this stream are not taken")


class WatchedCall:
    """A `StreamHandler`."""

    def __init__(self, call: Call, watches: WatchCalls, header: Callable[[int], Header], slices: Slices) -> None:
        self._call = call
        self._watches = watches
        self._header = header
        self._slices = slices
        self._room = True
        self._asked = 0
        self._scheduled = self._ended = False
        self._stream = watches.open(self._ready, needs_leader=call.needs_leader)

    def message(self, message: Message) -> None:
        """See `StreamHandler`."""
        if not self._room:
            self._asked += 1
            if self._asked > ASKED_MAX:
                raise UNTAKEN
        self._watches.ask(self._stream, message)

    def half_closed(self) -> None:
        """See `StreamHandler`."""
        self.gone()
        self._call.end()

    def drained(self) -> None:
        """See `StreamHandler`."""
        self._room, self._asked = True, 0
        self._ready()

    def gone(self) -> None:
        """See `StreamHandler`."""
        self._ended = True
        self._stream.close()

    def _ready(self) -> None:
        if not (self._scheduled or self._ended) and self._room:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        if self._slices.may_begin():
            self._say(SMALL_WORK_MAX)
        else:
            self._slices.call_next(self._slice)

    def _slice(self) -> None:
        self._say(SLICE_WORK_MAX)

    def _say(self, work_max: int) -> None:
        self._scheduled = False
        stream = self._stream
        responses = () if self._ended else stream.take(PIECE_BYTES, work_max)
        if responses:  # one frame for all of them: ten watches of a stream often want the same event
            self._room = self._call.send(*(news.watched(each, self._header(each.revision)) for each in responses))
        if self._ended:
            return
        if stream.ended:
            self.gone()
            self._call.end(EtcdError(Code.UNAVAILABLE, stream.ended))
        elif stream.more and self._room:
            self._scheduled = True
            self._slices.call_next(self._slice)
