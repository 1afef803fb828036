"""The gRPC door: which method a request means, whether it may be asked for now, and who serves it.

Why it exists: one place between HTTP/2's streams and the table of methods. What it finds out of a request's head is
kept with that head, which most requests share. It must not know what a method does.

No `Host` rule stands here as before HTTP/1.1: no web page can make a browser begin HTTP/2 without TLS, and gRPC's
clients name whatever their resolver does. A request that says it is a page's is refused all the same.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from node.access.entrance import Access, Refusal, bearer
from node.access.principals import Claimant, Principal
from node.access.table import need_of_method
from node.api.etcd.calls import Header
from node.api.etcd.errors import Code, EtcdError
from node.api.gate import Gate
from node.api.grpc import status
from node.api.grpc.methods import Method, Methods, StreamMethod
from node.api.grpc.streaming import StreamCall
from node.api.grpc.unary import TOO_MANY, UnaryCall
from node.api.http2.counts import Counts
from node.api.http2.fields import Head
from node.api.http2.stream import Receiver, Stream
from node.api.outage import MESSAGE
from node.api.slices import Slices
from node.tracing.context import HEADER

PATH_CHARS_QUOTED = 256

NO_LEADER = EtcdError(Code.UNAVAILABLE, "etcdserver: no leader")
_FAILING = EtcdError(Code.UNAVAILABLE, MESSAGE)


class Now(NamedTuple):
    """What a door asks of its node. `leaderless`: whether there has been no leader for so long that streams end that
    want one. `request_timeout_us`: how long a request may wait that names no time."""

    header: Callable[[int], Header]
    has_leader: Callable[[], bool]
    leaderless: Callable[[], bool]
    failing: Callable[[], bool]
    request_timeout_us: int


_TRACEPARENT = HEADER.encode()


class _Route(NamedTuple):
    """What a head means. `method` None: `error`, or with `http_status` a sentence for who does not speak gRPC."""

    method: Method | None
    path: str = ""
    timeout_us: int | None = None
    needs_leader: bool = False
    error: EtcdError | None = None
    http_status: int = 0
    words: str = ""
    credential: str | None = None
    principal: Principal | None = None
    """Who that was found to be, when `Access.version` was `version`."""
    version: int = -1
    traceparent: str = ""


class GrpcDoor:
    """`Serving.serve` of HTTP/2. `gate` None: all tasks begin at once. `access` None: everything is open."""

    def __init__(
        self, now: Now, slices: Slices, counts: Counts, gate: Gate | None, access: Access | None = None
    ) -> None:
        self.counts = counts
        self.slices = slices
        self.header = now.header
        self._methods: Methods = {}
        self._services: set[str] = set()
        self._now = now
        self._gate = gate
        self._access = access or Access()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, methods: Methods) -> None:
        """Speak these, too; before anybody asks."""
        self._methods |= methods
        self._services |= {path.rpartition("/")[0] for path in methods}

    @property
    def methods(self) -> set[str]:
        """Paths of what is spoken."""
        return set(self._methods)

    def serve(self, stream: Stream, head: Head) -> Receiver | None:
        """Who serves that request; None: it was answered."""
        route = head.route
        if not isinstance(route, _Route):
            route = head.route = self._find(head)
        if route.method is None:
            if route.error is None:
                return _Refused(stream, route.http_status, route.words)
            stream.end(status.only_trailers(route.error))
            return None
        if stream.share.exceeded:
            stream.share.refused()
            stream.end(status.only_trailers(TOO_MANY))
            return None
        try:
            principal = self._enter(head, route)
        except Refusal as refusal:
            code = Code.PERMISSION_DENIED if refusal.known else Code.UNAUTHENTICATED
            stream.end(status.only_trailers(EtcdError(code, refusal.message)))
            return None
        told = self._access.told(principal, need_of_method(route.path), route.path)
        if isinstance(route.method, StreamMethod):
            call = StreamCall(self, stream, route.method, route.timeout_us, route.needs_leader, principal, told)
            call.over = self._access.hold(principal, route.credential, need_of_method(route.path), call.revoke)
            return call
        return UnaryCall(
            self, stream, route.method, route.timeout_us, route.needs_leader, principal, route.traceparent, told
        )

    # --- what a call needs -----------------------------------------------------------------------------------

    def refusal(self, needs_leader: bool) -> EtcdError | None:
        """Why nothing is begun now."""
        if self._now.failing():
            return _FAILING
        return NO_LEADER if needs_leader and not self._now.has_leader() else None

    def stream_refusal(self, needs_leader: bool) -> EtcdError | None:
        """Why no stream is opened now. What those that are open outlast, a new one does: whoever watched through a node
        that died comes here amid the election, and for etcd's clients a watch that is told "no leader" is over."""
        return self.refusal(needs_leader and self._now.leaderless())

    def wait_us(self, timeout_us: int | None) -> int | None:
        """How long it may take in the node, which has a limit of its own; None: that."""
        if timeout_us is None or timeout_us >= self._now.request_timeout_us:
            return None
        return timeout_us

    def spawn(self, work: Coroutine[Any, Any, None], whose: str) -> asyncio.Task[None]:
        """Do it in a task, when it is its client's turn at the gate."""
        gated = work if self._gate is None else self._gate.handle(work, whose)
        task = asyncio.get_running_loop().create_task(gated, name="a call of gRPC")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what a head means -----------------------------------------------------------------------------------

    def _enter(self, head: Head, route: _Route) -> Principal:
        """Who asks; found once for all requests with this head. Raises `Refusal`."""
        version = self._access.version
        if route.principal is not None and route.version == version:
            return route.principal
        need = need_of_method(route.path)
        principal = self._access.enter(route.credential, need, route.path, judges_users=True)
        if not isinstance(principal, Claimant) or principal.name or not route.credential:
            head.route = route._replace(principal=principal, version=version)  # else who that is may be known soon
        return principal

    def _find(self, head: Head) -> _Route:
        fields = head.fields
        if b"origin" in fields:
            return _Route(None, http_status=403, words="pages may not use gRPC of this node")
        kind = fields.get(b"content-type", b"")
        if not (kind == b"application/grpc" or kind.startswith((b"application/grpc+proto", b"application/grpc;"))):
            return _Route(None, http_status=415, words="over HTTP/2 this port speaks gRPC; all else is HTTP/1.1's")
        if head.method != b"POST":
            return _Route(None, http_status=405, words="a call of gRPC is a POST")
        path = head.path.decode("latin-1")
        method = self._methods.get(path)
        if method is None:
            return _Route(None, error=self._unknown(path))
        try:
            timeout_us = status.timeout_us(fields.get(b"grpc-timeout"))
        except EtcdError as error:
            return _Route(None, error=error)
        needs_leader = fields.get(b"hasleader") == b"true"
        traceparent = fields.get(_TRACEPARENT, b"").decode("latin-1")
        return _Route(method, path, timeout_us, needs_leader, credential=_credential(fields), traceparent=traceparent)

    def _unknown(self, path: str) -> EtcdError:
        """In grpc-go's words."""
        service, slash, method = path[1:].rpartition("/")
        if not slash:
            return EtcdError(Code.UNIMPLEMENTED, f'malformed method name: "{path[:PATH_CHARS_QUOTED]}"')
        if f"/{service}" in self._services:
            return EtcdError(Code.UNIMPLEMENTED, f"unknown method {method} for service {service}")
        return EtcdError(Code.UNIMPLEMENTED, f"unknown service {service}")


def _credential(fields: Mapping[bytes, bytes]) -> str | None:
    """Of a request's metadata: as everybody sends it, or as etcd's clients do; None: nothing."""
    found = fields.get(b"authorization") or fields.get(b"token")
    return None if found is None else bearer(found.decode("latin-1"))


class _Refused:
    """A `Receiver` of what is no call of gRPC: its body is passed over, then it gets a sentence."""

    endless = patient = False

    def __init__(self, stream: Stream, http_status: int, words: str) -> None:
        self._stream, self._status, self._words = stream, http_status, words

    def data(self, _piece: bytes) -> None:
        """See `Receiver`."""

    def whole(self) -> None:
        """See `Receiver`."""
        self._stream.begin(status.plain(self._status))
        self._stream.end_with(f"{self._words}\n".encode())

    def drained(self) -> None:
        """See `Receiver`."""

    def stop(self) -> None:
        """See `Receiver`."""

    def gone(self) -> None:
        """See `Receiver`."""
