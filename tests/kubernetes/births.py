"""What must be true of a first install before it can be, and once it is, one cluster."""

import time
from collections.abc import Sequence
from pathlib import Path

from tests.kubernetes.kube import until
from tests.kubernetes.release import Release
from tests.kubernetes.watching import journals

NAMES_LATE_SECONDS = 30.0
LEADER_SECONDS_MAX = 45.0
"""From the moment on when nothing is missing any more; backing off must not take longer than this."""


def one_leader_of_one_cluster(raft: Release, folder: Path) -> None:
    """All agree, one term was won once, and it works: a write through one pod is read through all."""
    leader = raft.leader(within_s=LEADER_SECONDS_MAX)
    with journals(raft, folder) as journal:
        journal.wait_for("won", 1)
        journal.one_leader_a_term()
        assert len({status["cluster_id"] for status in raft.statuses().values()}) == 1
    raft.write(leader, "born", "once")
    assert {raft.value(node, "born") for node in raft.nodes} == {b"once"}


def alone(raft: Release, nodes: Sequence[str]) -> None:
    """Nobody was born yet, and each says what it waits for."""
    for node, status in raft.statuses(nodes).items():
        assert status["role"] == "initial", (node, status["role"])
        assert status["waiting_for"], node


def nobody_is_born_for(raft: Release, seconds: float) -> None:
    end = raft.now() + seconds
    while raft.now() < end:
        alone(raft, raft.nodes)
        time.sleep(1)  # that nothing happens has no event


def running(raft: Release) -> list[str]:
    return [node for node, pod in raft.pods().items() if pod["status"]["phase"] == "Running"]


def until_running(raft: Release, count: int) -> None:
    until(f"{count} pods run", lambda: len(running(raft)) == count, 120)
