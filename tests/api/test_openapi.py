"""`/openapi.json` names the routes that exist, and no others."""

import json
import re
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from node.api.openapi import PATHS, document
from node.api.openapi_schemas import SCHEMAS
from node.api.openapi_streams import STREAM_SCHEMAS, TRACE_EVENTS, WATCH_EVENTS
from node.api.server import build_app
from node.dashboard.routes import add_dashboard
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.runtime.latency import LatencySummary
from node.statemachine.writes import Compact, DeleteRange, Put
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
    assert named == {*SCHEMAS, *STREAM_SCHEMAS}


async def test_the_description_is_served() -> None:
    async with serving() as server, client_of(server) as http, http.get("/openapi.json") as answer:
        served = await answer.json()
    assert served["openapi"].startswith("3.1")
    assert "/v3/kv/put" in served["paths"]


def keeps_to(said: dict[str, object], name: str) -> bool:
    """Whether a record has what it must, and nothing that is not described."""
    schema: Any = STREAM_SCHEMAS[name]
    return set(schema["required"]) <= set(said) <= set(schema["properties"])


async def told(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, dict[str, object]]]:
    """Names and data of the next events."""
    found, name = [], "message"
    async for line in answer.content:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            found.append((name, json.loads(line[6:])))
            name = "message"
            if len(found) == count:
                break
    return found


async def test_streams_say_what_is_described_of_their_events() -> None:
    async with serving() as server, client_of(server) as http:
        server.trace.transition("won", 1, "leader", {"votes": 3})
        async with http.get("/events") as answer:
            ((name, said),) = await told(answer, 1)
        assert keeps_to(said, TRACE_EVENTS[name])
        async with http.get("/kv/?watch=1") as fresh, http.get("/kv/?watch=1&consistency=stale") as stale:
            found = await told(fresh, 1) + await told(stale, 1)
            server.node.do(Put(b"a", b"\xff"), DeleteRange(b"a"))
            found += await told(fresh, 2)
            server.node.hub.no_leader()
            found += await told(fresh, 1)
            server.node.do(*(Put(b"a", b"%d" % number) for number in range(5000)), Compact(4000))
            while found[-1][0] != "compacted":
                found += await told(stale, 1)
        kinds = {name for name, _ in found}
        assert kinds == set(WATCH_EVENTS)
        assert all(keeps_to(said, WATCH_EVENTS[name]) for name, said in found)


def test_answers_without_end_are_said_to_be_so() -> None:
    for path in ("/v3/watch", "/v3/election/observe"):
        assert "without an end" in str(PATHS[path]["post"]["responses"])
    assert "hasleader" in str(PATHS["/v3/watch"]["post"]["parameters"])


@pytest.mark.parametrize("path", ["/v3/kv/put", "/kv/{key}", "/commands/{name}"])
def test_a_write_says_that_its_outcome_can_be_unknown(path: str) -> None:
    for method, operation in PATHS[path].items():
        if method != "get":
            assert {"503", "504"} <= set(operation["responses"])  # type: ignore[call-overload]
