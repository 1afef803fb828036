"""Pods deleted, killed in place and made to stand still while clients write: writes go on, nothing acknowledged is
lost."""

import time
from pathlib import Path

import pytest

from tests.kubernetes.failing import under_load
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import until
from tests.kubernetes.release import Release, is_ready
from tests.kubernetes.watching import journals, pod_watch

ADDRESS_SECONDS_MAX = 15.0
STALL_TOLERATED_SECONDS = 60.0
"""Of a process, before liveness restarts it."""
SENT_TO_A_PAUSED_NODE_SECONDS_MAX = 25.0
"""A write that a node took and does not answer is of unknown outcome only after the client's whole 15 s."""


@pytest.mark.smoke
def test_a_deleted_leader_is_followed_to_its_new_address(raft: Release, evidence: Path) -> None:
    with under_load(raft, evidence, "leader's pod deleted"):
        leader = raft.leader()
        old = raft.pod(leader)
        raft.namespace.kubectl("delete", "pod", leader, "--wait=false")
        new = raft.new_pod(leader, old["metadata"]["uid"])
        until(f"{leader} answers", lambda: raft.ask(leader, "/status"), ADDRESS_SECONDS_MAX * 4, every_s=0.05)
        begun = raft.now()
        until(f"all have a link to {leader}", lambda: raft.linked(leader), ADDRESS_SECONDS_MAX, every_s=0.1)
        figure("links to a pod at its new address, after it first answered", raft.now() - begun, "s")
        assert new["status"]["podIP"]


def test_a_deleted_follower_disturbs_no_leader(raft: Release, evidence: Path) -> None:
    with under_load(raft, evidence, "follower's pod deleted"):
        leader, follower = raft.leader(), raft.followers()[0]
        term = raft.statuses([leader])[leader]["term"]
        uid = raft.pod(follower)["metadata"]["uid"]
        raft.namespace.kubectl("delete", "pod", follower, "--wait=false")
        raft.new_pod(follower, uid)
        raft.ready(follower)
        assert raft.leader() == leader
        assert raft.statuses([leader])[leader]["term"] == term


def test_a_leader_killed_in_place_comes_back_in_the_same_pod(raft: Release, evidence: Path) -> None:
    with under_load(raft, evidence, "leader killed in place"), pod_watch(raft, evidence) as watch:
        leader = raft.leader()
        pod, term = raft.pod(leader), raft.statuses([leader])[leader]["term"]
        restarts = raft.restarts(leader)
        begun = raft.now()
        raft.kill_in_place(leader)
        others = [node for node in raft.nodes if node != leader]
        raft.leader(others)
        figure("another leader after SIGKILL, as seen from outside", raft.now() - begun, "s")
        until(f"{leader}'s container runs again", lambda: raft.restarts(leader) == restarts + 1, 60)
        raft.ready(leader)
        assert raft.pod(leader)["metadata"]["uid"] == pod["metadata"]["uid"]
        assert raft.pod(leader)["status"]["podIP"] == pod["status"]["podIP"]
        assert raft.statuses([leader])[leader]["term"] > term
        assert watch.seen().most_away == 1, "a failover takes nobody out of the Service but the one that died"


def test_a_node_that_stands_still_for_a_minute_is_not_restarted(raft: Release, evidence: Path, tmp_path: Path) -> None:
    paused = "leader paused for a minute"
    with journals(raft, tmp_path) as journal, under_load(raft, evidence, paused, SENT_TO_A_PAUSED_NODE_SECONDS_MAX):
        leader = raft.leader()
        before = raft.restarts(leader)
        begun = raft.now()
        raft.signal_in_place(leader, "STOP")
        try:
            others = [node for node in raft.nodes if node != leader]
            raft.leader(others)
            time.sleep(max(0.0, STALL_TOLERATED_SECONDS - (raft.now() - begun)))  # that nothing happens has no event
            assert not is_ready(raft.pod(leader)), "nobody is sent to it meanwhile"
        finally:
            resumed_us = time.time() * 1e6
            raft.signal_in_place(leader, "CONT")
        raft.ready(leader)
        raft.leader()
        again = [won for won in journal.transitions("won") if won["node"] == leader and won["time_us"] > resumed_us]
        assert not again, "who comes back deposes nobody"
        assert raft.restarts(leader) == before
