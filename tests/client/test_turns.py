"""Locks and elections of real nodes: leaders die and nodes are left behind while one holds, another waits."""

import asyncio
import signal
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from raftclient import Leader, RaftClient
from tests.client.test_election import observed
from tests.cluster.harness import Cluster, running_cluster

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]

TOLD_SECONDS_MAX = 30.0
"""A lease of ten seconds, or who looks again every five, needs no longer on a busy machine."""
COUNTS = 100


def urls(cluster: Cluster) -> list[str]:
    return [str(node["url"]) for node in cluster.nodes.values()]


async def kill_the_leader(cluster: Cluster) -> None:
    leader = await cluster.leader()
    cluster.signal(leader, signal.SIGKILL)
    await cluster.leader(not_one_of=(leader,))


async def test_a_lock_is_held_and_waited_for_over_the_deaths_of_leaders(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(RaftClient(urls(cluster))) for _ in range(3)]
        waiting = two.lock("q"), three.lock("q")
        async with one.lock("q") as held:
            entering = []
            for lock in waiting:
                entering.append(asyncio.create_task(lock.__aenter__()))
                await cluster.until(lambda lock=lock: _has_token(lock), "it stands in the queue")  # type: ignore[misc]
            for _ in range(2):
                await kill_the_leader(cluster)
                held.check()
                assert not any(task.done() for task in entering)
                await cluster.all_there()
            held.check()
            cluster.signal(await cluster.leader(), signal.SIGKILL)  # and is released while nobody leads
        await asyncio.wait_for(entering[0], TOLD_SECONDS_MAX)
        assert not entering[1].done()
        assert held.token < waiting[0].token < waiting[1].token
        await waiting[0].__aexit__(None, None, None)
        await asyncio.wait_for(entering[1], TOLD_SECONDS_MAX)
        await waiting[1].__aexit__(None, None, None)


async def _has_token(lock: object) -> bool:
    return bool(getattr(lock, "token", 0))


async def test_who_waits_at_a_node_that_is_left_behind_has_its_turn(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(RaftClient(urls(cluster), discover=False)) for _ in range(2)]
        leader = await cluster.leader()
        left = next(name for name in cluster.nodes if name != leader)
        two._nodes.current = cluster.url(left)
        waiting = two.lock("q")
        async with one.lock("q"):
            entering = asyncio.create_task(waiting.__aenter__())
            await cluster.until(lambda: _has_token(waiting), "it stands in the queue")
            for peer in cluster.nodes:
                if peer != left:
                    order = f"{cluster.url(left)}/commands/cut_link"
                    async with cluster.http.post(order, json={"peer": peer, "seconds": 60}) as answer:
                        assert answer.status == 200, await answer.text()
        await asyncio.wait_for(entering, TOLD_SECONDS_MAX)
        waiting.check()
        await waiting.__aexit__(None, None, None)


async def test_two_clients_count_over_the_deaths_of_leaders_and_no_count_is_lost(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(RaftClient(urls(cluster))) for _ in range(2)]
        tokens: list[int] = []

        async def count(client: RaftClient) -> None:
            for _ in range(COUNTS):
                async with client.lock("counting") as lock:
                    found = await client.get("count")
                    await client.put("count", str(int(found.value) + 1 if found else 1))
                    tokens.append(lock.token)

        counting = asyncio.gather(count(one), count(two))
        for share in (0.25, 0.5):

            async def counted(share: float = share) -> bool:
                return len(tokens) >= 2 * COUNTS * share

            await cluster.until(counted, "they count")
            await kill_the_leader(cluster)
            await cluster.all_there()
        await counting
        found = await one.get("count")
        assert found is not None
        assert int(found.value) == 2 * COUNTS
        assert tokens == sorted(set(tokens))


async def test_an_election_goes_on_over_the_deaths_of_leaders_of_the_cluster(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(RaftClient(urls(cluster))) for _ in range(3)]
        first, second = one.election("chief"), two.election("chief")
        told = await stack.enter_async_context(aclosing(observed(three, "chief")))

        async def following() -> Leader:
            return await asyncio.wait_for(anext(told), TOLD_SECONDS_MAX)

        await first.campaign("a")
        assert (await following()).value == b"a"
        campaigning = asyncio.create_task(second.campaign("b"))
        await kill_the_leader(cluster)
        await first.proclaim("a2")
        assert (await following()).value == b"a2"
        assert not campaigning.done()
        await cluster.all_there()
        await kill_the_leader(cluster)
        await first.resign()
        leader = await following()
        assert (leader.value, leader.token) == (b"b", second.token)
        await asyncio.wait_for(campaigning, TOLD_SECONDS_MAX)
        assert second.token > first.token
        await second.resign()
