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
TOLD_PER_TURN_MAX = 64
"""Told in one turn of the loop: everybody may watch, and all are told of the same change."""

_REQUEST = "HealthCheckRequest"


class Health:
    """`services`: their names, as `etcdserverpb.KV`; the empty one is the whole node."""

    def __init__(self, ready: Callable[[], bool], services: Collection[str]) -> None:
        self._ready = ready
        self._services = {"", *services}
        self._serving: bool | None = None
        """As was seen last; None: not yet."""
        self._watching: dict[_Watcher, None] = {}
        self._untold: dict[_Watcher, None] = {}
        """Who has not been told of the last change."""
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
        self._see()
        return self.known(message)

    def known(self, message: Message) -> str:
        """The same as it was seen last: to see it anew costs some 30 µs."""
        if message.get("service", "") not in self._services:
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._serving else "NOT_SERVING"

    def begin(self, watcher: "_Watcher") -> None:
        """Tell it of changes."""
        self._watching[watcher] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def end(self, watcher: "_Watcher") -> None:
        """No more."""
        self._watching.pop(watcher, None)
        self._untold.pop(watcher, None)

    def _look(self) -> None:
        self._timer = None
        if self._watching:
            self._see()
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _see(self) -> None:
        """Look once for all; whoever watches is told where it is another than before."""
        serving = self._ready()
        if serving == self._serving:
            return
        self._serving = serving
        telling = bool(self._untold)
        self._untold = dict.fromkeys(self._watching)
        if not telling:
            self._tell_some()

    def _tell_some(self) -> None:
        for _ in range(min(TOLD_PER_TURN_MAX, len(self._untold))):
            watcher = next(iter(self._untold))
            del self._untold[watcher]
            watcher.tell(self.known(watcher.asked))
        if self._untold:
            asyncio.get_running_loop().call_soon(self._tell_some)


class _Watcher:
    """A `StreamHandler`."""

    def __init__(self, call: Call, health: Health) -> None:
        self._call, self._health = call, health
        self.asked: Message = {}
        self._told = ""

    def message(self, message: Message) -> None:
        """See `StreamHandler`."""
        if self._told:
            raise EtcdError(Code.INTERNAL, "grpc: this method takes one message")
        self.asked = message
        self.tell(self._health.now(message))
        self._health.begin(self)

    def tell(self, now: str) -> None:
        """Say it, if it is another than was said last."""
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
