"""Three of five disks are gone for good: what the survivors have goes on, and nobody else does (docs/operations.md)."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.changing import done
from tests.cluster.harness import Cluster, raft_node, running_cluster
from tests.cluster.oracle import Load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOST = ("n3", "n4", "n5")
SURVIVORS = ("n1", "n2")


async def ended(cluster: Cluster, name: str, number: signal.Signals) -> None:
    cluster.signal(name, number)

    async def gone() -> bool:
        return not cluster.nodes[name]["pid"]

    await cluster.until(gone, f"{name} is gone")


async def position_of(cluster: Cluster, name: str, *others: str) -> dict[str, Any]:
    """What `force-new` says of one survivor when it is asked without --yes."""
    folder = str(cluster.folder / "data" / name)
    survivors = [word for each in (name, *others) for word in ("--survivor", each)]
    code, out = await raft_node("members", "force-new", *survivors, "--data-dir", folder, "--json")
    assert code == 1, out
    return dict(json.loads(out.splitlines()[0]))


async def write(cluster: Cluster, name: str, key: str) -> int:
    """Status of a write through that node, 0 where it does not answer."""
    try:
        timeout = aiohttp.ClientTimeout(total=10)
        async with cluster.http.put(f"{cluster.url(name)}/kv/{key}", data=b"1", timeout=timeout) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0


@pytest.mark.slowest
async def test_two_survivors_of_five_go_on_with_all_that_they_have_and_three_new_disks_are_let_in(
    tmp_path: Path,
) -> None:
    async with running_cluster(tmp_path, 5) as cluster:
        async with Load(cluster, 4, pause_s=0.05) as load:
            await load.more_acknowledged(200)
        old_id = (await cluster.statuses())["n1"]["cluster_id"]
        await cluster.all_applied()
        for name in LOST:
            await ended(cluster, name, signal.SIGKILL)
            shutil.rmtree(cluster.nodes[name]["data_dir"])
        assert await write(cluster, "n1", "lost") in (503, 504)

        folder = str(cluster.folder / "data" / "n1")
        code, out = await raft_node("members", "force-new", "--survivor", "n1", "--data-dir", folder, "--yes")
        assert (code, "is in use by process" in out) == (3, True), out

        for name in SURVIVORS:
            await ended(cluster, name, signal.SIGTERM)
        told = {name: await position_of(cluster, name) for name in SURVIVORS}
        positions = [word for name in SURVIVORS for word in ("--survivor", f"{name}={told[name]['position']}")]
        going_on: set[str] = set()
        for name in SURVIVORS:
            where = ("--data-dir", str(cluster.folder / "data" / name))
            code, out = await raft_node("members", "force-new", *positions, *where)
            assert code == 1, out
            if "LOST" in out:
                going_on.add(name)
        assert going_on, "one of them ends last"
        new_ids = set()
        best = [word for name in SURVIVORS if name in going_on
                for word in ("--survivor", f"{name}={told[name]['position']}")]  # fmt: skip
        for name in going_on:
            where = ("--data-dir", str(cluster.folder / "data" / name))
            code, out = await raft_node("members", "force-new", *best, *where, "--yes", "--json")
            assert code == 0, out
            made = json.loads(out)
            assert set(made["members"]) == going_on
            new_ids.add(made["cluster_id"])
        assert len(new_ids) == 1
        assert old_id not in new_ids

        empty = [name for name in cluster.nodes if name not in going_on]
        for name in set(SURVIVORS) - going_on:
            shutil.rmtree(cluster.nodes[name]["data_dir"])
        for name in cluster.nodes:
            await cluster.start_node(name)
        for name in empty:
            await done(cluster, "add", name)
            await done(cluster, "promote", name)
        await cluster.all_known()
        await load.nothing_is_lost()

        async def all_have_five() -> bool:
            """Each by its own log: who is behind learns it a moment later."""
            statuses = await cluster.statuses()
            return len(statuses) == 5 and all(len(status["voters"]) == 5 for status in statuses.values())

        await cluster.until(all_have_five, "every node knows five voters")
        assert {status["cluster_id"] for status in (await cluster.statuses()).values()} == new_ids
        assert await write(cluster, "n5", "more") == 200
