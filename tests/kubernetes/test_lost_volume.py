"""A lost volume heals by itself: the empty pod never votes as the one it was, and votes again as a new member."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.figures import figure
from tests.kubernetes.kube import CommandFailed, background, run, until
from tests.kubernetes.loading import load, service
from tests.kubernetes.oracle import nothing_is_lost
from tests.kubernetes.release import Release, is_ready

VOTER_SECONDS_MAX = 60.0


def without_vote(status: dict[str, Any] | None) -> dict[str, Any] | None:
    alarms = [one["alarm"] for one in status["alarms"]] if status else []
    return status if status and status["role"] == "initial" and "VOTE_LOST" in alarms else None


def test_a_lost_claim_heals_by_itself_and_nobody_notices(raft: Release, evidence: Path) -> None:
    raft.healthy()
    wiped = raft.followers()[0]
    others = [node for node in raft.nodes if node != wiped]
    before: dict[str, Any] = raft.ask(wiped, "/status")
    with ExitStack() as stack, load(raft, evidence, service(raft)) as running:
        running.more_acknowledged(20)
        old = raft.pod(wiped)["metadata"]["uid"]
        term = raft.ask(others[0], "/status")["term"]
        # The claim is freed when its last pod is gone
        raft.namespace.kubectl("delete", "pvc", f"data-{wiped}", "--wait=false")
        raft.namespace.kubectl("delete", "pod", wiped, "--wait=false")
        raft.new_pod(wiped, old)
        begun = raft.now()
        # Followed at once: what it says while it has no vote
        said = evidence / "log.ndjson"
        stack.enter_context(
            background(*raft.namespace.command("logs", "--follow", wiped, "--container=node"), output=said)
        )
        lost = until(
            "it has lost its vote, and says so", lambda: without_vote(raft.ask(wiped, "/status")), 30, every_s=0.05
        )
        assert "born without this disk" in lost["waiting_for"]

        def votes_again() -> bool:
            status = raft.ask(wiped, "/status")
            own = {"name": wiped, "incarnation": status["incarnation"]} if status else {}
            return bool(status) and own["incarnation"] != before["incarnation"] and own in status["voters"]

        until(f"{wiped} is a voter with its new disk", votes_again, VOTER_SECONDS_MAX)
        figure("a lost volume: a voter again after", raft.now() - begun, "s")
        until(f"{wiped} is ready", lambda: is_ready(raft.pod(wiped)), 60)
        warned = [line for line in said.read_text().splitlines() if '"WARNING"' in line and "has no vote" in line]
        assert warned, "the loss is a warning in the log"
        status = raft.ask(wiped, "/status")
        assert status["cluster_id"] == before["cluster_id"]
        assert before["incarnation"] not in [voter["incarnation"] for voter in status["voters"]]
        assert raft.leader(others) in others
        assert raft.ask(others[0], "/status")["term"] == term
        running.more_acknowledged(100)
        lines = running.stop()
    assert not [line for line in lines if line["outcome"] != "acknowledged"]
    nothing_is_lost(raft, lines)


def test_a_larger_size_alone_is_refused_and_so_is_a_claim_that_cannot_grow(raft: Release) -> None:
    """As docs/operations.md says, *Larger volumes*; one that can grow is in test_keeping.py."""
    raft.healthy()
    pods = {name: pod["metadata"]["uid"] for name, pod in raft.pods().items()}
    with pytest.raises(AssertionError, match=r"persistence\.size 8Gi differs from the 4Gi that this release was made"):
        raft.upgrade("--set", "persistence.size=8Gi")
    claim = f"data-{raft.nodes[0]}"
    storage_class = raft.namespace.get("pvc", claim)["spec"]["storageClassName"]
    if "true" in run("kubectl", "get", "storageclass", storage_class, "--output=jsonpath={.allowVolumeExpansion}"):
        pytest.skip(f"claims of {storage_class} can grow")
    patch = '{"spec":{"resources":{"requests":{"storage":"8Gi"}}}}'
    with pytest.raises(CommandFailed, match="must support resize"):
        raft.namespace.kubectl("patch", "pvc", claim, f"--patch={patch}")
    raft.healthy()
    assert {name: pod["metadata"]["uid"] for name, pod in raft.pods().items()} == pods, "nothing was changed"
