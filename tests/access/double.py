"""All doors of a node, the page's too, in front of a scripted one; and somebody who knows tokens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from node.access.audit import Audit
from node.access.entrance import Access
from node.access.principals import Both, Principal, Role, with_roles
from node.api.clients import Clients
from node.api.etcd.auth_calls import AuthCalls
from node.api.etcd.express import EtcdExpress
from node.api.etcd.routes import EtcdApi
from node.api.etcd.users import Users
from node.api.express import Express
from node.api.grpc.door import GrpcDoor
from node.api.grpc.services import Beside, grpc_door
from node.api.http2.connections import Http2
from node.api.http2.counts import Counts
from node.api.quota import UNBOUNDED, Quota
from node.api.server import ApiRunner, build_app
from node.api.slices import Slices
from node.dashboard.routes import add_dashboard
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.runtime.latency import LatencySummary
from tests.grpc.double import QuickNode, google_is_done, until


class Known:
    """A source of a few; each token is called as the one role that it has."""

    def __init__(self) -> None:
        self.demands = True
        self.version = 0
        self.principals = {f"{role}-token": with_roles(f"a-{role}", role) for role in Role}
        both = Both.WRITE_AND_OPERATE
        self.principals[f"{both}-token"] = with_roles(f"a-{both}", Role.WRITE, Role.OPERATE)

    def find(self, credential: str) -> Principal | None:
        return self.principals.get(credential)


class Served(NamedTuple):
    """What runs."""

    node: QuickNode
    app: web.Application
    door: GrpcDoor
    source: Known
    access: Access
    auth: AuthCalls
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def served(audit: Audit | None = None) -> AsyncIterator[Served]:
    """The real doors as app.py puts them together."""
    node, trace, counts, source = QuickNode(), Trace("n1", "boot-1", lambda: 1), Counts(), Known()
    access = Access([source], None, audit)
    access.users = users = Users(node, node.store)
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store, http2=counts)
    slices, quota = Slices(), Quota(node.store, UNBOUNDED)
    stats = Stats(trace, {}, lambda: LatencySummary((), None, None, 0))
    app = build_app(
        node,
        node.store,
        trace,
        metrics,
        stats=stats,
        with_index=False,
        hub=node.hub,
        slices=slices,
        access=access,
        users=users,
    )
    api = EtcdApi(node, node.store, metrics, lambda: 7, slices, quota, node.hub, None, users)
    add_dashboard(app, "n1", access, api.auth)
    door = grpc_door(api, node, node.store, metrics, Beside(counts, None, bool, 5_000_000, access))
    express = Express(EtcdExpress(api, node, node.store, metrics).routes(), (), None, access)
    clients = Clients(100, asyncio.get_running_loop())
    runner = ApiRunner(app, express, clients=clients, http2=Http2(door.serve, counts), drain_seconds_max=1.0)
    await runner.setup()
    try:
        await runner.listen("127.0.0.1", 0)
        yield Served(node, app, door, source, access, api.auth, runner.addresses[0][1])
    finally:
        await runner.cleanup()
        await until(google_is_done)
