"""`raft-node members fit` with real processes under load: who is named and asks is let in, who is not is taken out, and
a rollout is refused while it could cost the majority."""

import signal
from pathlib import Path

import pytest

from tests.cluster.changing import fourth, is_a, known, status_at
from tests.cluster.harness import CALM, Cluster, raft_node, running_cluster
from tests.cluster.oracle import Load

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(180)]


async def fit(cluster: Cluster, names: str, *options: str) -> tuple[int, str]:
    """`options`: URLs of others among them."""
    urls = [str(node["url"]) for node in cluster.nodes.values()]
    return await raft_node("members", "fit", "--names", names, *options, *urls)


async def voters(cluster: Cluster) -> list[str]:
    return [row["name"] for row in (await known(cluster, await cluster.leader()))["voters"]]


async def killed(cluster: Cluster, name: str) -> None:
    cluster.signal(name, signal.SIGKILL)

    async def gone() -> bool:
        return not cluster.nodes[name]["pid"]

    await cluster.until(gone, f"{name} is gone")


async def test_who_comes_is_let_in_and_who_goes_is_taken_out_before_it_ends(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4, pause_s=0.05) as load:
        await load.more_acknowledged(50)
        code, said = await fit(cluster, "n1,n2,n3,n4", "--within", "1")
        assert (code, "n4 must come and ask to be let in" in said) == (1, True), said
        async with fourth(cluster):
            code, said = await fit(cluster, "n1,n2,n3,n4", "--before-rollout")
            assert (code, await voters(cluster)) == (0, ["n1", "n2", "n3"]), said
            code, said = await fit(cluster, "n1,n2,n3,n4", "--within", "30")
            assert code == 0, said
            assert "n4 is a learner" in said
            assert "The voters are n1, n2, n3, n4." in said
            await is_a(cluster, "voters", "n4")
            code, said = await fit(cluster, "n1,n2,n3,n4")
            assert (code, said) == (0, "The voters are n1, n2, n3, n4.\n")
            await load.more_acknowledged(50)
            code, said = await fit(cluster, "n1,n2,n3", "--before-rollout")
            assert (code, "n4 is no member" in said) == (0, True), said
        leader = await cluster.leader()
        code, said = await fit(cluster, ",".join(name for name in cluster.nodes if name != leader), "--json")
        assert (code, leader in said) == (0, False), said
        await load.more_acknowledged(50)
        assert leader not in await voters(cluster)
        for writer in load.writers:
            writer.stopped = True
        await load.nothing_is_lost()


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param(True, id="it-heard-of-its-removal"),
        pytest.param(False, id="it-was-away-then", marks=pytest.mark.longest),
    ],
)
async def test_who_was_taken_out_comes_back_with_its_disk_once_it_is_named_again(
    tmp_path: Path, heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before, although `auto_members` allows its name. What it lacks the leader has as a snapshot alone."""
    for name, value in (("AUTO_MEMBERS", "n?"), ("SNAPSHOT_ENTRIES", "200"), ("SNAPSHOT_TAIL", "20")):
        monkeypatch.setenv(f"RAFT_{name}", value)
    async with running_cluster(tmp_path, 3, *CALM) as cluster, Load(cluster, 4, pause_s=0.02) as load:
        async with fourth(cluster) as url:
            await is_a(cluster, "voters", "n4")
            before = await status_at(cluster, url)
            await load.more_acknowledged(20)
            if heard:
                assert (await fit(cluster, "n1,n2,n3"))[0] == 0

                async def knows() -> bool:
                    return bool((await status_at(cluster, url)).get("removed"))

                await cluster.until(knows, "n4 knows that it was removed")
        if not heard:
            assert (await fit(cluster, "n1,n2,n3"))[0] == 0
        await load.more_acknowledged(500)
        async with fourth(cluster, "again.log") as url:

            async def says_so() -> bool:
                status = await status_at(cluster, url)
                return bool(status and status["removed"] and "comes back, with its data," in status["waiting_for"])

            await cluster.until(says_so, "n4 says that it was removed, and what brings it back")
            assert (await known(cluster, await cluster.leader()))["applicants"] == [], "it asks for nothing by itself"
            assert (await fit(cluster, "n1,n2,n3", url))[0] == 0
            assert await voters(cluster) == ["n1", "n2", "n3"]
            terms = {status["term"] for status in (await cluster.statuses()).values()}
            code, said = await fit(cluster, "n1,n2,n3,n4", "--within", "30", url)
            assert (code, "n4 was a member before, and comes back with its data." in said) == (0, True), said
            assert "The voters are n1, n2, n3, n4." in said

            async def votes() -> bool:
                """By its own log, which may be a moment behind the leader's."""
                status = await status_at(cluster, url)
                return bool(status) and {"name": "n4", "incarnation": before["incarnation"]} in status["voters"]

            await cluster.until(votes, "n4 knows that it votes")
            after = await status_at(cluster, url)
            assert (after["incarnation"], after["cluster_id"]) == (before["incarnation"], before["cluster_id"])
            assert (after["removed"], after["waiting_for"]) == (False, "")
            assert after["first_index"] > before["last_index"], "it came back by a snapshot"
            assert {status["term"] for status in (await cluster.statuses()).values()} == terms, "it disturbed others"
            await load.more_acknowledged(50)
            for writer in load.writers:
                writer.stopped = True
            await load.nothing_is_lost()


async def test_a_rollout_is_refused_while_it_could_cost_the_majority_and_not_where_nobody_runs(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        await killed(cluster, "n1")
        code, said = await fit(cluster, "n1,n2,n3", "--before-rollout", "--within", "2")
        assert code == 1, said
        assert "Refused, and nothing was changed: n1 is not ready (it refuses connections)." in said
        assert "wait until all are ready" in said
        # The last is replaced first, and a rollout waits for it
        code, said = await fit(cluster, "n2,n3,n1", "--before-rollout", "--within", "2")
        assert (code, "it is replaced first" in said) == (0, True), said
        # Of two that are left in the end both must answer
        code, said = await fit(cluster, "n2,n1", "--within", "2")
        assert (code, "Refused: of n1, n2 2 must answer to be a quorum, and n1 does not" in said) == (1, True), said
        assert await voters(cluster) == ["n1", "n2", "n3"], "nothing was changed"
        await killed(cluster, "n2")
        code, said = await fit(cluster, "n1,n2,n3", "--before-rollout", "--within", "2")
        assert (code, "no leader" in said) == (1, True), said
        cluster.signal("n3", signal.SIGSTOP)
        override = ("--override", "Or push harder.")
        code, said = await fit(cluster, "n1,n2,n3", "--before-rollout", "--within", "2", *override)
        assert code == 1, said
        first = cluster.nodes["n1"]["url"].partition("://")[2]
        refused = (
            f"Refused, and nothing was changed: no node answers ({first}: it refuses connections). Or push harder."
        )
        assert refused in said, said
        cluster.signal("n3", signal.SIGCONT)
        await killed(cluster, "n3")
        code, said = await fit(cluster, "n1,n2,n3", "--before-rollout", "--within", "2")
        assert (code, said) == (0, "Nobody runs: there is no quorum to be lost.\n")
