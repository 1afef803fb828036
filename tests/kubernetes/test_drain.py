"""A worker of Kubernetes is drained while clients write: it takes one voter at most, and writes go on."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.failing import WRITES_BETWEEN, under_load, unscheduled
from tests.kubernetes.kube import CommandFailed, Namespace, run, until
from tests.kubernetes.release import Release, is_ready, release


@pytest.fixture(scope="module")
def raft(space: Namespace, proxy: Proxy) -> Iterator[Release]:
    # `kubectl drain` selects by label in all namespaces: no other release may have this name
    with release(space, proxy, name=f"raft-{os.getpid()}") as installed:
        yield installed


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


def evict(raft: Release, node: str) -> None:
    """What `kubectl drain` asks for, once and without patience."""
    name = raft.namespace.name
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": node, "namespace": name}}
    path = f"/api/v1/namespaces/{name}/pods/{node}/eviction"
    raft.namespace.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))
