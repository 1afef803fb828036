"""`POST /sessions`: a session for a client, in which a write that comes twice is done once.

Why it exists: who sends a write again needs a number that no other client has, and the log gives it. It must not
remember anything: what a session is stands in the store.
"""

import logging

from aiohttp import web

from node.api.answers import json_answer
from node.api.etcd.errors import EtcdError
from node.api.etcd.users import Users
from node.api.inputs import Query, target_of
from node.api.kv_answers import not_permitted, result_of, unexpected
from node.api.once import OwnCluster
from node.observe.metrics import Metrics
from node.runtime.ports import NodeHandle, Unknown
from node.statemachine.sessions import IDLE_US_MAX
from node.statemachine.writes import Register, Registered, encode_write

_LOG = logging.getLogger("node.api")

IDLE_MS_DEFAULT = 3_600_000
"""How long a session may be idle that names no time of its own: an hour."""

IDLE_MS_MIN = 1_000


class SessionsApi:
    """Handlers of `/sessions`."""

    def __init__(self, handle: NodeHandle, metrics: Metrics, users: Users) -> None:
        self._handle = handle
        self._cluster = OwnCluster(handle)
        self._metrics = metrics
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [web.post("/sessions", self.register)]

    async def register(self, request: web.Request) -> web.Response:
        """A new one, of the user who asks while users are in force. Where the outcome is unknown, ask again: a session
        that nobody uses ends by itself."""
        query = Query(target_of(request)[2], ("idle_ms", "timeout_ms"))
        timeout_us = query.timeout_us()
        idle_ms = query.number("idle_ms", IDLE_MS_DEFAULT, IDLE_MS_MIN, IDLE_US_MAX // 1000)
        try:
            data = await self._users.marked(encode_write(Register(idle_ms * 1000)))
            outcome = await self._handle.propose(data, timeout_us)
        except EtcdError as error:
            raise not_permitted(error) from None
        except Exception:
            _LOG.exception("a session could not be registered")
            outcome = Unknown("this node made a mistake while it wrote; its log says which")
        result = result_of(outcome, self._metrics)
        if not isinstance(result, Registered):
            raise unexpected(result)
        return json_answer({"session": self._cluster.name(result.session), "idle_ms": result.idle_us // 1000})
