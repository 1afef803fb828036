"""The page's server for tests: the real application round a scripted node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from node.api.server import ApiRunner, build_app
from node.dashboard.routes import Dashboard, add_dashboard
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from tests.api.double import ScriptedNode


class PageServer:
    """A running page; `http` asks it, paths are relative."""

    def __init__(self, dashboard: Dashboard, trace: Trace, http: aiohttp.ClientSession, port: int) -> None:
        self.dashboard = dashboard
        self.trace = trace
        self.http = http
        self.port = port


@asynccontextmanager
async def page_server(trace: Trace | None = None) -> AsyncIterator[PageServer]:
    """A node's API and page on loopback."""
    node, trace = ScriptedNode(), trace or Trace("n1", "boot-1", lambda: 1)
    app = build_app(
        node, node.store, trace, Metrics(node.status, trace, node.loop_age_us, node.store), with_index=False
    )
    dashboard = add_dashboard(app, "n1")
    runner = ApiRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as http:
            yield PageServer(dashboard, trace, http, port)
    finally:
        await runner.cleanup()
