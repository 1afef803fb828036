"""Real nodes: a write whose answer was lost is done once, though it is sent again over leader changes and restarts.

The store counts the writes to a key (`version`), so what was done twice shows.
"""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from raftclient import RaftClient, RevisionMismatch
from tests.client.losing import Lost, losing, nothing
from tests.cluster.harness import Cluster, raft_node, running_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 2
CALM = ("--heartbeat-ms", "50", "--election-timeout-ms", "500-1000")


@pytest.fixture
def many_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are soon behind the beginning of every log: what is known of them then is in snapshots."""
    monkeypatch.setenv("RAFT_SNAPSHOT_ENTRIES", "20")
    monkeypatch.setenv("RAFT_SNAPSHOT_TAIL", "5")


def urls(cluster: Cluster) -> list[str]:
    return [str(node["url"]) for node in cluster.nodes.values()]


async def row(cluster: Cluster, key: str) -> dict[str, Any]:
    """What the list of keys says of that one: its revisions and version."""
    for url in urls(cluster):
        with suppress(aiohttp.ClientConnectorError):
            async with cluster.http.get(f"{url}/kv/?prefix={key}") as answer:
                if answer.status == 200:
                    (found,) = (await answer.json())["keys"]
                    return dict(found)
    raise AssertionError("no node reads")


async def write_with_losses(cluster: Cluster, writes: int) -> int:
    """So many puts of one key, of which every second loses its first answer; how often the key was written."""
    loses: list[Lost] = []
    async with losing(urls(cluster), loses) as ways, RaftClient(ways, discover=False) as client:
        for number in range(writes):
            loses += [nothing] * (number % 2)
            revision = await client.put("k", str(number))
            assert not loses
        assert client.retries >= writes // 2
    found = await row(cluster, "k")
    if found["version"] == writes:
        assert found["mod_revision"] == revision, "the answer that came in the end is that of the write"
    return int(found["version"])


@pytest.mark.slowest
async def test_a_write_whose_answer_was_lost_is_done_once(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        assert await write_with_losses(cluster, 20) == 20


@pytest.mark.slowest
async def test_a_command_whose_answer_was_lost_is_done_once(tmp_path: Path) -> None:
    """`raft-node put` and `delete`: also where the leader is killed before it answers."""
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        loses: list[Lost] = []
        async with losing(urls(cluster), loses) as ways:
            named = [word for way in ways for word in ("--url", way)]
            for turn in (1, 2):
                loses += [nothing] * turn
                code, out = await raft_node("put", "k", str(turn), *named)
                assert (code, not loses) == (0, True), out
                found = await row(cluster, "k")
                assert (found["version"], out) == (turn, f"put k (revision {found['mod_revision']})\n")
            killed: list[str] = []

            async def kill(url: str) -> None:
                killed.append(next(name for name, node in cluster.nodes.items() if node["url"] == url))
                cluster.signal(killed[0], signal.SIGKILL)

            leader = list(cluster.nodes).index(await cluster.leader())
            loses.append(kill)
            straight = ("--url", ways[leader], *(word for way in ways for word in ("--url", way)))
            code, out = await raft_node("put", "k", "3", "--if-match", str(found["mod_revision"]), *straight)
            assert (code, len(killed)) == (0, 1), out
            found = await row(cluster, "k")
            assert (found["version"], out) == (3, f"put k (revision {found['mod_revision']})\n")


@pytest.mark.slowest
async def test_nodes_that_forget_sessions_are_noticed_by_it(tmp_path: Path) -> None:
    """The planted bug: else the test before would prove nothing."""
    async with running_cluster(tmp_path, 3, *CALM, program="tests.client.forgetful") as cluster:
        assert await write_with_losses(cluster, 20) >= 30, "each answer that was lost is done twice"


@pytest.mark.slowest
@pytest.mark.usefixtures("many_snapshots")
async def test_a_leader_that_is_killed_between_doing_and_answering_leaves_the_write_done_once(tmp_path: Path) -> None:
    """The new leader knows what the old one answered."""
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        killed: list[str] = []

        async def kill(url: str) -> None:
            name = next(name for name, node in cluster.nodes.items() if node["url"] == url)
            cluster.signal(name, signal.SIGKILL)
            killed.append(name)

        loses: list[Lost] = []
        async with losing(urls(cluster), loses) as ways, RaftClient(ways, timeout_s=30, discover=False) as client:
            expected = 0
            for turn in range(KILLS):
                for _ in range(25):
                    expected = await client.compare_and_set("counter", str(expected), expected)
                leader = await cluster.leader()
                async with RaftClient([ways[list(cluster.nodes).index(leader)]], discover=False) as straight:
                    await straight.put("warm", "up")
                loses.append(kill)
                expected = await client.compare_and_set("counter", "killed", expected)
                assert len(killed) == turn + 1
                await cluster.until(lambda: _ended(cluster, killed[-1]), f"{killed[-1]} is gone")
                await cluster.start_node(killed[-1])
                await cluster.all_known()
            with pytest.raises(RevisionMismatch):
                await client.compare_and_set("counter", "x", expected - 1)
        found = await row(cluster, "counter")
        assert (found["version"], found["mod_revision"]) == (KILLS * 26, expected)


async def _ended(cluster: Cluster, name: str) -> bool:
    return not cluster.nodes[name]["pid"]


@pytest.mark.slowest
async def test_a_paused_node_holds_up_no_write_and_does_none_behind_the_back_of_later_ones(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, RaftClient(urls(cluster)) as client:
        await client.put("k", "before")
        leader = await cluster.leader()
        async with RaftClient([cluster.url(leader)], discover=False) as straight:
            await straight.put("own", "session")
            cluster.signal(leader, signal.SIGSTOP)
            late = asyncio.create_task(straight.put("k", "late"))
            await client.put("k", "during")
            late.cancel()
            await asyncio.wait([late])
            await client.put("k", "after")
            cluster.signal(leader, signal.SIGCONT)
            await cluster.all_known()
            await straight.put("own", "again")  # from here on the late write is refused, should it still be on its way
        settled = await client.put("k", "settled")
        assert client.longest_stall_s < 10
        await cluster.all_applied()
        assert (await row(cluster, "k"))["mod_revision"] == settled


@pytest.mark.slowest
@pytest.mark.usefixtures("many_snapshots")
async def test_sessions_outlive_every_node_and_an_expired_one_says_so(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        first, second = urls(cluster)[:2]

        async def register(query: str = "") -> str:
            async with cluster.http.post(f"{first}/sessions{query}") as answer:
                return str((await answer.json())["session"])

        async def put(url: str, session: str, sequence: int) -> tuple[int, dict[str, Any]]:
            headers = {"Raft-Session": session, "Raft-Sequence": str(sequence)}
            async with cluster.http.put(f"{url}/kv/k", data=b"v", headers=headers) as answer:
                return answer.status, await answer.json()

        session = await register()
        done = await put(first, session, 1)
        assert done[0] == 200
        for _ in range(60):  # the session is behind every log's beginning then
            async with cluster.http.put(f"{first}/kv/other", data=b"v") as answer:
                assert answer.status == 200
        assert await put(second, session, 1) == done, "whichever node is asked"
        for name in cluster.nodes:
            cluster.signal(name, signal.SIGKILL)
        for name in cluster.nodes:
            await cluster.until(lambda name=name: _ended(cluster, name), f"{name} is gone")  # type: ignore[misc]
        await cluster.all_there()
        assert await put(second, session, 1) == done, "after every node was killed"
        assert (await row(cluster, "k"))["version"] == 1
        short = await register("?idle_ms=3000")
        assert (await put(first, short, 1))[0] == 200
        await asyncio.sleep(3.3)  # it is the time of a session that passes here
        status, said = await put(first, short, 1)
        assert (status, said["error"]) == (410, "session-expired")
        assert (await row(cluster, "k"))["version"] == 2, "and it was not done anew"
