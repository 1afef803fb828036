"""The cluster monitor: the dashboard's page for all nodes at once, served by the process that is their parent.

Why it exists: a node's own page ends with the node. This one goes on when nodes die, shows what their processes wrote,
and starts them again. It speaks to the nodes over HTTP as any client does and knows nothing that they do not tell,
except what a parent knows: which processes run. It must not start or end anything by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from node.api.answers import Problem, json_answer, malformed, try_again
from node.api.commands import ARGUMENTS_BYTES_MAX
from node.api.events import RATE_MAX
from node.api.guard import make_guard
from node.api.inputs import Query, target_of
from node.api.server import ApiRunner
from node.dashboard.routes import SECURITY, Dashboard
from node.statemachine.writes import VALUE_BYTES_MAX
from node.supervisor import output
from node.supervisor.child import ProcessView
from node.supervisor.control import Answer, Orders
from node.supervisor.doorway import Door
from node.supervisor.forward import LOOK_SECONDS_MAX, Forwarder, Lost, NotSent, body_of, seconds_for
from node.supervisor.layout import NodeEntry
from node.supervisor.overview import Overview
from node.supervisor.streams import Streams, parse_cursors
from node.supervisor.watch import new_session

REQUESTS_MAX = 96
"""Requests at a time, streams among them; one more is 503."""
MESSAGES_PER_SECOND_DEFAULT = 40
"""Of the merged stream, all nodes together, where it shows messages and names no `rate`."""

ROUTES = {
    "GET /cluster": "every node as it answers here, and its process",
    "GET /events?messages=1&rate=": "the live traces of all nodes as one stream; resumes by Last-Event-ID",
    "GET, PUT, DELETE /kv/{key}": "the store, through a node that answers",
    "GET /kv/?watch=1": "changes of keys, through a node that takes the watch",
    "GET /nodes/{name}/status|log|stats|commands|members|events": "what that node says",
    "GET, PUT, DELETE /nodes/{name}/kv/{key}": "the store, through that node",
    "POST /nodes/{name}/commands/{command}": "carry a command out on that node",
    "POST /nodes/{name}/start": "start the node's process where it ended",
    "POST /nodes": "start one more node, which asks to be let in",
    "POST /nodes/{name}/retire": "end the process of a node that was removed from the cluster",
    "GET /nodes/{name}/output?tail=&filter=": "the last lines that the node's process wrote",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Monitor:
    """Serves on `door` from `open` to `close`. `entries`: who is there now; the rest is the supervisor's, too."""

    def __init__(
        self,
        door: Door,
        entries: Callable[[], tuple[NodeEntry, ...]],
        process: Callable[[str], ProcessView],
        orders: Orders,
    ) -> None:
        self.url = door.url
        self._door, self._entries = door, entries
        self._process, self._orders = process, orders
        self._busy: set[asyncio.Task[object]] = set()
        self._stopping = False

    async def open(self) -> None:
        """Begin to answer. Its connections to the nodes have no common limit: requests and streams have theirs."""
        self._session = new_session(aiohttp.TCPConnector(limit=0))
        self._overview = Overview(self._session, self._entries, self._process)
        self._forwarder = Forwarder(self._session, self._process)
        self._streams = Streams(self._session, self._forwarder, self._process)
        self._dashboard = Dashboard({"kind": "monitor"})
        middlewares = [make_guard(self._door.allowed_hosts), self._bounded]
        app = web.Application(middlewares=middlewares, client_max_size=VALUE_BYTES_MAX)
        app.router.add_routes(self._routes())
        app.on_response_prepare.append(_secure)
        app.on_shutdown.append(self._end_requests)
        self._runner = ApiRunner(app)
        await self._runner.setup()
        await self._runner.listen_on([self._door.socket], self._door.url)

    async def close(self) -> None:
        """End every request and stream at once; when it returns, nothing is left."""
        self._stopping = True
        await self._runner.cleanup()
        await self._overview.close()
        await self._session.close()

    def _routes(self) -> list[web.RouteDef]:
        of = "/nodes/{name}"
        return [
            *(route for route in self._dashboard.routes() if route.path != "/"),
            web.get("/", self.page),
            web.get("/cluster", self.cluster),
            web.get("/events", self.events, allow_head=False),
            web.get("/kv", self.store),
            *(web.route(method, "/kv/{key:.*}", self.store) for method in ("GET", "PUT", "DELETE")),
            *(web.get(f"{of}/{what}", self.look) for what in ("status", "log", "stats", "commands", "members")),
            web.post(of + "/commands/{command}", self.command),
            web.get(f"{of}/events", self.node_events, allow_head=False),
            web.get(f"{of}/kv", self.node_store),
            *(web.route(method, of + "/kv/{key:.*}", self.node_store) for method in ("GET", "PUT", "DELETE")),
            web.post(f"{of}/start", self.start),
            web.post("/nodes", self.add),
            web.post(f"{of}/retire", self.retire),
            web.get(f"{of}/output", self.output),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page for browsers; what there is, as JSON, for programs."""
        if "text/html" in request.headers.get("Accept", ""):
            return await self._dashboard.page(request)
        nodes = [entry.name for entry in self._entries()]
        return json_answer({"routes": ROUTES, "nodes": nodes}, headers={"Vary": "Accept"})

    async def cluster(self, _request: web.Request) -> web.Response:
        """Every node as it answers here."""
        return json_answer(await self._overview.body())

    async def look(self, request: web.Request) -> web.Response:
        """What a node says of itself."""
        entry, target, query = self._target(request)
        return await self._forwarder.send(request, entry, _whole(target, query), LOOK_SECONDS_MAX)

    async def command(self, request: web.Request) -> web.Response:
        """A command of one node."""
        entry, target, query = self._target(request)
        body = await body_of(request, ARGUMENTS_BYTES_MAX)
        seconds = seconds_for(query, self._door.request_seconds)
        return await self._forwarder.send(request, entry, _whole(target, query), seconds, body)

    async def node_events(self, request: web.Request) -> web.StreamResponse:
        """One node's live trace."""
        entry, _, query = self._target(request)
        return await self._streams.relay(request, entry, query)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """All nodes' live traces."""
        query = Query(target_of(request)[2], ("messages", "rate"))
        rate = query.number("rate", MESSAGES_PER_SECOND_DEFAULT, 1, RATE_MAX)
        messages = query.number("messages", 0, 0, 1) == 1
        cursors = parse_cursors(request.headers.get("Last-Event-ID", ""))
        return await self._streams.merged(request, self._entries, rate if messages else 0, cursors)

    async def node_store(self, request: web.Request) -> web.StreamResponse:
        """The store through one node."""
        entry, target, query = self._target(request)
        if _is_watch(request, query):
            return await self._streams.watch(request, [entry], _whole(target, query))
        body = await body_of(request, VALUE_BYTES_MAX)
        seconds = seconds_for(query, self._door.request_seconds)
        return await self._forwarder.send(request, entry, _whole(target, query), seconds, body or None)

    async def store(self, request: web.Request) -> web.StreamResponse:
        """The store through a node that answers. Another is tried where the first never saw the request, or where
        its connection broke under a read; what may have been sent and changes something is never sent again."""
        _, target, query = target_of(request)
        if _is_watch(request, query):
            await self._overview.look()
            return await self._streams.watch(request, list(self._overview.who_may_serve()), _whole(target, query))
        body = await body_of(request, VALUE_BYTES_MAX)
        seconds = seconds_for(query, self._door.request_seconds)
        await self._overview.look()
        for entry in self._overview.who_may_serve():
            try:
                return await self._forwarder.send(request, entry, _whole(target, query), seconds, body or None)
            except NotSent:
                continue
            except Lost:
                if request.method not in ("GET", "HEAD"):
                    raise
        raise try_again("no-node", "no node of the cluster takes requests; nothing was sent")

    async def start(self, request: web.Request) -> web.Response:
        """Start a node whose process ended."""
        name = self._entry(request).name
        return _told(self._orders.start_again(name), name)

    async def add(self, _request: web.Request) -> web.Response:
        """Start one more node."""
        answer = self._orders.add("")
        return _told(answer, answer.node)

    async def retire(self, request: web.Request) -> web.Response:
        """End a node that was removed."""
        name = self._entry(request).name
        return _told(await self._orders.retire(name), name)

    async def output(self, request: web.Request) -> web.Response:
        """The last lines of a node's log file."""
        entry = self._entry(request)
        query = Query(target_of(request)[2], ("tail", "filter"))
        count = query.number("tail", output.TAIL_LINES_DEFAULT, 1, output.TAIL_LINES_MAX)
        wanted = query.bytes("filter")
        if len(wanted) > output.FILTER_BYTES_MAX:
            raise malformed("filter", f"filter is at most {output.FILTER_BYTES_MAX} bytes")
        found = output.tail(Path(entry.log_file), count, wanted.decode(errors="replace"))
        return json_answer(
            {
                "node": entry.name,
                "file": entry.log_file,
                "bytes": found.bytes,
                "whole": found.whole,
                "lines": found.lines,
            }
        )

    def _entry(self, request: web.Request) -> NodeEntry:
        name = request.match_info["name"]
        for entry in self._entries():
            if entry.name == name:
                return entry
        names = ", ".join(entry.name for entry in self._entries())
        raise Problem(404, "unknown-node", f"there is no such node; the nodes are {names}")

    def _target(self, request: web.Request) -> tuple[NodeEntry, str, str]:
        """(node, path on that node, query), the latter two as they came."""
        _, path, query = target_of(request)
        parts = path.split("/", 3)
        if len(parts) < 4:
            raise Problem(404, "not-found", "there is nothing at this path; / lists what there is")
        return self._entry(request), "/" + parts[3], query

    @web.middleware
    async def _bounded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._stopping:
            raise try_again("stopping", "the cluster is being stopped")
        if len(self._busy) >= REQUESTS_MAX:
            raise try_again("overloaded", f"{REQUESTS_MAX} requests are being answered already")
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        self._busy.add(task)
        try:
            return await handler(request)
        finally:
            self._busy.discard(task)

    async def _end_requests(self, _app: web.Application) -> None:
        for task in self._busy:
            task.cancel()


def _told(answer: Answer, name: str) -> web.Response:
    if not answer.ok:
        raise Problem(409, "refused", answer.text, ok=False, node=name, pid=answer.pid)
    return json_answer({"ok": True, "node": name, "message": answer.text, "pid": answer.pid})


def _is_watch(request: web.Request, query: str) -> bool:
    """Its answer has no end."""
    return request.method == "GET" and "watch=1" in query.split("&")


def _whole(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
