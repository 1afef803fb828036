"""The chart's alarms in a real Prometheus that scrapes real nodes, while these are killed, lose a disk and come back.

Why it exists: promtool tries the rules on series that a test made up; what nodes serve while they fail, and what
becomes of the series of one that is gone, only a Prometheus knows. The rules are those that Helm renders, but for how
long each waits: minutes become a second, so that the test ends within one.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import aiohttp
import pytest

from tests.chart.rendering import render
from tests.cluster.harness import WAIT_SECONDS, Cluster, raft_node, running_cluster
from tests.ports import free_port
from tests.promtool import program

EVERY = "500ms"
"""A scrape, and a look at all rules."""
WAITED = "1s"
QUIET_SECONDS = 3.0
ROOT = {"username": "root", "password": "root's secret"}
TRIES = 25
"""More than the rules bear."""
SUBJECT = {
    "RaftAllGone",
    "RaftNoLeader",
    "RaftTwoLeaders",
    "RaftTwoLeadersOfOneTerm",
    "RaftVoterAway",
    "RaftVoteLost",
    "RaftNodeWithoutVote",
    "RaftNodeAlarm",
    "RaftLinkDown",
    "RaftAccessRefused",
    "RaftLoginsFailed",
}
"""What the test does to nodes decides these; how busy the machine is decides others (stalls, a slow disk)."""


def rules() -> dict[str, Any]:
    """As rendered for the release `raft` of three, with no long waits."""
    values = {"monitoring": {"evenIfUnknown": True, "rules": {"enabled": True}}}
    spec: dict[str, Any] = render(values, "raft", "ops").named("PrometheusRule", "raft")["spec"]
    for group in spec["groups"]:
        for rule in group["rules"]:
            if rule["for"] != "0s":
                rule["for"] = WAITED
    return spec


def configuration(cluster: Cluster) -> dict[str, Any]:
    """Node n1 is the pod raft-1: its series get the labels that a PodMonitor would give them."""
    targets = [
        {"targets": [node["url"].removeprefix("http://")], "labels": {"namespace": "ops", "pod": f"raft-{name[1:]}"}}
        for name, node in cluster.nodes.items()
    ]
    renamed = {"source_labels": ["peer"], "regex": "n(.+)", "replacement": "raft-$1", "target_label": "peer"}
    scrape: dict[str, Any] = {"job_name": "raft", "static_configs": targets, "metric_relabel_configs": [renamed]}
    scrape["basic_auth"] = ROOT  # passed over while nobody has to say who they are
    return {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape],
    }


class Watched:
    """A cluster, and the Prometheus that scrapes it."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self.cluster = cluster
        self._url = url

    async def ask(self, path: str) -> Any:
        """What its API says; None where it does not answer."""
        try:
            async with self.cluster.http.get(f"{self._url}{path}", timeout=aiohttp.ClientTimeout(total=5)) as answer:
                return (await answer.json())["data"] if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def firing(self) -> set[str]:
        """Of SUBJECT."""
        told = await self.ask("/api/v1/alerts") or {"alerts": []}
        return {one["labels"]["alertname"] for one in told["alerts"] if one["state"] == "firing"} & SUBJECT

    async def until_firing(self, *alarms: str) -> None:
        """These and no others."""
        found: set[str] = set()

        async def fire() -> bool:
            nonlocal found
            found = await self.firing()
            return found == set(alarms)

        try:
            await self.cluster.until(fire, f"{alarms} fire and nothing else")
        except AssertionError as error:
            raise AssertionError(f"{error}; at last there fired {found}") from None

    async def until_quiet(self) -> None:
        """Nothing fires, and all rules were looked at for long enough to say so."""
        await self.until_firing()
        since = 0.0

        async def long_enough() -> bool:
            nonlocal since
            now = await self._looked_at()
            since = since or now
            return now >= since + QUIET_SECONDS > QUIET_SECONDS

        await self.cluster.until(long_enough, "rules are looked at again and again")
        assert await self.firing() == set()

    async def _looked_at(self) -> float:
        """When all rules were, for the last time; 0: some never were. None of them may fail."""
        groups = (await self.ask("/api/v1/rules") or {"groups": []})["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert not [rule for rule in rules if rule["health"] == "err"]
        times = [datetime.fromisoformat(rule["lastEvaluation"]).timestamp() for rule in rules]
        return max(0.0, min(times, default=0.0))

    async def scraped(self) -> bool:
        """Whether all targets were, at least once."""
        found = await self.ask("/api/v1/targets") or {"activeTargets": []}
        return [one["health"] for one in found["activeTargets"]] == ["up"] * len(self.cluster.nodes)


@asynccontextmanager
async def watched_cluster(folder: Path) -> AsyncIterator[Watched]:
    prometheus = program("prometheus")
    async with running_cluster(folder, 3) as cluster:
        (folder / "rules.yaml").write_text(json.dumps(rules()))
        (folder / "prometheus.yaml").write_text(json.dumps(configuration(cluster)))
        address = f"127.0.0.1:{free_port()}"
        command = [
            *(prometheus, f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
            *(f"--web.listen-address={address}", "--log.level=warn"),
        ]
        with (folder / "prometheus.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=folder)
        try:
            watched = Watched(cluster, f"http://{address}")
            await cluster.until(watched.scraped, f"all are scraped: {folder / 'prometheus.log'}")
            yield watched
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), WAIT_SECONDS)


@pytest.mark.slowest
async def test_each_loss_rings_its_alarm_and_no_other_and_stops_when_it_is_mended(tmp_path: Path) -> None:
    async with watched_cluster(tmp_path) as watched:
        cluster = watched.cluster
        await watched.until_quiet()
        first = await cluster.leader()
        cluster.signal(first, SIGKILL)
        await watched.until_firing("RaftVoterAway")
        second = await cluster.leader(not_one_of=(first,))
        cluster.signal(second, SIGKILL)
        await watched.until_firing("RaftVoterAway", "RaftNoLeader")
        (last,) = cluster.nodes.keys() - {first, second}
        cluster.signal(last, SIGKILL)
        await watched.until_firing("RaftAllGone")
        await cluster.all_there()
        await watched.until_quiet()

        leader = await cluster.leader()
        lost = next(name for name in sorted(cluster.nodes) if name != leader)
        await cluster.wipe(lost)
        await watched.until_firing("RaftNodeWithoutVote")
        await members(cluster, "replace", lost)
        await watched.until_firing("RaftVoteLost")
        await members(cluster, "promote", lost)
        await watched.until_quiet()


@pytest.mark.slowest
async def test_wrong_passwords_and_refused_requests_ring_their_alarms(tmp_path: Path) -> None:
    async with watched_cluster(tmp_path) as watched:
        urls = [node["url"] for node in watched.cluster.nodes.values()]
        for path, body in (
            ("user/add", {"name": ROOT["username"], "password": ROOT["password"]}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("enable", {}),
        ):
            async with watched.cluster.http.post(f"{urls[0]}/v3/auth/{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()
        await watched.until_quiet()
        for _ in range(TRIES):
            wrong = {"name": "root", "password": "a guess"}
            async with watched.cluster.http.post(f"{urls[1]}/v3/auth/authenticate", json=wrong) as answer:
                assert answer.status == 400, await answer.text()
        await watched.until_firing("RaftLoginsFailed")
        for _ in range(TRIES):
            async with watched.cluster.http.get(f"{urls[2]}/status") as answer:
                assert answer.status == 401, await answer.text()
        await watched.until_firing("RaftLoginsFailed", "RaftAccessRefused")


async def members(cluster: Cluster, change: str, name: str) -> None:
    """`raft-node members CHANGE NAME`, again while it says that it is too early."""

    async def changed() -> bool:
        code, _ = await raft_node("members", change, name, "--data-dir", str(cluster.folder / "data"))
        return code == 0

    await cluster.until(changed, f"members {change} {name}")
