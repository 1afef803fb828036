"""A lost volume: the wiped node stays without a vote, says so, and harms nobody; the others go on."""

from pathlib import Path

from tests.kubernetes.kube import until
from tests.kubernetes.loading import load, service
from tests.kubernetes.oracle import nothing_is_lost
from tests.kubernetes.release import Release, is_ready


def test_a_wiped_node_stays_initial_says_so_and_harms_nobody(raft: Release, evidence: Path) -> None:
    raft.healthy()
    wiped = raft.followers()[0]
    others = [node for node in raft.nodes if node != wiped]
    cluster = raft.ask(wiped, "/status")["cluster_id"]
    with load(raft, evidence, service(raft)) as running:
        running.more_acknowledged(20)
        old = raft.pod(wiped)["metadata"]["uid"]
        term = raft.ask(others[0], "/status")["term"]
        # The claim is freed when its last pod is gone
        raft.namespace.kubectl("delete", "pvc", f"data-{wiped}", "--wait=false")
        raft.namespace.kubectl("delete", "pod", wiped, "--wait=false")
        raft.new_pod(wiped, old)
        status = until(f"{wiped} answers", lambda: raft.ask(wiped, "/status"), 120)
        running.more_acknowledged(100)
        status = raft.ask(wiped, "/status")
        assert status["role"] == "initial"
        assert status["cluster_id"] != cluster
        assert status["last_index"] == 0
        assert "disk" in status["waiting_for"] or "data" in status["waiting_for"], status["waiting_for"]
        assert not is_ready(raft.pod(wiped))
        assert raft.leader(others) in others
        assert raft.ask(others[0], "/status")["term"] == term
        lines = running.stop()
    raft.nodes = others
    nothing_is_lost(raft, lines)
