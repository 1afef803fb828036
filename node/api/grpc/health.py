"""gRPC's own health service (`grpc.health.v1`): whether this node serves, once or whenever that changes.

Why it exists: load balancers and Kubernetes ask for it. It says what `/readyz` says. It must not decide what that is.
"""

import asyncio
from collections.abc import Callable, Collection

from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import Message
from node.api.grpc import answers
from node.api.grpc.methods import Call, Methods, PlainMethod, StreamMethod

LOOK_SECONDS = 1.0
"""Between two looks for those who watch."""

_REQUEST = "HealthCheckRequest"


class Health:
    """`services`: their names, as `etcdserverpb.KV`; the empty one is the whole node."""

    def __init__(self, ready: Callable[[], bool], services: Collection[str]) -> None:
        self._ready = ready
        self._services = {"", *services}
        self._watching: dict[_Watcher, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def methods(self) -> Methods:
        """The service."""
        return {
            "/grpc.health.v1.Health/Check": PlainMethod(_REQUEST, self.check, answers.health),
            "/grpc.health.v1.Health/Watch": StreamMethod(_REQUEST, lambda call: _Watcher(call, self)),
        }

    async def check(self, message: Message, _message_bytes: int) -> str:
        """The status of a service."""
        if message.get("service", "") not in self._services:
            raise EtcdError(Code.NOT_FOUND, "unknown service")
        return self.now(message)

    def now(self, message: Message) -> str:
        """The same, where a service that is unknown has a status, too."""
        if message.get("service", "") not in self._services:
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._ready() else "NOT_SERVING"

    def begin(self, watcher: "_Watcher") -> None:
        """Tell it of changes."""
        self._watching[watcher] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def end(self, watcher: "_Watcher") -> None:
        """No more."""
        self._watching.pop(watcher, None)

    def _look(self) -> None:
        self._timer = None
        for watcher in list(self._watching):
            watcher.tell()
        if self._watching:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


class _Watcher:
    """A `StreamHandler`."""

    def __init__(self, call: Call, health: Health) -> None:
        self._call, self._health = call, health
        self._asked: Message | None = None
        self._told = ""

    def message(self, message: Message) -> None:
        """See `StreamHandler`."""
        if self._asked is not None:
            raise EtcdError(Code.INTERNAL, "grpc: this method takes one message")
        self._asked = message
        self.tell()
        self._health.begin(self)

    def tell(self) -> None:
        """Say it, if it is another than was said last."""
        if self._asked is not None:
            now = self._health.now(self._asked)
            if now != self._told:
                self._told = now
                self._call.send(answers.health(now))

    def half_closed(self) -> None:
        """See `StreamHandler`."""

    def drained(self) -> None:
        """See `StreamHandler`."""

    def gone(self) -> None:
        """See `StreamHandler`."""
        self._health.end(self)
