"""A stand-in for the cluster monitor: the same page, and every node behind its own path."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from node.api.server import ApiRunner
from node.dashboard.routes import add_dashboard
from tests.cluster.harness import Cluster

_PASSED_ON = ("Content-Type", "ETag")


class _Monitor:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def cluster(self, _request: web.Request) -> web.Response:
        statuses = await self._cluster.statuses()
        nodes = []
        for name in self._cluster.nodes:
            status = statuses.get(name)
            nodes.append({"name": name, "state": "reachable" if status else "dead", "age_ms": 0, "status": status})
        return web.json_response({"node": "", "cluster_id": "", "nodes": nodes})

    async def start(self, request: web.Request) -> web.Response:
        await self._cluster.start_node(request.match_info["name"])
        return web.json_response({"ok": True, "message": "is started"})

    async def output(self, request: web.Request) -> web.Response:
        return web.Response(text=f"first line\nlast line of {request.match_info['name']}\n")

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Everything else under /nodes/NAME: as the node answers, streams included."""
        url = f"{self._cluster.url(request.match_info['name'])}/{request.match_info['rest']}"
        body = await request.read()
        query = request.query_string
        try:
            async with self._cluster.http.request(
                request.method, f"{url}?{query}" if query else url, data=body, timeout=aiohttp.ClientTimeout(total=None)
            ) as answer:
                headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
                response = web.StreamResponse(status=answer.status, headers=headers)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response
        except aiohttp.ClientConnectorError:
            return web.json_response({"error": "unreachable", "message": "the node does not answer"}, status=502)


@asynccontextmanager
async def monitor(cluster: Cluster) -> AsyncIterator[str]:
    """Serve it; its address."""
    app, handlers = web.Application(), _Monitor(cluster)
    app.router.add_get("/cluster", handlers.cluster)
    app.router.add_post("/nodes/{name}/start", handlers.start)
    app.router.add_get("/nodes/{name}/output", handlers.output)
    app.router.add_route("*", "/nodes/{name}/{rest:.*}", handlers.relay)
    add_dashboard(app)
    runner = ApiRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
