"""A simulated failure as clients see it: `/kv`, `/sessions` and `/v3` answer 503, everything for operators goes on.

Why it exists: a node that plays dead must not serve, and must stay within reach of who let it play (decision 10). It
must not know how the failure was begun.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from node.api.answers import json_answer, try_again
from node.api.inputs import target_of

MESSAGE = "this node simulates a failure; the command recover ends it, and so does time"

_GRPC_UNAVAILABLE = 14


def make_outage(failing: Callable[[], bool]) -> Middleware:
    """A middleware below the guard."""

    @web.middleware
    async def outage(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if failing():
            path = target_of(request)[1]
            if path in ("/kv", "/sessions") or path.startswith("/kv/"):
                raise try_again("simulated-failure", MESSAGE)
            if path.startswith("/v3/"):
                return json_answer({"code": _GRPC_UNAVAILABLE, "message": MESSAGE}, 503)
        return await handler(request)

    return outage
