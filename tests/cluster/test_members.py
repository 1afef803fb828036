"""Members change under load, with real processes: a lost disk, a fourth node, one that is removed.

A disk that heals is in `make test`, as is a cluster that grows and shrinks (test_local_members.py); the rest takes
long.
"""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.changing import done, fourth, fourth_leads, is_a, known, members, status_at
from tests.cluster.harness import CALM, Cluster, running_cluster
from tests.cluster.oracle import Load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ENTRIES, TAIL = 300, 50


@pytest.fixture(autouse=True)
def snapshots_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node takes its settings from here."""
    for name, value in (("ENTRIES", ENTRIES), ("TAIL", TAIL)):
        monkeypatch.setenv(f"RAFT_SNAPSHOT_{name}", str(value))


async def ended(cluster: Cluster, load: Load) -> None:
    for writer in load.writers:
        writer.stopped = True
    await cluster.all_applied()
    await load.nothing_is_lost()


@pytest.mark.slowest
@pytest.mark.parametrize("which", [pytest.param("leader", marks=pytest.mark.longest), "follower"])
async def test_a_lost_disk_heals_by_itself_where_the_setting_allows_its_name(
    tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_AUTO_MEMBERS", "n?")
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4, pause_s=0.05) as load:
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
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4, pause_s=0.05) as load:
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


@pytest.mark.parametrize(
    "which", [pytest.param("leader", marks=pytest.mark.longest), pytest.param("follower", marks=pytest.mark.slowest)]
)
async def test_a_fourth_node_comes_in_catches_up_votes_and_takes_the_place_of_one_that_is_removed(
    tmp_path: Path, which: str
) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, Load(cluster, 4, pause_s=0.05) as load:
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
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4, pause_s=0.05) as load, fourth(cluster) as url:
        leader = await cluster.leader()
        away = next(name for name in cluster.nodes if name != leader)
        cluster.signal(away, signal.SIGKILL)
        await is_a(cluster, "applicants", "n4")
        await done(cluster, "add", "n4")
        await done(cluster, "promote", "n4")
        await fourth_leads(cluster, url)
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
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2, pause_s=0.05) as load, fourth(cluster) as url:
        await is_a(cluster, "voters", "n4")
        there = await fourth_leads(cluster, url)
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


@pytest.mark.slowest
async def test_one_that_moved_to_another_port_is_followed_once_the_members_are_told(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2) as load:
        async with fourth(cluster, "before.log"):
            await is_a(cluster, "applicants", "n4")
            await done(cluster, "add", "n4")
            await done(cluster, "promote", "n4")
        async with fourth(cluster, "moved.log", moved=True) as url:
            port = int(url.rpartition(":")[2]) + 1
            await load.more_acknowledged(20)
            code, out = await members(cluster, "update", "n4", "--client-url", url)
            assert code == 0, out
            told = await told_of(cluster, "n4")
            assert (told["client_url"], told["address"].endswith(f":{port}")) == (url, False)
            await done(cluster, "update", "n4", "--peer", f"127.0.0.1:{port}")
            told = await told_of(cluster, "n4")
            assert (told["client_url"], told["address"]) == (url, f"127.0.0.1:{port}")
            commit = (await cluster.statuses())[await cluster.leader()]["commit"]

            async def has_caught_up() -> bool:
                return bool((await status_at(cluster, url)).get("applied", 0) >= commit)

            await cluster.until(has_caught_up, "n4 has the log at its new address")
        code, out = await members(cluster, "update", "n9", "--peer", "127.0.0.1:9")
        assert (code, "n9 is no member" in out) == (1, True), out


async def told_of(cluster: Cluster, name: str) -> dict[str, Any]:
    """What the leader's `/members` says of that voter."""
    body = await known(cluster, await cluster.leader())
    return dict(next(voter for voter in body["voters"] if voter["name"] == name))


@pytest.mark.longest
@pytest.mark.slowest
async def test_one_that_was_removed_while_it_was_down_learns_of_it_when_it_comes_back(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2) as load:
        leader = await cluster.leader()
        away = next(name for name in cluster.nodes if name != leader)
        cluster.signal(away, signal.SIGKILL)
        await done(cluster, "remove", away)
        await load.more_acknowledged(20)
        terms = {status["term"] for status in (await cluster.statuses()).values()}
        await cluster.start_node(away)

        async def says_so() -> bool:
            status = await cluster.status(away)
            return bool(status and status["removed"] and "was removed" in status["waiting_for"])

        await cluster.until(says_so, f"{away} says that it was removed")
        await load.more_acknowledged(20)
        body = await known(cluster, await cluster.leader())
        assert away not in [one["name"] for one in body["voters"] + body["learners"]]
        async with cluster.http.post(f"{cluster.url(away)}/commands/trigger_election") as answer:
            assert (answer.status, "was removed" in await answer.text()) == (409, True)
        assert {status["term"] for status in (await cluster.statuses()).values()} == terms, "it disturbed the others"
        for writer in load.writers:
            writer.stopped = True
        await load.nothing_is_lost()


@pytest.mark.longest
async def test_one_that_was_removed_may_come_back_on_an_empty_disk(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 2, pause_s=0.05) as load:
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
