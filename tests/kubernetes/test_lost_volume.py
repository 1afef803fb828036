"""A lost volume heals by itself: the empty pod never votes as the one it was, and votes again as a new member."""

from pathlib import Path
from typing import Any

from tests.kubernetes.kube import until
from tests.kubernetes.loading import load, service
from tests.kubernetes.oracle import nothing_is_lost
from tests.kubernetes.release import Release, is_ready


def test_a_lost_claim_heals_by_itself_and_nobody_notices(raft: Release, evidence: Path) -> None:
    raft.healthy()
    wiped = raft.followers()[0]
    others = [node for node in raft.nodes if node != wiped]
    before: dict[str, Any] = raft.ask(wiped, "/status")
    with load(raft, evidence, service(raft)) as running:
        running.more_acknowledged(20)
        old = raft.pod(wiped)["metadata"]["uid"]
        term = raft.ask(others[0], "/status")["term"]
        # The claim is freed when its last pod is gone
        raft.namespace.kubectl("delete", "pvc", f"data-{wiped}", "--wait=false")
        raft.namespace.kubectl("delete", "pod", wiped, "--wait=false")
        raft.new_pod(wiped, old)

        def votes_again() -> bool:
            status = raft.ask(wiped, "/status")
            own = {"name": wiped, "incarnation": status["incarnation"]} if status else {}
            return bool(status) and own["incarnation"] != before["incarnation"] and own in status["voters"]

        until(f"{wiped} is a voter with its new disk", votes_again, 120)
        until(f"{wiped} is ready", lambda: is_ready(raft.pod(wiped)), 60)
        status = raft.ask(wiped, "/status")
        assert status["cluster_id"] == before["cluster_id"]
        assert before["incarnation"] not in [voter["incarnation"] for voter in status["voters"]]
        assert raft.leader(others) in others
        assert raft.ask(others[0], "/status")["term"] == term
        running.more_acknowledged(100)
        lines = running.stop()
    nothing_is_lost(raft, lines)
