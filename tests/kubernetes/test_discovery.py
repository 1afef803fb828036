"""First installs under bad conditions: pods one by one, names that do not exist yet. One leader, and nothing lost."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.births import (
    NAMES_LATE_SECONDS,
    alone,
    nobody_is_born_for,
    one_leader_of_one_cluster,
    running,
    until_running,
)
from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import Namespace, run, until
from tests.kubernetes.release import release

BETWEEN_PODS_SECONDS = 5.0
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


@pytest.mark.longest
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
