"""From three to five and back under load, by `helm upgrade`; `kubectl scale` alone changes no quorum."""

from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.figures import figure
from tests.kubernetes.kube import until
from tests.kubernetes.loading import load
from tests.kubernetes.oracle import Line, longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release
from tests.kubernetes.watching import Journals, journals

pytestmark = pytest.mark.timeout(900)

SCALED_SECONDS_MAX = 240.0
STALL_SECONDS_MAX = 5.0
FIVE = [f"raft-{ordinal}" for ordinal in range(5)]


def voters(raft: Release, asked: str = "raft-0") -> list[str]:
    status: dict[str, Any] = raft.ask(asked, "/status") or {"voters": []}
    return [voter["name"] for voter in status["voters"]]


def waits(raft: Release, node: str, reason: str) -> None:
    """Until this pod, which is no member, says so and why; and it is not ready."""

    def says() -> bool:
        status = raft.ask(node, "/status")
        return bool(status) and reason in status["waiting_for"]

    until(f"{node} says: {reason}", says, 60)


def one_at_a_time(journal: Journals) -> list[str]:
    """Of each change of members what it was, in order; the leader does none before the one before is committed."""
    return [str(line["detail"]["says"]) for line in journal.transitions("members")]


def judge(raft: Release, lines: list[Line], what: str) -> None:
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    assert not bad, bad[:5]
    nothing_is_lost(raft, lines)
    figure(f"{what}: acknowledged writes", sum(line["op"] == "put" for line in lines))
    figure(f"{what}: longest stall", longest_stall_s(lines), "s")
    assert longest_stall_s(lines) < STALL_SECONDS_MAX


def test_five_and_back_to_three_under_load(raft: Release, evidence: Path) -> None:
    raft.healthy()
    with journals(raft, evidence) as journal, load(raft, evidence) as running:
        running.more_acknowledged(50)
        begun = raft.now()
        raft.nodes = FIVE
        raft.upgrade("--set", "replicaCount=5", meanwhile=journal.follow)
        figure("from three to five: helm upgrade --wait", raft.now() - begun, "s")
        until("five voters", lambda: voters(raft) == FIVE, SCALED_SECONDS_MAX)
        raft.healthy()
        came = one_at_a_time(journal)
        each = {name: [f"{name} is a learner", f"{name} is a voter"] for name in FIVE[3:]}
        assert came in (each["raft-3"] + each["raft-4"], each["raft-4"] + each["raft-3"]), came
        running.more_acknowledged(50)
        leader = raft.leader()
        raft.ask(leader, "/commands/transfer_leadership", "POST", b'{"target": "raft-4"}')
        until("raft-4 leads, which is to go", lambda: raft.agreed_leader() == "raft-4", 30)
        begun = raft.now()
        raft.upgrade("--set", "replicaCount=3", meanwhile=journal.follow)
        figure("from five to three: helm upgrade --wait", raft.now() - begun, "s")
        raft.nodes = FIVE[:3]
        until("three pods", lambda: sorted(raft.pods()) == raft.nodes, SCALED_SECONDS_MAX)
        raft.healthy()
        assert voters(raft) == raft.nodes
        went = one_at_a_time(journal)[4:]
        assert sorted(went) == ["raft-3 is no member", "raft-4 is no member"], went
        running.more_acknowledged(50)
        lines = running.stop()
    judge(raft, lines, "three to five to three")


def test_a_scale_alone_changes_no_quorum_and_says_what_is_missing(raft: Release) -> None:
    scale = ("scale", "statefulset", raft.fullname)
    raft.healthy()
    # Their old disks are those of members that left; on new ones they would ask
    raft.namespace.kubectl("delete", "pvc", "data-raft-3", "data-raft-4", "--ignore-not-found", "--wait=true")
    raft.namespace.kubectl(*scale, "--replicas=5")
    for extra in FIVE[3:]:
        waits(raft, extra, "they answer, and know no node of this name")
    assert voters(raft) == FIVE[:3]
    raft.namespace.kubectl(*scale, "--replicas=2")
    until("two pods", lambda: sorted(raft.pods()) == FIVE[:2], SCALED_SECONDS_MAX)
    raft.leader(FIVE[:2])
    assert raft.write("raft-0", "of-two", "1") > 0
    assert voters(raft) == FIVE[:3], "who is missing stays a member"
    raft.namespace.kubectl(*scale, "--replicas=3")
    raft.healthy()
    assert raft.value("raft-2", "of-two") == b"1"
