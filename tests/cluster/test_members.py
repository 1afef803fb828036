"""Members change under load, with real processes: a lost disk, a fourth node, one that is removed."""

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.harness import WAIT_SECONDS, Cluster, free_base_port, running_cluster
from tests.cluster.oracle import Load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ENTRIES, TAIL = 300, 50


@pytest.fixture(autouse=True)
def snapshots_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node takes its settings from here."""
    for name, value in (("ENTRIES", ENTRIES), ("TAIL", TAIL)):
        monkeypatch.setenv(f"RAFT_SNAPSHOT_{name}", str(value))


async def members(cluster: Cluster, *words: str) -> tuple[int, str]:
    """`raft-node members ...` by the nodes' URLs, so that no process is started or ended; exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", "members", *words, *(str(node["url"]) for node in cluster.nodes.values())),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
    return process.returncode or 0, out.decode()


async def known(cluster: Cluster, node: str) -> dict[str, Any]:
    """`/members` of one node."""
    async with cluster.http.get(f"{cluster.url(node)}/members") as answer:
        return dict(json.loads(await answer.read()))


async def is_a(cluster: Cluster, kind: str, name: str) -> None:
    """Wait until the leader has `name` among its voters, learners or applicants."""

    async def so() -> bool:
        body = await known(cluster, await cluster.leader())
        return name in [row["name"] for row in body[kind]] and not body["changing"]

    await cluster.until(so, f"{name} is among the {kind}")


async def done(cluster: Cluster, *words: str) -> None:
    """A change is made, as soon as the leader has time for it and the member has caught up."""
    said: list[str] = []

    async def taken() -> bool:
        code, out = await members(cluster, *words)
        said.append(out)
        assert code in (0, 1, 4), out
        return code == 0

    try:
        await cluster.until(taken, f"members {' '.join(words)}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{said[-1]}") from None


async def ended(cluster: Cluster, load: Load) -> None:
    for writer in load.writers:
        writer.stopped = True
    await cluster.all_applied()
    await load.nothing_is_lost()


@pytest.mark.parametrize("which", [pytest.param("leader", marks=pytest.mark.longest), "follower"])
async def test_a_lost_disk_heals_by_itself_where_the_setting_allows_its_name(
    tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_AUTO_MEMBERS", "n?")
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4) as load:
        leader = await cluster.leader()
        wiped = leader if which == "leader" else next(name for name in cluster.nodes if name != leader)
        await load.more_acknowledged(2 * (ENTRIES + TAIL))
        before = (await cluster.statuses())[wiped]["incarnation"]
        await cluster.wipe(wiped)

        async def votes_again() -> bool:
            status = await cluster.status(wiped)
            own = {"name": wiped, "incarnation": status["incarnation"]} if status else {}
            return bool(status and own["incarnation"] != before and own in status["voters"] and not status["removed"])

        await cluster.until(votes_again, f"{wiped} is a voter with its new disk")
        await load.more_acknowledged(50)
        await ended(cluster, load)


@pytest.mark.longest
async def test_without_the_setting_an_operator_heals_it(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4) as load:
        leader = await cluster.leader()
        wiped = next(name for name in cluster.nodes if name != leader)
        await load.more_acknowledged(2 * (ENTRIES + TAIL))
        await cluster.wipe(wiped)
        await is_a(cluster, "applicants", wiped)
        code, out = await members(cluster, "list")
        assert (code, f"raft-node members replace {wiped}" in out) == (0, True), out
        status = await cluster.status(wiped)
        assert status is not None
        assert (status["role"], status["last_index"]) == ("initial", 0)
        await done(cluster, "replace", wiped)
        await done(cluster, "promote", wiped)
        await is_a(cluster, "voters", wiped)
        await load.more_acknowledged(50)
        await ended(cluster, load)


@asynccontextmanager
async def fourth(cluster: Cluster, log_name: str = "n4.log") -> AsyncIterator[str]:
    """A node n4 beside the cluster, on an empty disk; its URL."""
    base = free_base_port(2)
    seeds = ",".join(f"{seed}={node['peer']}" for seed, node in cluster.nodes.items())
    with (cluster.folder / log_name).open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.cli", "serve", "--name", "n4", "--seeds", seeds),
            *("--data-dir", str(cluster.folder / "n4"), "--port", str(base), "--peer-port", str(base + 1)),
            stderr=stderr,
        )
    try:
        yield f"http://127.0.0.1:{base}"
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), WAIT_SECONDS)


async def status_at(cluster: Cluster, url: str) -> dict[str, Any]:
    try:
        async with cluster.http.get(f"{url}/status", timeout=aiohttp.ClientTimeout(total=1)) as answer:
            return dict(await answer.json())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}


@pytest.mark.parametrize("which", [pytest.param("leader", marks=pytest.mark.longest), "follower"])
async def test_a_fourth_node_comes_in_catches_up_votes_and_takes_the_place_of_one_that_is_removed(
    tmp_path: Path, which: str
) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4) as load:
        await load.more_acknowledged(2 * (ENTRIES + TAIL))
        async with fourth(cluster) as url:
            await is_a(cluster, "applicants", "n4")
            await done(cluster, "add", "n4")
            await is_a(cluster, "learners", "n4")
            await done(cluster, "promote", "n4")
            await is_a(cluster, "voters", "n4")
            caught_up = await status_at(cluster, url)
            assert caught_up["snapshot"]["index"] > 0
            assert not caught_up["removed"]
            leader = await cluster.leader()
            removed = leader if which == "leader" else next(name for name in cluster.nodes if name != leader)
            await done(cluster, "remove", removed)

            async def says_so() -> bool:
                status = await cluster.status(removed)
                return bool(status and status["removed"] and "was removed" in status["waiting_for"])

            await cluster.until(says_so, f"{removed} says that it was removed")
            async with cluster.http.get(f"{cluster.url(removed)}/readyz") as answer:
                assert (answer.status, "was removed" in await answer.text()) == (503, True)
            await load.more_acknowledged(50)
            term = max(status["term"] for status in (await cluster.statuses()).values())
            await load.more_acknowledged(200)
            after = {name: status for name, status in (await cluster.statuses()).items() if name != removed}
            assert {status["term"] for status in after.values()} == {term}, "the removed one disturbed an election in"
            assert all(removed not in [v["name"] for v in status["voters"]] for status in after.values())
            for writer in load.writers:
                writer.stopped = True
            await load.nothing_is_lost()


@pytest.mark.longest
async def test_a_follower_that_was_away_takes_a_snapshot_from_a_leader_that_it_does_not_know(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4) as load, fourth(cluster) as url:
        leader = await cluster.leader()
        away = next(name for name in cluster.nodes if name != leader)
        cluster.signal(away, signal.SIGKILL)
        await is_a(cluster, "applicants", "n4")
        await done(cluster, "add", "n4")
        await done(cluster, "promote", "n4")
        there = await cluster.leader()

        async def n4_leads() -> bool:
            handed = {"target": "n4"}
            async with cluster.http.post(f"{cluster.url(there)}/commands/transfer_leadership", json=handed):
                return bool((await status_at(cluster, url)).get("role") == "leader")

        await cluster.until(n4_leads, "n4 leads")
        await load.more_acknowledged(3 * (ENTRIES + TAIL))
        await cluster.start_node(away)

        async def follows() -> bool:
            status = await cluster.status(away)
            voters = [voter["name"] for voter in status["voters"]] if status else []
            return bool(status and status["first_index"] > 1 and status["leader"] == "n4" and "n4" in voters)

        await cluster.until(follows, f"{away} follows n4")
        await load.more_acknowledged(20)


@pytest.mark.longest
async def test_a_lost_disk_heals_although_the_leader_is_none_of_those_that_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty disk asks its seeds; n4 leads, which is no seed, and hears of it from them."""
    monkeypatch.setenv("RAFT_AUTO_MEMBERS", "n?")
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2) as load, fourth(cluster) as url:
        await is_a(cluster, "voters", "n4")
        there = await cluster.leader()

        async def n4_leads() -> bool:
            handed = {"target": "n4"}
            async with cluster.http.post(f"{cluster.url(there)}/commands/transfer_leadership", json=handed):
                return bool((await status_at(cluster, url)).get("role") == "leader")

        await cluster.until(n4_leads, "n4 leads")
        wiped = next(name for name in cluster.nodes if name != there)
        before = (await cluster.statuses())[wiped]["incarnation"]
        await cluster.wipe(wiped)

        async def votes_again() -> bool:
            status = await cluster.status(wiped)
            own = {"name": wiped, "incarnation": status["incarnation"]} if status else {}
            return bool(status and own["incarnation"] != before and own in status["voters"])

        await cluster.until(votes_again, f"{wiped} is a voter with its new disk")
        assert (await status_at(cluster, url))["role"] == "leader"
        await load.more_acknowledged(20)


@pytest.mark.longest
async def test_one_that_was_removed_may_come_back_on_an_empty_disk(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2) as load:
        async with fourth(cluster):
            await is_a(cluster, "applicants", "n4")
            await done(cluster, "add", "n4")
            await done(cluster, "promote", "n4")
            await done(cluster, "remove", "n4")
        shutil.rmtree(cluster.folder / "n4")
        async with fourth(cluster, "again.log"):
            await is_a(cluster, "applicants", "n4")
            await done(cluster, "add", "n4")
            await done(cluster, "promote", "n4")
            await is_a(cluster, "voters", "n4")
            await load.more_acknowledged(20)
