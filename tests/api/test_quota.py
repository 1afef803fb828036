"""A full store refuses what grows, says so as etcd does, and serves again when there is room."""

import base64
import json

import pytest

from node.statemachine.writes import Compact, DeleteRange, Put
from tests.api.double import client_of, serving

KEY, VALUE = base64.b64encode(b"k").decode(), base64.b64encode(b"v" * 500).decode()
PUT = {"request_put": {"key": KEY, "value": VALUE}}
FULL = {"code": 8, "message": "etcdserver: mvcc: database space exceeded"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v3/kv/put", {"key": KEY, "value": VALUE}),
        ("/v3/kv/txn", {"success": [PUT]}),
        ("/v3/kv/txn", {"failure": [PUT], "compare": [{"key": KEY, "target": "VERSION", "version": "7"}]}),
        ("/v3/kv/txn", {"success": [{"request_txn": {"success": [PUT]}}]}),
    ],
)
async def test_what_grows_gets_etcds_error_and_is_never_proposed(path: str, body: dict[str, object]) -> None:
    async with serving(quota_bytes=1_000) as server, client_of(server) as http:
        server.node.do(Put(b"a", b"x" * 1_000))
        async with http.post(path, data=json.dumps(body)) as answer:
            assert (answer.status, await answer.json()) == (429, FULL)
        assert server.node.proposed == []


async def test_kv_says_what_to_do_and_reads_go_on() -> None:
    async with serving(quota_bytes=1_000) as server, client_of(server) as http:
        server.node.do(Put(b"a", b"x" * 1_000))
        async with http.put("/kv/b", data=b"v") as answer:
            body = await answer.json()
            assert (answer.status, body["error"]) == (507, "store-full")
            assert "delete keys, and compact" in body["message"]
        async with http.get("/kv/a") as answer:
            assert answer.status == 200


async def test_deletes_and_compactions_make_room_and_then_it_serves_again() -> None:
    async with serving(quota_bytes=1_000) as server, client_of(server) as http:
        server.node.do(Put(b"a", b"x" * 1_000))
        async with http.delete("/kv/a") as answer:
            assert answer.status == 200
        async with http.post(
            "/v3/kv/txn", data=json.dumps({"success": [{"request_delete_range": {"key": KEY}}]})
        ) as txn:
            assert txn.status == 200
        revision = server.node.store.revision
        async with http.post("/v3/kv/compaction", data=json.dumps({"revision": str(revision)})) as answer:
            assert answer.status == 200
        server.node.store.tidy(1_000)
        async with http.put("/kv/b", data=b"v") as answer:
            assert answer.status == 200


async def test_below_it_nothing_changes() -> None:
    async with serving(quota_bytes=1_000_000) as server, client_of(server) as http:
        server.node.do(Put(b"a", b"x"), DeleteRange(b"a"), Compact(2))
        async with http.post("/v3/kv/put", data=json.dumps({"key": KEY, "value": VALUE})) as answer:
            assert answer.status == 200
