"""`helm upgrade` with a changed setting under load: one pod at a time, the lead handed over, no failed write."""

from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.figures import figure
from tests.kubernetes.loading import every_pod, load
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release
from tests.kubernetes.watching import Journals, journals, pod_watch

pytestmark = pytest.mark.smoke

INSTALLED_WITH = ("--set", "settings.election_timeout_ms=3000-6000")
"""A leader that stands still for half a second, while a pod that comes wants the whole machine, is not elected around
meanwhile. One that leaves without handing over is, at once: its links end."""
CHANGED = ("--set", "settings.trace_messages=2048")
WRITES_BEFORE, WRITES_AFTER = 50, 50
HAND_OVER_SECONDS_MAX = 5.0
STALL_SECONDS_MAX = 5.0
"""Far above a hand-over, and below what an election after a silent death would allow on a slow machine."""


def uids(raft: Release) -> dict[str, str]:
    return {node: pod["metadata"]["uid"] for node, pod in raft.pods().items()}


def test_an_upgrade_that_changes_nothing_rolls_nothing(raft: Release) -> None:
    before = uids(raft)
    raft.upgrade(*INSTALLED_WITH)
    assert uids(raft) == before


def test_a_changed_setting_rolls_one_pod_at_a_time_and_no_client_write_fails(raft: Release, evidence: Path) -> None:
    raft.healthy()
    before, term = uids(raft), raft.statuses()[raft.nodes[0]]["term"]
    with (
        journals(raft, evidence) as journal,
        pod_watch(raft, evidence) as watch,
        load(raft, evidence, name="by-service") as by_service,
        load(raft, evidence, every_pod(raft), name="by-pod") as by_pod,
    ):
        for running in (by_service, by_pod):
            running.more_acknowledged(WRITES_BEFORE)
        raft.upgrade(*INSTALLED_WITH, *CHANGED, meanwhile=journal.follow)
        raft.healthy()
        for running in (by_service, by_pod):
            running.more_acknowledged(WRITES_AFTER)
        told = {"the client Service": by_service.stop(), "all pods by name": by_pod.stop()}
        seen = watch.seen()
    after = uids(raft)
    assert set(before.values()).isdisjoint(after.values()), "every pod is another one"
    for pod in raft.pods().values():
        settings = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        assert settings["RAFT_TRACE_MESSAGES"] == "2048"
    assert seen.most_away == 1, "one pod at a time"
    assert sorted(seen.left) == raft.nodes
    journal.one_leader_a_term()
    hand_overs = leads_were_handed_over(journal, term)
    figure("hand-overs during the upgrade", hand_overs)
    for way, lines in told.items():
        writes = [line for line in lines if line["op"] == "put"]
        bad = [line for line in lines if line["outcome"] != "acknowledged"]
        assert not bad, bad[:5]
        nothing_is_lost(raft, lines)
        figure(f"upgrade, through {way}: acknowledged writes", len(writes))
        figure(f"upgrade, through {way}: retries", sum(line["retries"] for line in lines))
        figure(f"upgrade, through {way}: longest stall", longest_stall_s(lines), "s")
        figure(f"upgrade, through {way}: slowest write", max(float(line["ms"]) for line in writes), "ms")
        assert longest_stall_s(lines) < STALL_SECONDS_MAX


def leads_were_handed_over(journal: Journals, term: int) -> int:
    """Every lead won after this term came from a leader that had just told its successor to take over; how many."""
    told = [line for line in journal.transitions("transfer") if line["detail"]["phase"] == "told"]
    wins = [line for line in journal.transitions("won") if line["term"] > term]
    assert wins, "the leader's pod was replaced as well, so somebody else must have won a term"

    def asked_for(win: dict[str, Any]) -> bool:
        ages_s = [(win["time_us"] - line["time_us"]) / 1e6 for line in told if line["detail"]["target"] == win["node"]]
        return any(0 <= age < HAND_OVER_SECONDS_MAX for age in ages_s)

    unasked = [line for line in wins if not asked_for(line)]
    assert not unasked, f"elections that no hand-over caused: {unasked}"
    return len(wins)
