"""Sessions over HTTP: the same request sent twice is one write, and whoever is forgotten is told what that means."""

import base64
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
import pytest

from node.runtime.ports import NotProposed
from node.statemachine import sessions as module
from node.statemachine.writes import KeyValue, Put
from tests.api.double import Server, client_of, serving

MARK = "c" * 8
"""Of the cluster id of `ScriptedNode`."""
UNKNOWN = f"{MARK}-99"


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


KEY, PUT = text(b"k"), {"key": text(b"k"), "value": text(b"v")}
TXN = {"compare": [{"key": KEY, "target": "VERSION", "version": "0"}], "success": [{"request_put": PUT}]}
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "put": ("PUT", "/kv/k", {"data": b"v"}),
    "put where there is none": ("PUT", "/kv/k", {"data": b"v", "headers": {"If-None-Match": "*"}}),
    "delete": ("DELETE", "/kv/old", {}),
    "/v3 put": ("POST", "/v3/kv/put", {"json": PUT}),
    "/v3 deleterange": ("POST", "/v3/kv/deleterange", {"json": {"key": text(b"old"), "prev_kv": True}}),
    "/v3 txn": ("POST", "/v3/kv/txn", {"json": TXN}),
    "/v3 compaction": ("POST", "/v3/kv/compaction", {"json": {"revision": "2"}}),
}


def numbers(session: str, sequence: int, answered: int = 0) -> dict[str, str]:
    named = {"Raft-Session": session, "Raft-Sequence": str(sequence)}
    return {**named, "Raft-Answered": str(answered)} if answered else named


async def register(http: aiohttp.ClientSession, query: str = "") -> str:
    async with http.post(f"/sessions{query}") as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["session"])


async def send(http: aiohttp.ClientSession, what: str, headers: Mapping[str, str]) -> tuple[int, str | None, Any]:
    """Status, ETag and body, without the header of etcd's answers: it says where the store is now."""
    method, path, options = REQUESTS[what]
    options = {**options, "headers": {**options.get("headers", {}), **headers}}
    async with http.request(method, path, **options) as answer:
        body = await answer.json()
        body.pop("header", None)
        return answer.status, answer.headers.get("ETag"), body


@pytest.mark.parametrize("what", REQUESTS)
async def test_a_write_that_is_sent_again_is_done_once_and_answered_as_before(what: str) -> None:
    async with serving() as server, client_of(server) as http:
        server.node.do(Put(b"old", b"1"), Put(b"old", b"2"))
        session = await register(http)
        first = await send(http, what, numbers(session, 1))
        assert first[0] == 200
        digest = server.node.store.digest()
        async with http.put("/kv/other", data=b"between") as answer:
            assert answer.status == 200
        server.node.do(Put(b"old", b"3"))
        found = server.node.store.get(b"k"), server.node.store.get(b"old")
        again = await send(http, what, numbers(session, 1))
        assert again == first
        assert (server.node.store.get(b"k"), server.node.store.get(b"old")) == found
        assert server.node.store.digest() != digest, "what came between was done"


@pytest.mark.parametrize("what", REQUESTS)
async def test_a_write_in_a_session_that_is_not_there_is_refused_with_what_it_means(what: str) -> None:
    async with serving() as server, client_of(server) as http:
        server.node.do(Put(b"old", b"1"))
        revision = server.node.store.revision
        status, _, body = await send(http, what, numbers(UNKNOWN, 1))
        if what.startswith("/v3"):
            assert (status, body["code"]) == (404, 5)
            assert body["message"].startswith("etcdserver: there is no session 99 (any more)")
        else:
            assert (status, body["error"]) == (410, "session-expired")
        assert "register a new session" in body["message"]
        assert server.node.store.revision == revision


@pytest.mark.parametrize("what", REQUESTS)
async def test_a_session_of_another_cluster_is_refused_before_anything_is_proposed(what: str) -> None:
    """One that was made from a backup goes on from an older index: number 1 there is somebody else's session."""
    async with serving() as server, client_of(server) as http:
        await register(http)
        status, _, body = await send(http, what, numbers("dddddddd-1", 1))
        assert status == (404 if what.startswith("/v3") else 410)
        assert "session dddddddd-1 is one of another cluster" in body["message"]
        assert len(server.node.proposed) == 1
        assert server.metrics.proposals == {"done": 1, "session-expired": 1}


async def test_a_node_before_birth_says_so_and_not_that_a_session_expired() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.own_status = msgspec.structs.replace(
            server.node.own_status, core=msgspec.structs.replace(server.node.own_status.core, cluster_id="")
        )
        server.node.outcome = NotProposed("not-born", "waits for n2")
        for what in ("put", "/v3 put"):
            assert (await send(http, what, numbers(UNKNOWN, 1)))[0] == 503


async def test_numbers_that_are_answered_or_reused_are_refused_with_their_own_codes() -> None:
    async with serving() as server, client_of(server) as http:
        session = await register(http)
        assert (await send(http, "put", numbers(session, 1)))[0] == 200
        assert (await send(http, "put", numbers(session, 3, answered=2)))[0] == 200
        for sequence, code in ((1, "sequence-answered"), (2, "sequence-answered")):
            status, _, body = await send(http, "put", numbers(session, sequence))
            assert (status, body["error"]) == (409, code)
            status, _, body = await send(http, "/v3 put", numbers(session, sequence))
            assert (status, body["code"]) == (400, 3)
        status, _, body = await send(http, "delete", numbers(session, 3))
        assert (status, body["error"]) == (409, "sequence-reused")
        assert server.metrics.proposals == {"done": 3, "sequence-answered": 4, "sequence-reused": 1}


@pytest.mark.parametrize("what", [what for what in REQUESTS if what.startswith("/v3")])
async def test_etcds_form_of_numbers_that_make_no_sense(what: str) -> None:
    async with serving() as server, client_of(server) as http:
        for headers in (
            {"Raft-Session": "c1-1"},
            numbers("c1-1", 1, answered=1),
            {"Raft-Session": "x", "Raft-Sequence": "1"},
        ):
            status, _, body = await send(http, what, headers)
            assert (status, body["code"]) == (400, 3)
            assert "Raft-" in body["message"]
        assert server.node.proposed == []


@pytest.mark.parametrize(
    ("query", "idle_ms"), [("", 3_600_000), ("?idle_ms=1000", 1_000), ("?idle_ms=86400000&timeout_ms=50", 86_400_000)]
)
async def test_a_session_says_how_long_it_may_be_idle(query: str, idle_ms: int) -> None:
    async with serving() as server, client_of(server) as http:
        async with http.post(f"/sessions{query}") as answer:
            assert (await answer.json()) == {"session": f"{MARK}-1", "idle_ms": idle_ms}
        assert await register(http, query) == f"{MARK}-2"
        assert server.node.store.sessions.all()[0].idle_us == idle_ms * 1000


@pytest.mark.parametrize("query", ["?idle_ms=999", "?idle_ms=86400001", "?idle_ms=x", "?idle=5000", "?timeout_ms=0"])
async def test_a_session_of_another_kind_is_refused_and_nothing_is_proposed(query: str) -> None:
    async with serving() as server, client_of(server) as http:
        async with http.post(f"/sessions{query}") as answer:
            assert (answer.status, (await answer.json())["error"]) == (400, "malformed")
        assert server.node.proposed == []


async def test_an_answer_that_was_not_kept_says_that_the_write_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESULT_BYTES_MAX", 3)
    async with serving() as server, client_of(server) as http:
        server.node.do(Put(b"old", b"1"))
        session = await register(http)
        assert (await send(http, "/v3 deleterange", numbers(session, 1)))[0] == 200
        status, _, body = await send(http, "/v3 deleterange", numbers(session, 1))
        assert (status, body["code"]) == (504, 4)
        assert "the write was done" in body["message"]
        assert (await send(http, "put", numbers(session, 2)))[0] == 200
        status, _, body = await send(http, "put", numbers(session, 2))
        assert (status, body["error"]) == (504, "done-untold")


async def test_metrics_count_sessions_and_what_came_again() -> None:
    async with serving() as server, client_of(server) as http:
        session = await register(http)
        for _ in range(3):
            await send(http, "put", numbers(session, 1))
        assert await samples(server) == {
            "raft_sessions": 1.0,
            "raft_sessions_bytes": float(server.node.store.sessions.size_bytes),
            'raft_sessions_ended_total{why="idle"}': 0.0,
            'raft_sessions_ended_total{why="room"}': 0.0,
            "raft_writes_repeated_total": 2.0,
        }
        assert isinstance(server.node.store.get(b"k"), KeyValue)


async def samples(server: Server) -> dict[str, float]:
    lines = server.metrics.render().decode().splitlines()
    mine = (line.rpartition(" ") for line in lines if line.startswith(("raft_sessions", "raft_writes_repeated_total")))
    return {name: float(value) for name, _, value in mine}
