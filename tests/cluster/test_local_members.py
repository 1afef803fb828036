"""A local cluster grows and shrinks by one command each, with real processes, and goes on with who is there."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.supervisor.control import ask
from tests.cluster.harness import WAIT_SECONDS, Cluster, running_cluster
from tests.cluster.oracle import Load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def members(cluster: Cluster, *words: str) -> str:
    """`raft-node members ...` of the local cluster; what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", "members", *words, "--data-dir", str(cluster.folder / "data")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 2 * WAIT_SECONDS)
    assert process.returncode == 0, out.decode()
    return out.decode()


async def voters(cluster: Cluster, node: str) -> list[str]:
    async with cluster.http.get(f"{cluster.url(node)}/members") as answer:
        body: dict[str, Any] = json.loads(await answer.read())
    return [row["name"] for row in body["voters"]]


async def knows(cluster: Cluster, node: str, names: list[str]) -> None:
    """Wait until it does, by its own log: a moment after whoever was told that it is done."""

    async def same() -> bool:
        return await voters(cluster, node) == names

    await cluster.until(same, f"{node} knows the voters {names}")


@pytest.mark.slowest
async def test_a_local_cluster_grows_loses_its_leader_and_goes_on_as_it_is(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2, pause_s=0.05) as load:
        await load.more_acknowledged(50)
        said = await members(cluster, "add", "--promote")
        assert [line.partition(" at ")[0].split(" as process")[0] for line in said.splitlines()] == [
            "n4 was started",
            "n4 is a learner",
            "n4 is a voter",
        ]
        await knows(cluster, "n4", ["n1", "n2", "n3", "n4"])
        await load.more_acknowledged(50)
        leader = await cluster.leader()
        pid = int(cluster.nodes[leader]["pid"])
        said = await members(cluster, "remove", leader)
        assert said.splitlines()[0] == f"{leader} is no member"
        assert f"Process {pid} of {leader} has ended" in said
        assert not psutil.pid_exists(pid)
        left = [name for name in ("n1", "n2", "n3", "n4") if name != leader]
        assert list(cluster.nodes) == left
        await knows(cluster, await cluster.leader(), left)
        await load.more_acknowledged(50)
        said = await members(cluster, "add", leader, "--promote")  # one of the seeds, with the folder that it left
        assert f"{leader} is a voter" in said
        await load.more_acknowledged(50)
        for writer in load.writers:
            writer.stopped = True
        await load.nothing_is_lost()
        await cluster.stop()
        await cluster.start(4)
        assert sorted(cluster.nodes) == ["n1", "n2", "n3", "n4"]
        assert await voters(cluster, await cluster.leader()) == ["n1", "n2", "n3", "n4"]
        await load.nothing_is_lost()


@pytest.mark.slowest
async def test_what_etcds_member_api_does_holds_for_real_nodes(tmp_path: Path) -> None:
    """A voter is added by its peer URL through a follower, is promoted by itself, and leaves by its id."""
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2, pause_s=0.05) as load:
        await load.more_acknowledged(50)
        leader = await cluster.leader()
        follower = next(name for name in cluster.nodes if name != leader)

        async def post(verb: str, **message: Any) -> tuple[int, dict[str, Any]]:
            url = f"{cluster.url(follower)}/v3/cluster/member/{verb}"
            async with cluster.http.post(url, json=message) as answer:
                return answer.status, dict(json.loads(await answer.read()))

        # One more process, which nobody lets in
        assert (await ask(cluster.folder / "data", "add", "n4")).ok
        url = f"http://{cluster.nodes['n4']['peer']}"
        added: dict[str, Any] = {}

        async def let_in() -> bool:
            status, body = await post("add", peerURLs=[url])
            added.update(body)
            assert status in (200, 400, 503), body  # 400: it does not ask yet; 503: nobody leads for a moment
            return status == 200

        await cluster.until(let_in, "n4 is a voter")
        assert added["member"]["name"] == "n4"
        assert (added["member"]["peerURLs"], "isLearner" in added["member"]) == ([url], False)
        await knows(cluster, follower, ["n1", "n2", "n3", "n4"])
        status, body = await post("promote", ID=added["member"]["ID"])
        assert (status, body["message"]) == (400, "etcdserver: can only promote a learner member")
        status, body = await post("add", peerURLs=[url], isLearner=True)
        assert (status, body["message"]) == (400, "etcdserver: Peer URLs already exists")
        status, body = await post("update", ID=added["member"]["ID"], peerURLs=[url.replace("127.0.0.1", "localhost")])
        assert (status, body["members"][3]["peerURLs"]) == (200, [url.replace("127.0.0.1", "localhost")])
        status, body = await post("remove", ID=added["member"]["ID"])
        assert (status, [member["name"] for member in body["members"]]) == (200, ["n1", "n2", "n3"])
        status, body = await post("remove", ID=added["member"]["ID"])
        assert (status, body["message"]) == (404, "etcdserver: member not found")
        await load.more_acknowledged(20)
        for writer in load.writers:
            writer.stopped = True
        await load.nothing_is_lost()
