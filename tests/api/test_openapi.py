"""`/openapi.json` names the routes that exist, and no others."""

import re

import pytest
from aiohttp import web

from node.api.openapi import PATHS, document
from node.api.openapi_schemas import SCHEMAS
from node.api.server import build_app
from node.dashboard.routes import add_dashboard
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.runtime.latency import LatencySummary
from tests.api.double import ScriptedNode, client_of, serving


def registered(app: web.Application) -> set[tuple[str, str]]:
    """(method, path) of every route but those that take all methods, which only refuse, and HEAD, which is GET."""
    found = set()
    for route in app.router.routes():
        info = route.resource.get_info() if route.resource is not None else {}
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", str(info.get("path") or info.get("formatter")))
        if route.method not in ("*", "HEAD"):
            found.add((route.method.lower(), path))
    return found


async def test_every_route_is_described_and_every_description_is_a_route() -> None:
    node, trace = ScriptedNode(), Trace("n1", "boot-1", lambda: 1)
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store)
    app = build_app(
        node,
        node.store,
        trace,
        metrics,
        with_index=False,
        stats=Stats(trace, {}, lambda: LatencySummary((), None, None, 0)),
    )
    add_dashboard(app, "n1")
    described = {(method, path) for path, operations in PATHS.items() for method in operations}
    assert described - {("get", "/kv/")} == registered(app)  # an empty key is the list, to the router it is a key


def test_every_reference_leads_to_a_schema_and_every_schema_is_referred_to() -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", str(document())))
    assert named == set(SCHEMAS)


async def test_the_description_is_served() -> None:
    async with serving() as server, client_of(server) as http, http.get("/openapi.json") as answer:
        served = await answer.json()
    assert served["openapi"].startswith("3.1")
    assert "/v3/kv/put" in served["paths"]


@pytest.mark.parametrize("path", ["/v3/kv/put", "/kv/{key}", "/commands/{name}"])
def test_a_write_says_that_its_outcome_can_be_unknown(path: str) -> None:
    for method, operation in PATHS[path].items():
        if method != "get":
            assert {"503", "504"} <= set(operation["responses"])  # type: ignore[call-overload]
