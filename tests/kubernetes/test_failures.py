"""Pods deleted, killed in place and drained away while clients write: writes go on, nothing acknowledged is lost."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import CommandFailed, Namespace, run, until
from tests.kubernetes.loading import Load, every_pod, load
from tests.kubernetes.oracle import Line, longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release, is_ready, release
from tests.kubernetes.watching import journals, pod_watch

WRITES_BETWEEN = 40
ADDRESS_SECONDS_MAX = 15.0
STALL_SECONDS_MAX = 15.0
STALL_TOLERATED_SECONDS = 60.0
"""Of a process, before liveness restarts it."""
SENT_TO_A_PAUSED_NODE_SECONDS_MAX = 25.0
"""A write that a node took and does not answer is of unknown outcome only after the client's whole 15 s."""


@pytest.fixture(scope="module")
def raft(space: Namespace, proxy: Proxy) -> Iterator[Release]:
    # `kubectl drain` selects by label in all namespaces: no other release may have this name
    with release(space, proxy, name=f"raft-{os.getpid()}") as installed:
        yield installed


@contextmanager
def under_load(raft: Release, folder: Path, what: str, stall_seconds_max: float = STALL_SECONDS_MAX) -> Iterator[Load]:
    """A load through every pod by name; at the end all is healthy, nothing is lost, and the figures are kept."""
    raft.healthy()
    with journals(raft, folder) as journal, load(raft, folder, every_pod(raft), period_ms=50) as running:
        running.more_acknowledged(WRITES_BETWEEN)
        yield running
        journal.follow()
        running.more_acknowledged(WRITES_BETWEEN)
        raft.healthy()
        running.more_acknowledged(WRITES_BETWEEN)
        lines = running.stop()
        journal.one_leader_a_term()
    nothing_is_lost(raft, lines)
    note(what, lines)
    assert longest_stall_s(lines) < stall_seconds_max


def note(what: str, lines: Sequence[Line]) -> None:
    outcomes = [line["outcome"] for line in lines if line["op"] == "put"]
    counts = ", ".join(f"{outcomes.count(one)} {one}" for one in ("acknowledged", "unknown", "failed"))
    figure(f"{what}: writes", counts)
    figure(f"{what}: longest stall", longest_stall_s(lines), "s")


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


def test_a_drained_worker_takes_one_voter_at_most(raft: Release, evidence: Path) -> None:
    with under_load(raft, evidence, "leader's worker drained") as running:
        leader = raft.leader()
        worker = raft.pod(leader)["spec"]["nodeName"]
        uid = raft.pod(leader)["metadata"]["uid"]
        other = next(node for node in raft.nodes if node != leader)
        with drained(raft, worker):
            pending = until(f"{leader} has no place", lambda: unscheduled(raft, leader, uid), 60)
            assert "volume" in pending or "unschedulable" in pending, pending
            with pytest.raises(CommandFailed, match="disruption budget"):
                evict(raft, other)
            assert raft.leader([node for node in raft.nodes if node != leader]) != leader
            assert is_ready(raft.pod(other))
            running.more_acknowledged(WRITES_BETWEEN)
            assert raft.pod(leader)["status"]["phase"] == "Pending", "so many writes went on without it"
        raft.ready(leader)
        assert raft.pod(leader)["spec"]["nodeName"] == worker


@contextmanager
def drained(raft: Release, worker: str) -> Iterator[None]:
    """`kubectl drain` of what belongs to this release, and `kubectl uncordon`."""
    try:
        words = ("--ignore-daemonsets", "--timeout=90s")
        run("kubectl", "drain", worker, f"--pod-selector={raft.selector}", *words)
        yield
    finally:
        run("kubectl", "uncordon", worker)


def unscheduled(raft: Release, node: str, old_uid: str) -> str | None:
    """Why the scheduler finds no place for the pod's successor."""
    pod = raft.pods().get(node)
    if pod is None or pod["metadata"]["uid"] == old_uid or pod["status"]["phase"] != "Pending":
        return None
    reasons = [one for one in pod["status"].get("conditions", []) if one["type"] == "PodScheduled"]
    return next((str(one["message"]) for one in reasons if one["status"] == "False"), None)


def evict(raft: Release, node: str) -> None:
    """What `kubectl drain` asks for, once and without patience."""
    name = raft.namespace.name
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": node, "namespace": name}}
    path = f"/api/v1/namespaces/{name}/pods/{node}/eviction"
    raft.namespace.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))
