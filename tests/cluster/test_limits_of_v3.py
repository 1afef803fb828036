"""What a real node answers on /v3 where a limit is reached: code, HTTP status and sentence, as README and docs say.

(A log that is full: test_refusals.py, which fills one.)
"""

import asyncio
import base64
import io
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import Cluster, running_cluster, standing_cluster, visiting

pytestmark = pytest.mark.slow

QUOTA_BYTES = 1024 * 1024
PATIENT = ("--heartbeat-ms", "100", "--election-timeout-ms", "4000-5000")
"""A leader without followers leads on for longer than the test asks."""
KEY = base64.b64encode(b"k").decode()
ONE = {"key": KEY, "value": KEY}
PUT = {"request_put": ONE}
FULL = (429, {"code": 8, "message": "etcdserver: mvcc: database space exceeded"})


def value(size_bytes: int) -> str:
    return base64.b64encode(b"v" * size_bytes).decode()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three nodes with little room."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAFT_QUOTA_BYTES", str(QUOTA_BYTES))
        with standing_cluster(tmp_path_factory.mktemp("limits"), 3) as folder:
            yield folder


@pytest.fixture
async def cluster(standing: Path) -> AsyncIterator[Cluster]:
    async with visiting(standing) as cluster:
        yield cluster


async def post(cluster: Cluster, path: str, body: object, node: str = "n1") -> tuple[int, Any]:
    """Status, and the JSON of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with cluster.http.post(cluster.url(node) + path, data=io.BytesIO(data)) as answer:
        return answer.status, await answer.json()


async def test_a_full_store_refuses_what_grows_in_etcds_words_until_there_is_room(cluster: Cluster) -> None:
    for number in range(12):
        await post(cluster, "/v3/kv/put", {"key": value(number + 1), "value": value(100_000)})
    for path, body in (
        ("put", ONE),
        ("txn", {"success": [PUT]}),
        ("txn", {"compare": [{"key": KEY, "target": "VERSION", "version": "7"}], "failure": [PUT]}),
        ("/v3/lease/grant", {"TTL": "10"}),
    ):
        assert await post(cluster, path if path[0] == "/" else f"/v3/kv/{path}", body) == FULL, path
    async with cluster.http.put(f"{cluster.url('n1')}/kv/k", data=b"v") as plain:
        assert (plain.status, (await plain.json())["error"]) == (507, "store-full")
    everything = {"key": "AA==", "range_end": "AA=="}
    status, deleted = await post(cluster, "/v3/kv/deleterange", everything)
    assert (status, int(deleted["deleted"]) > 5) == (200, True)
    status, _ = await post(cluster, "/v3/kv/compaction", {"revision": deleted["header"]["revision"]})
    assert status == 200

    async def room() -> bool:
        return (await post(cluster, "/v3/kv/put", ONE))[0] == 200

    await cluster.until(room, "compaction makes room")


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"key": KEY, "value": value(3 * 1024 * 1024)}, 429, 8, "received message larger than max"),
        ({"key": KEY, "value": value(1_600_000)}, 400, 3, "etcdserver: request is too large"),
        (b'{"key":"aw==","value":"aw==","lease":' + b"1" * 20_000 + b"}", 429, 8, "received message larger than max"),
    ],
    ids=["a message", "a write", "a number"],
)
async def test_what_is_too_long_to_be_written(
    cluster: Cluster, body: object, status: int, code: int, says: str
) -> None:
    answered, said = await post(cluster, "/v3/kv/put", body)
    assert (answered, said["code"]) == (status, code)
    assert says in said["message"]


async def test_too_many_operations_and_too_many_tokens(cluster: Cluster) -> None:
    status, said = await post(cluster, "/v3/kv/txn", {"success": [{"request_range": {"key": KEY}}] * 1025})
    assert (status, said) == (400, {"code": 3, "message": "etcdserver: too many operations in txn request"})
    status, said = await post(cluster, "/v3/kv/txn", {"success": [{"request_range": {"key": KEY}}] * 8_000})
    assert (status, said["code"]) == (429, 8)
    assert "received message larger than max" in said["message"]


@pytest.mark.slowest
async def test_what_waits_to_be_committed_is_bounded_and_more_was_provably_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_MAX_UNCOMMITTED_BYTES", str(2 * 1024 * 1024))
    async with running_cluster(tmp_path, 3, *PATIENT) as cluster:
        leader = await cluster.leader()
        others = [name for name in cluster.nodes if name != leader]
        body = {"key": KEY, "value": value(600_000)}
        for name in others:
            cluster.signal(name, signal.SIGSTOP)
        try:
            asked = [asyncio.create_task(post(cluster, "/v3/kv/put", body, leader)) for _ in range(4)]
            done, waiting = await asyncio.wait(asked, timeout=3, return_when=asyncio.FIRST_COMPLETED)
            async with cluster.http.put(f"{cluster.url(leader)}/kv/x", data=b"v" * 600_000) as answer:
                plain = answer.status, answer.headers.get("Retry-After"), (await answer.json())["error"]
        finally:
            for name in others:
                cluster.signal(name, signal.SIGCONT)
        ((status, said),) = [task.result() for task in done]
        assert (status, said["code"]) == (503, 14)
        assert said["message"].startswith("etcdserver: ")
        assert "of at most 2097152 wait to be committed" in said["message"]
        assert plain == (503, "1", "overloaded")
        assert [(await task)[0] for task in waiting] == [200] * 3


def test_the_readme_says_so() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"`{FULL[1]['message']}`" in readme
