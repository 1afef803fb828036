"""What became of a request, and what there is beside keys and values."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from io import BytesIO

import pytest

from node.raft.types import Role
from node.runtime.ports import NotProposed, Outcome, ReadFailed, Unknown
from node.statemachine.writes import Put
from tests.api.double import client_of, serving
from tests.observe.status import node_status

PUT = {"key": "YQ==", "value": "MQ=="}


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (NotProposed("no-leader", "no leader is known"), 503, 14),
        (NotProposed("overloaded", "too much waits"), 503, 14),
        (NotProposed("stopping", "it stops"), 503, 14),
        (NotProposed("log-full", "the log is full"), 429, 8),
        (Unknown("no answer in time"), 504, 4),
    ],
)
@pytest.mark.parametrize("path", ["/v3/kv/put", "/v3/kv/deleterange", "/v3/kv/compaction"])
async def test_a_write_says_unavailable_only_where_nothing_happened(
    outcome: Outcome, status: int, code: int, path: str
) -> None:
    async with serving() as server, client_of(server) as http:
        server.node.outcome = outcome
        async with http.post(path, json=PUT) as answer:
            assert answer.status == status
            body = await answer.json()
    assert body["code"] == code
    assert body["message"].startswith("etcdserver: ")


async def test_a_write_that_fails_inside_the_node_is_of_unknown_outcome() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.error = RuntimeError("planted")
        async with http.post("/v3/kv/put", json=PUT) as answer:
            assert (answer.status, (await answer.json())["code"]) == (504, 4)


@pytest.mark.parametrize(
    ("path", "message", "serializable"),
    [
        ("/v3/kv/range", {"key": "YQ=="}, {"serializable": True}),
        ("/v3/kv/txn", {"success": [{"request_range": {"key": "YQ=="}}]}, None),
        ("/v3/cluster/member/list", {"linearizable": True}, {"linearizable": False}),
    ],
)
async def test_a_read_waits_for_the_barrier_unless_it_is_serializable(
    path: str, message: dict[str, object], serializable: dict[str, object] | None
) -> None:
    async with serving() as server, client_of(server) as http:
        server.node.read_failure = ReadFailed("no-leader", "no leader is known")
        async with http.post(path, json=message) as answer:
            assert (answer.status, await answer.json()) == (503, {"code": 14, "message": "etcdserver: no leader"})
        if serializable is not None:
            async with http.post(path, json={**message, **serializable}) as answer:
                assert answer.status == 200


async def test_a_read_sees_what_was_written_before_the_barrier_passed() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.on_barrier = [Put(b"a", b"1")]
        async with http.post("/v3/kv/range", json={"key": "YQ=="}) as answer:
            assert (await answer.json())["count"] == "1"
        server.node.on_barrier = [Put(b"a", b"2")]
        async with http.post("/v3/kv/txn", json={"success": [{"request_range": {"key": "YQ=="}}]}) as answer:
            (response,) = (await answer.json())["responses"]
            assert response["response_range"]["kvs"][0]["value"] == "Mg=="
        assert server.node.proposed == []


@pytest.mark.parametrize("path", ["maintenance/downgrade"])
async def test_what_etcd_has_and_this_cluster_has_not_is_unimplemented(path: str) -> None:
    async with serving() as server, client_of(server) as http, http.post(f"/v3/{path}", json={}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (501, 12)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_refused_as_etcd_refuses_it(method: str) -> None:
    async with serving() as server, client_of(server) as http:
        async with http.request(method, "/v3/kv/range") as answer:
            assert (answer.status, await answer.json()) == (501, {"code": 12, "message": "Method Not Allowed"})
        async with http.request(method, "/v3/kv/nothing") as answer:
            assert (answer.status, await answer.json()) == (404, {"code": 5, "message": "Not Found"})


async def test_the_content_type_does_not_matter() -> None:
    async with serving() as server, client_of(server) as http:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "image/png"):
            headers = {"Content-Type": kind}
            async with http.post("/v3/kv/range", data=b'{"key":"YQ=="}', headers=headers) as answer:
                assert answer.status == 200
                assert answer.content_type == "application/json"


async def test_a_body_that_comes_in_pieces_is_one_request() -> None:
    async with serving() as server:
        head = b"POST /v3/kv/range HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        status, _, body = await server.raw(head + b'7\r\n{"key":\r\n7\r\n"YQ==" \r\n1\r\n}\r\n0\r\n\r\n')
    assert status == 200, body


async def test_a_body_without_end_is_too_long_a_message() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b" " * (1 << 20)
            await asyncio.sleep(0)

    async with serving() as server, client_of(server) as http, http.post("/v3/kv/range", data=endless()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (429, 8)


async def test_a_value_may_be_longer_here_than_under_kv() -> None:
    value = b64encode(bytes(1_500_000)).decode()
    async with serving() as server, client_of(server) as http:
        body = BytesIO(json.dumps({"key": b64encode(b"k" * 9000).decode(), "value": value}).encode())
        async with http.post("/v3/kv/put", data=body) as answer:
            assert answer.status == 200
        async with http.post("/v3/kv/range", json={"key": "AA==", "range_end": "AA=="}) as answer:
            assert (await answer.json())["kvs"][0]["value"] == value


async def test_a_transaction_that_made_etcd_stop_is_done_here() -> None:
    """Keeping the value of a key that the same transaction deleted: there is none, so it is empty."""
    delete = {"request_delete_range": {"key": "YQ==", "range_end": "AA=="}}
    keep = {"request_put": {"key": "YQ==", "ignore_value": True}}
    async with serving() as server, client_of(server) as http:
        server.node.do(Put(b"a", b"1"))
        async with http.post("/v3/kv/txn", json={"success": [delete, keep]}) as answer:
            assert (answer.status, (await answer.json())["header"]["revision"]) == (200, "3")
        async with http.post("/v3/kv/range", json={"key": "YQ=="}) as answer:
            (kv,) = (await answer.json())["kvs"]
    assert kv == {"key": "YQ==", "create_revision": "3", "mod_revision": "3", "version": "1"}


async def test_version_and_health_are_what_clients_parse() -> None:
    async with serving() as server, client_of(server) as http:
        async with http.get("/version") as answer:
            version = (await answer.json())["etcdserver"]
            assert [int(part) for part in version.split(".")][:2] == [3, 6]
        async with http.get("/health") as answer:
            assert (answer.status, await answer.json()) == (200, {"health": "true", "reason": ""})
        server.node.read_failure = ReadFailed("no-leader", "no leader is known")
        async with http.get("/health") as answer:
            assert (answer.status, await answer.json()) == (503, {"health": "false", "reason": "RAFT NO LEADER"})
        async with http.get("/health?serializable=true") as answer:
            assert answer.status == 200


async def test_status_and_members_agree_on_stable_ids() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.own_status = node_status(leader="n2", role=Role.FOLLOWER)
        async with http.post("/v3/cluster/member/list") as answer:
            members = {member["name"]: member for member in (await answer.json())["members"]}
        async with http.post("/v3/maintenance/status") as answer:
            status = await answer.json()
        async with http.post("/v3/kv/range", json={"key": "YQ=="}) as answer:
            header = (await answer.json())["header"]
    assert sorted(members) == ["n1", "n2", "n3"]
    assert members["n1"]["clientURLs"] == ["http://127.0.0.1:8001"]
    assert status["leader"] == members["n2"]["ID"]
    assert status["header"]["member_id"] == members["n1"]["ID"] == header["member_id"]
    assert status["header"]["cluster_id"] == header["cluster_id"]
    assert len({member["ID"] for member in members.values()}) == 3
    assert all(0 < int(member["ID"]) < 2**64 for member in members.values())
    assert {"version", "dbSize", "raftIndex", "raftTerm", "raftAppliedIndex"} <= set(status)


async def test_a_node_without_a_leader_says_so_in_its_status() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.own_status = node_status(leader="", role=Role.FOLLOWER)
        async with http.post("/v3/maintenance/status") as answer:
            status = await answer.json()
    assert "leader" not in status
    assert status["errors"] == ["etcdserver: no leader"]
