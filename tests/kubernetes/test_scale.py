"""From three to five, back, and to five again under load by `helm upgrade`; `kubectl scale` alone changes no quorum."""

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


def scaled(raft: Release, nodes: int, journal: Journals, what: str) -> list[str]:
    """`helm upgrade --set replicaCount=...`, until so many are voters and healthy; which changes of members it took."""
    before, begun = len(one_at_a_time(journal)), raft.now()
    expected = sum(2 if name in FIVE[:nodes] else 1 for name in {*FIVE[:nodes]} ^ {*raft.nodes})
    raft.nodes = FIVE[:nodes]
    raft.upgrade("--set", f"replicaCount={nodes}", meanwhile=journal.follow)
    figure(f"{what}: helm upgrade --wait", raft.now() - begun, "s")
    until(f"{nodes} pods", lambda: sorted(raft.pods()) == raft.nodes, SCALED_SECONDS_MAX)
    until(f"{nodes} voters", lambda: voters(raft) == raft.nodes, SCALED_SECONDS_MAX)
    figure(f"{what}: so many voters", raft.now() - begun, "s")
    raft.healthy()
    journal.wait_for("members", before + expected)
    return one_at_a_time(journal)[before:]


def disks(raft: Release) -> dict[str, str]:
    """Of every node."""
    return {node: status["incarnation"] for node, status in raft.statuses().items()}


def let_in(names: list[str], changes: list[str]) -> bool:
    """Whether each of them was let in and given a vote, one after the other."""
    each = {name: [f"{name} is a learner", f"{name} is a voter"] for name in names}
    return changes in (each["raft-3"] + each["raft-4"], each["raft-4"] + each["raft-3"])


def test_five_back_to_three_and_to_five_again_under_load(raft: Release, evidence: Path) -> None:
    raft.healthy()
    with journals(raft, evidence) as journal, load(raft, evidence) as running:
        running.more_acknowledged(50)
        came = scaled(raft, 5, journal, "from three to five")
        assert let_in(FIVE[3:], came), came
        five = disks(raft)
        running.more_acknowledged(50)
        leader = raft.leader()
        raft.ask(leader, "/commands/transfer_leadership", "POST", b'{"target": "raft-4"}')
        until("raft-4 leads, which is to go", lambda: raft.agreed_leader() == "raft-4", 30)
        went = scaled(raft, 3, journal, "from five to three")
        assert sorted(went) == ["raft-3 is no member", "raft-4 is no member"], went
        running.more_acknowledged(50)
        came = scaled(raft, 5, journal, "to five again, on the claims that were left")
        assert let_in(FIVE[3:], came), came
        assert disks(raft) == five, "they came back with the disks that they left with"
        running.more_acknowledged(50)
        lines = running.stop()
    judge(raft, lines, "three to five to three to five")


@pytest.mark.longest
def test_a_scale_alone_changes_no_quorum_and_says_what_is_missing(raft: Release) -> None:
    scale = ("scale", "statefulset", raft.fullname)
    raft.nodes = FIVE[:3]
    raft.upgrade("--set", "replicaCount=3")
    raft.healthy()
    until("three pods", lambda: sorted(raft.pods()) == raft.nodes, SCALED_SECONDS_MAX)
    raft.namespace.kubectl("delete", "pvc", "data-raft-4", "--ignore-not-found", "--wait=true")
    raft.namespace.kubectl(*scale, "--replicas=5")
    waits(raft, "raft-3", "it was removed from the cluster")  # its old disk; on a new one it would ask
    waits(raft, "raft-4", "they answer, and know no node of this name")
    assert voters(raft) == FIVE[:3]
    raft.namespace.kubectl(*scale, "--replicas=2")
    until("two pods", lambda: sorted(raft.pods()) == FIVE[:2], SCALED_SECONDS_MAX)
    raft.leader(FIVE[:2])
    assert raft.write("raft-0", "of-two", "1") > 0
    assert voters(raft) == FIVE[:3], "who is missing stays a member"
    raft.namespace.kubectl(*scale, "--replicas=3")
    raft.healthy()
    assert raft.value("raft-2", "of-two") == b"1"
