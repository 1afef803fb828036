"""First installs under bad conditions: pods one by one, names late by half a minute. One leader, and nothing lost."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import Namespace, run, until
from tests.kubernetes.release import Release, release
from tests.kubernetes.watching import journals

NAMES_LATE_SECONDS = 30.0
BETWEEN_PODS_SECONDS = 5.0
LEADER_SECONDS_MAX = 45.0
"""From the moment on when nothing is missing any more; backing off must not take longer than this."""
ALONE = ("--set", "podAntiAffinityPreset=hard")


def test_pods_that_appear_one_by_one_elect_one_leader(space: Namespace, proxy: Proxy, evidence: Path) -> None:
    with gate(space) as gates, release(space, proxy, *ALONE, *gates.values, wait=False) as raft:
        for count, worker in enumerate(reversed(gates.workers), start=1):
            gates.open(worker)
            until_running(raft, count)
            if count < len(gates.workers):
                time.sleep(BETWEEN_PODS_SECONDS)  # that nothing happens has no event
                alone(raft, running(raft))
        begun = raft.now()
        one_leader_of_one_cluster(raft, evidence)
        figure("pods one by one: one leader after the last one ran", raft.now() - begun, "s")


def test_names_late_by_half_a_minute_elect_one_leader(space: Namespace, proxy: Proxy, evidence: Path) -> None:
    with no_dns() as dns_back, release(space, proxy, name="late-raft", wait=False) as raft:
        until_running(raft, 3)
        until("three nodes answer", lambda: len(raft.statuses()) == 3, 60)
        nobody_is_born_for(raft, NAMES_LATE_SECONDS)
        assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in raft.pods().values())
        dns_back()
        begun = raft.now()
        one_leader_of_one_cluster(raft, evidence)
        figure("no DNS for 30 s: one leader after it was back", raft.now() - begun, "s")


def test_names_that_do_not_exist_for_half_a_minute_elect_one_leader(
    space: Namespace, proxy: Proxy, evidence: Path
) -> None:
    with gate(space) as gates, release(space, proxy, *gates.values, name="nameless-raft", wait=False) as raft:
        service = f"service/{raft.fullname}-headless"
        kept = raft.namespace.get(service)
        raft.namespace.kubectl("delete", service)  # no pod has begun yet
        for worker in gates.workers:
            gates.open(worker)
        until("three nodes answer", lambda: len(raft.statuses()) == 3, 120)
        nobody_is_born_for(raft, NAMES_LATE_SECONDS)
        for stale in ("resourceVersion", "uid", "creationTimestamp"):
            kept["metadata"].pop(stale, None)
        raft.namespace.apply(kept)
        begun = raft.now()
        one_leader_of_one_cluster(raft, evidence)
        figure("names that did not exist for 30 s: one leader after they did", raft.now() - begun, "s")


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


class Gates:
    """Workers that take this namespace's pods only once they have a label. Nobody else's pods notice."""

    def __init__(self, label: str, workers: list[str]) -> None:
        self.values = ("--set", f"nodeSelector.{label}=open")
        self.workers = workers
        self._label = label

    def open(self, worker: str) -> None:
        run("kubectl", "label", "node", worker, f"{self._label}=open", "--overwrite")


@contextmanager
def gate(space: Namespace) -> Iterator[Gates]:
    label = f"raft-gate-{space.name}"
    nodes = json.loads(run("kubectl", "get", "nodes", "--output=json"))["items"]
    workers = [node["metadata"]["name"] for node in nodes if not node["spec"].get("taints")][:3]
    if len(workers) < 3:
        pytest.skip("three workers that take pods are needed to let pods appear one by one")
    try:
        yield Gates(label, workers)
    finally:
        run("kubectl", "label", "nodes", *workers, f"{label}-")


DNS = ("kubectl", "--namespace=kube-system")


@contextmanager
def no_dns() -> Iterator[Callable[[], None]]:
    """CoreDNS of the whole cluster away until the returned function is called, and back afterwards in any case."""
    before = run(*DNS, "get", "deployment/coredns", "--output=jsonpath={.spec.replicas}")

    def back() -> None:
        run(*DNS, "scale", "deployment/coredns", f"--replicas={before}")
        run(*DNS, "rollout", "status", "deployment/coredns", "--timeout=90s")

    run(*DNS, "scale", "deployment/coredns", "--replicas=0")
    try:
        run(*DNS, "wait", "--for=delete", "pod", "--selector=k8s-app=kube-dns", "--timeout=60s")
        yield back
    finally:
        back()
