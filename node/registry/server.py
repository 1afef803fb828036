"""The registry over HTTP: register, withdraw, look up, and a page.

Why it exists: nodes that know each other's names, and not where each is, have one place to say and to ask. It is at
nobody's side: it keeps nothing on disk, proves nothing and is asked by nobody who votes. It must not speak to nodes.
"""

import asyncio
from collections.abc import Collection

import msgspec
from aiohttp import web

from node.api.answers import Problem, json_answer, malformed
from node.api.clients import Clients
from node.api.guard import make_guard
from node.api.inputs import short_body
from node.api.server import ApiRunner
from node.dashboard.routes import SECURITY
from node.discovery.words import REGISTRATION_BYTES_MAX, Found, Registered, Registration
from node.registry.book import Book, Full
from node.registry.page import STYLE_POLICY, page

CONNECTIONS_MAX = 1024
"""A node has a few; one more than this makes room by ending the one that has been idle for longest, or is refused."""
DRAIN_SECONDS_MAX = 0.5

ROUTES = {
    "PUT /nodes/{name}": "register, and repeat it within its time to live",
    "DELETE /nodes/{name}?boot=": "that process leaves",
    "GET /nodes/{name}": "which processes are registered under a name, the newest first",
    "GET /nodes": "all that are registered",
    "GET /livez": "whether this process answers",
}


class RegistryServer:
    """Serves from `open` to `close`. `allowed_hosts`: names that `Host` may be beside addresses and localhost."""

    def __init__(self, book: Book, allowed_hosts: Collection[str] = ()) -> None:
        self._book = book
        loop = asyncio.get_running_loop()
        self._now = loop.time
        app = web.Application(middlewares=[make_guard(allowed_hosts)], client_max_size=REGISTRATION_BYTES_MAX)
        app.router.add_routes(
            [
                web.get("/", self.index),
                web.get("/livez", self.livez),
                web.get("/nodes", self.everybody),
                web.get("/nodes/{name}", self.find),
                web.put("/nodes/{name}", self.register),
                web.delete("/nodes/{name}", self.withdraw),
            ]
        )
        self._runner = ApiRunner(app, clients=Clients(CONNECTIONS_MAX, loop), drain_seconds_max=DRAIN_SECONDS_MAX)

    async def open(self, host: str, port: int) -> None:
        """Begin to answer. Raises OSError where the address is not to be had."""
        await self._runner.setup()
        await self._runner.listen(host, port)

    @property
    def port(self) -> int:
        """Where it listens, after `open`."""
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """End every connection."""
        await self._runner.cleanup()

    async def index(self, request: web.Request) -> web.Response:
        """The page for browsers; what there is, as JSON, for programs."""
        if "text/html" not in request.headers.get("Accept", ""):
            return json_answer({"routes": ROUTES}, headers={"Vary": "Accept"})
        headers = {**SECURITY, "Content-Security-Policy": STYLE_POLICY, "Vary": "Accept", "Cache-Control": "no-store"}
        return web.Response(text=page(self._book.all(self._now())), content_type="text/html", headers=headers)

    async def livez(self, _request: web.Request) -> web.Response:
        """Whether this process answers."""
        return json_answer({"ok": True})

    async def everybody(self, _request: web.Request) -> web.Response:
        """All that are registered."""
        return json_answer({"nodes": self._book.all(self._now())})

    async def find(self, request: web.Request) -> web.Response:
        """Who is registered under a name."""
        name = request.match_info["name"]
        return json_answer(Found(name=name, registrations=self._book.find(name, self._now())))

    async def register(self, request: web.Request) -> web.Response:
        """Begin or repeat a registration."""
        body = await short_body(request, "registration", REGISTRATION_BYTES_MAX)
        try:
            said = msgspec.json.decode(body, type=Registration)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed("body", f"the body is no registration: {error}") from None
        if said.name != request.match_info["name"]:
            raise malformed("name", f"the body registers {said.name}, the path names another node")
        try:
            rivals = self._book.register(said, self._now())
        except Full as full:
            raise Problem(507, "full", str(full)) from None
        return json_answer(Registered(ttl_ms=said.ttl_ms, rivals=rivals))

    async def withdraw(self, request: web.Request) -> web.Response:
        """That process leaves; it is no error where it was not registered."""
        gone = self._book.withdraw(request.match_info["name"], request.query.get("boot", ""))
        return json_answer({"withdrawn": gone})
