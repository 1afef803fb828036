"""A port for whoever only watches over a node: its probes and its metrics, and nothing else that a node can do.

Why it exists: kubelets and Prometheus come without a token, and whoever may reach a port for them must be able to
neither read nor write a key. So nothing else is routed here, no gRPC and no page; nobody is asked who they are. It does
not wait at the clients' gate: what they ask for under a flood is how the node stands it. It must not know a store.
"""

import asyncio
from collections.abc import Collection

from aiohttp import web

from node.api.clients import Clients
from node.api.guard import make_guard
from node.api.operations import OperationsApi
from node.api.server import ApiRunner
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.runtime.ports import NodeHandle
from node.tls.doorway import Doorway

OPERATIONS_CLIENTS_MAX = 128
"""Connections at a time; the one that has been idle for longest is closed for a new one."""
OPERATIONS_OF_ONE_MAX = 16
"""Of one client: a kubelet has three at a time. Whoever would keep it from a probe needs many addresses."""


def operations_runner(
    handle: NodeHandle,
    metrics: Metrics,
    slices: Slices,
    allowed_hosts: Collection[str] = (),
    doorway: Doorway | None = None,
) -> ApiRunner:
    """What serves it. `doorway` None: plain text. Call it inside a running event loop."""
    routes = OperationsApi(handle, metrics, None, slices).watching()
    here = ", ".join(route.path for route in routes)
    app = web.Application(middlewares=[make_guard(allowed_hosts, f"this port serves {here}, and nothing else")])
    app.router.add_routes(routes)
    clients = Clients(OPERATIONS_CLIENTS_MAX, asyncio.get_running_loop(), OPERATIONS_OF_ONE_MAX)
    return ApiRunner(app, clients=clients, doorway=doorway, drain_seconds_max=1.0)
