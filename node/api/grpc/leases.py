"""Etcd's Lease service over gRPC: calls, and the stream of keep-alives.

Why it exists: as `services`, for leases. A keep-alive is a write; it is told without a task, as the hot calls of keys
are. It must not know what a lease is.
"""

from node.access.principals import CURRENT
from node.api.etcd.calls import EtcdCalls
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.lease_calls import LeaseCalls
from node.api.etcd.refusals import refused
from node.api.etcd.schema import Message
from node.api.grpc import news
from node.api.grpc.answers import header_bytes
from node.api.grpc.methods import Call, Methods, PlainMethod, StreamMethod
from node.api.grpc.quick import Submitter
from node.api.grpc.unary import TOO_MANY
from node.api.slices import Slices
from node.runtime.ports import Outcome, ReadFailed
from node.statemachine.writes import LeaseKeepAlive, LeaseKept, Refused, encode_write

UNDER_WAY_MAX = 1_000
"""Keep-alives of one stream that are not answered yet, or whose answers are not taken."""


class KeptAlive:
    """A `StreamHandler`: an answer for each message."""

    def __init__(self, call: Call, calls: EtcdCalls, node: Submitter) -> None:
        self._call, self._calls, self._node = call, calls, node
        self._under_way = self._untaken = 0
        self._half_closed = self._ended = False
        self._principal = CURRENT.get()

    def message(self, message: Message) -> None:
        """See `StreamHandler`."""
        if self._under_way + self._untaken >= UNDER_WAY_MAX:
            raise EtcdError(Code.RESOURCE_EXHAUSTED, "etcdserver: too many keep-alives of this stream are under way")
        share = self._call.share
        if share.exceeded:
            share.refused()
            raise TOO_MANY
        write = encode_write(LeaseKeepAlive(message.get("ID", 0)))
        marked = self._calls.users.marked_now(write, self._principal)
        self._under_way += 1
        share.requests += 1
        share.under_way += 1
        if marked is not None:
            self._node.submit_write(marked, None, self._answer)
        else:
            self._node.submit_read(None, lambda failed: self._later(write, failed))

    def _later(self, write: bytes, failed: ReadFailed | None) -> None:
        """This node knows now what was known anywhere, whose token that is, too."""
        if self._ended:
            self._done()
            return
        try:
            self._calls.check_barrier(failed)
            marked = self._calls.users.marked_known(write, self._principal)
        except EtcdError as error:
            self._done()
            self._end(error)
            return
        self._node.submit_write(marked, None, self._answer)

    def _done(self) -> None:
        self._under_way -= 1
        self._call.share.requests -= 1
        self._call.share.done()

    def half_closed(self) -> None:
        """See `StreamHandler`."""
        self._half_closed = True
        if not self._under_way:
            self._end()

    def drained(self) -> None:
        """See `StreamHandler`."""
        self._untaken = 0

    def gone(self) -> None:
        """See `StreamHandler`."""
        self._ended = True

    def _answer(self, outcome: Outcome) -> None:
        self._done()
        if self._ended:
            return
        try:
            kept = self._calls.result_of(outcome)
            if isinstance(kept, Refused):
                raise refused(kept)
        except EtcdError as error:
            self._end(error)
            return
        if not isinstance(kept, LeaseKept):
            self._end(EtcdError(Code.INTERNAL, "etcdserver: this is no answer to a keep-alive"))
            return
        if not self._call.send(news.kept(kept, self._calls.header(kept.revision))):
            self._untaken += 1
        if self._half_closed and not self._under_way:
            self._end()

    def _end(self, error: EtcdError | None = None) -> None:
        if not self._ended:
            self._ended = True
            self._call.end(error)


def leases(found: LeaseCalls, calls: EtcdCalls, node: Submitter, slices: Slices) -> Methods:
    """The Lease service."""

    async def time_to_live(message: Message, size: int) -> bytes:
        answer = await found.time_to_live(message, size)
        return await slices.finish(news.time_to_live(answer, calls.header(answer.revision)))

    async def listed(message: Message, size: int) -> bytes:
        answer = await found.leases(message, size)
        return await slices.finish(news.leases(answer, calls.header(answer.revision)))

    async def granted(message: Message, size: int) -> bytes:
        answer = await found.grant(message, size)
        return news.granted(answer, calls.header(answer.revision))

    async def revoked(message: Message, size: int) -> bytes:
        return header_bytes(calls.header((await found.revoke(message, size)).revision))

    service = "/etcdserverpb.Lease/"
    return {
        f"{service}LeaseGrant": PlainMethod("LeaseGrantRequest", granted, bytes),
        f"{service}LeaseRevoke": PlainMethod("LeaseRevokeRequest", revoked, bytes),
        f"{service}LeaseKeepAlive": StreamMethod("LeaseKeepAliveRequest", lambda call: KeptAlive(call, calls, node)),
        f"{service}LeaseTimeToLive": PlainMethod("LeaseTimeToLiveRequest", time_to_live, bytes),
        f"{service}LeaseLeases": PlainMethod("LeaseLeasesRequest", listed, bytes),
    }
