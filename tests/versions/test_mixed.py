"""An upgrade node by node under load, and the way back after the newer release has written: nothing is lost."""

import base64
from pathlib import Path
from typing import Any

import pytest

from raftclient import RaftClient
from tests.cluster.oracle import Load
from tests.versions.mixed import NAMES, Mixed, old_cluster

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(400)]


async def test_a_rolling_upgrade_under_load_and_a_rollback_after_writes_of_the_newer_release(tmp_path: Path) -> None:
    async with old_cluster(tmp_path) as cluster, Load(cluster, 4, pause_s=0.01) as load:
        await load.more_acknowledged(100)
        await rolled(cluster, load, cluster.new)
        written = await written_through(cluster)
        await load.more_acknowledged(100)
        seen = {name: await cluster.store(name, written) for name in NAMES}
        assert seen["n1"] == seen["n2"] == seen["n3"]
        await rolled(cluster, load, cluster.old)
        for name in NAMES:
            assert await cluster.store(name, written) == seen[name], f"the older {name} reads what the newer wrote"
        await load.nothing_is_lost()


async def rolled(cluster: Mixed, load: Load, source: Path) -> None:
    """One node after the other. In between, nodes of both releases lead, and take writes through each."""
    for name in NAMES:
        await cluster.roll(name, source)
        others = [other for other in NAMES if cluster.runs[other] is not source]
        for leader in (*others[:1], name):
            await cluster.led_by(leader)
            await load.more_acknowledged(40)
        if name == NAMES[0]:
            await commands_of_one_ask_nodes_of_the_other(cluster)


async def commands_of_one_ask_nodes_of_the_other(cluster: Mixed) -> None:
    for source in (cluster.old, cluster.new):
        other = next(name for name in NAMES if cluster.runs[name] is not source)
        await cluster.command(source, "put", "by-the-other", source.name, "--url", cluster.url(other))
        assert await cluster.command(source, "get", "by-the-other", "--url", cluster.url(other)) == source.name
    for name in NAMES[:2]:
        async with RaftClient([cluster.url(name)], session=cluster.http) as client:
            await client.put(f"by-the-client-through-{name}", b"v")


async def written_through(cluster: Mixed) -> int:
    """Writes of every kind, each through another node than the one before; the revision after them."""
    urls = [cluster.url(name) for name in NAMES]
    async with RaftClient(urls, session=cluster.http) as client:
        await client.put("in-a-session", b"1")
        await client.delete("in-a-session")
    put = {"request_put": {"key": coded(b"txn"), "value": coded(bytes(range(256)) * 8)}}
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("lease/grant", {"ID": "77", "TTL": "3600"}),
        ("kv/put", {"key": coded(b"leased"), "value": "", "lease": "77"}),
        ("kv/txn", {"success": [put]}),
        ("kv/deleterange", {"key": coded(b"in-"), "range_end": coded(b"in.")}),
        ("kv/put", {"key": coded(b"last"), "value": ""}),
    )
    for at, (kind, body) in enumerate(kinds):
        revision = await asked(cluster, urls[at % len(urls)], kind, body)
    await asked(cluster, urls[0], "kv/compaction", {"revision": str(revision - 1)})
    return revision


async def asked(cluster: Mixed, url: str, what: str, body: dict[str, Any]) -> int:
    """The revision of the answer."""
    async with cluster.http.post(f"{url}/v3/{what}", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["header"]["revision"])


def coded(text: bytes) -> str:
    return base64.b64encode(text).decode()
