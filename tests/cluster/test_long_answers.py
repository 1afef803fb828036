"""Answers that no message between nodes can hold: the write was done, this is said, and no other answer is lost."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.harness import Cluster, running_cluster

pytestmark = pytest.mark.slow

VALUE = b"x" * (1024 * 1024)
KEYS = 5
OTHERS = 40


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _post(cluster: Cluster, name: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=30)
    data = io.BytesIO(json.dumps(body).encode())
    async with cluster.http.post(f"{cluster.url(name)}/v3/kv/{path}", data=data, timeout=timeout) as answer:
        return answer.status, await answer.json(content_type=None)


async def _fill(cluster: Cluster, leader: str) -> None:
    for number in range(KEYS):
        body = {"key": _text(b"long-%d" % number), "value": _text(VALUE)}
        assert (await _post(cluster, leader, "put", body))[0] == 200


@pytest.mark.slowest
async def test_a_delete_that_answers_with_five_long_values_is_done_and_takes_no_other_answer_with_it(
    tmp_path: Path,
) -> None:
    delete = {"key": _text(b"long-"), "range_end": _text(b"long."), "prev_kv": True}
    async with running_cluster(tmp_path, 3) as cluster:
        leader = await cluster.leader()
        follower = next(name for name in cluster.nodes if name != leader)
        await _fill(cluster, leader)
        (status, body), *others = await asyncio.gather(
            _post(cluster, follower, "deleterange", delete),
            *(
                _post(cluster, follower, "put", {"key": _text(b"other-%d" % n), "value": _text(b"v")})
                for n in range(OTHERS)
            ),
        )
        assert status == 504
        assert "was done" in body["message"]
        assert "its answer is too long to be sent here" in body["message"]
        assert [status for status, _ in others] == [200] * OTHERS
        _, left = await _post(cluster, follower, "range", {"key": _text(b"long-"), "range_end": _text(b"long.")})
        assert "kvs" not in left, "it was done"
        await _fill(cluster, leader)
        status, body = await _post(cluster, leader, "deleterange", delete)
        assert (status, body["deleted"], len(body["prev_kvs"])) == (200, str(KEYS), KEYS)
        async with cluster.http.get(f"{cluster.url(leader)}/metrics") as answer:
            metrics = await answer.text()
        assert 'raft_forward_answers_failed_total{why="too-long"} 1.0' in metrics
