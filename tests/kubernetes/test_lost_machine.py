"""A machine that never comes back, as docs/operations.md has it: its pod gets a new disk on another, and votes again.

How a machine is taken off the network, and put back, the environment says, for no API of Kubernetes does: UNPLUG and
PLUG_IN, commands in which {} is its name. `make test-kubernetes` knows them for the cluster that it makes itself.
"""

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.failing import note, unscheduled
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import run, until
from tests.kubernetes.loading import Load, every_pod, load
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (os.environ.get("UNPLUG") and os.environ.get("PLUG_IN")), reason="UNPLUG and PLUG_IN are not set"
    ),
]

VOTER_SECONDS_MAX = 60.0
COLLECTED_SECONDS_MAX = 180.0
"""Kubernetes waits a while before it ends the pods of a machine that it does not know any more."""
STALL_SECONDS_MAX = 25.0
"""Whoever was just asking that machine notices only when its own time is over."""
BACK_SECONDS_MAX = 120.0
OF_ONE_LIFE = ("creationTimestamp", "deletionTimestamp", "managedFields", "resourceVersion", "uid")


@contextmanager
def off_the_network(worker: str) -> Iterator[None]:
    """Its cable is plugged in again, and it is known to Kubernetes again, whatever happened."""
    known: dict[str, Any] = json.loads(run("kubectl", "get", "node", worker, "--output=json"))
    run(*shlex.split(os.environ["UNPLUG"].replace("{}", worker)))
    try:
        yield
    finally:
        run(*shlex.split(os.environ["PLUG_IN"].replace("{}", worker)))
        if not run("kubectl", "get", "node", worker, "--ignore-not-found", "--output=name"):
            metadata = {key: value for key, value in known["metadata"].items() if key not in OF_ONE_LIFE}
            spec = {key: value for key, value in known["spec"].items() if key not in ("taints", "unschedulable")}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}
            run("kubectl", "create", "--filename=-", stdin=json.dumps(node))
        ready = ("--for=condition=Ready", f"node/{worker}", f"--timeout={BACK_SECONDS_MAX:.0f}s")
        run("kubectl", "wait", *ready, timeout_s=BACK_SECONDS_MAX + 10)


@contextmanager
def load_elsewhere(raft: Release, folder: Path, worker: str) -> Iterator[Load]:
    """Clients that do not run on that machine."""
    with ExitStack() as stack:
        run("kubectl", "cordon", worker)
        try:
            running = stack.enter_context(load(raft, folder, every_pod(raft)))
        finally:
            run("kubectl", "uncordon", worker)
        yield running


def test_a_machine_that_never_comes_back_costs_no_write_and_its_pod_votes_again_on_another(
    raft: Release, evidence: Path
) -> None:
    lost = raft.healthy()  # who leads
    others = [node for node in raft.nodes if node != lost]
    pod, disk = raft.pod(lost), raft.statuses([lost])[lost]["incarnation"]
    worker = pod["spec"]["nodeName"]
    with load_elsewhere(raft, evidence, worker) as running:
        running.more_acknowledged(50)
        with off_the_network(worker):
            begun = raft.now()
            raft.leader(others)
            running.more_acknowledged(50)
            figure("the leader's machine off the network: a leader and 50 writes after", raft.now() - begun, "s")
            run("kubectl", "delete", "node", worker)
            begun = raft.now()
            uid = pod["metadata"]["uid"]
            until("its pod's successor has no place", lambda: unscheduled(raft, lost, uid), COLLECTED_SECONDS_MAX)
            figure("the machine deleted: its pod is another one, without a place, after", raft.now() - begun, "s")
            begun = raft.now()
            raft.namespace.kubectl("delete", "pvc", f"data-{lost}", "--wait=false")
            raft.namespace.kubectl("delete", "pod", lost, "--wait=false")

            def votes_again() -> bool:
                status = raft.ask(lost, "/status")
                own = {"name": lost, "incarnation": status["incarnation"]} if status else {}
                return bool(status) and own["incarnation"] != disk and own in status["voters"]

            until(f"{lost} is a voter with its new disk", votes_again, VOTER_SECONDS_MAX)
            figure("the machine deleted: a voter again after the deletion of the claim", raft.now() - begun, "s")
            assert raft.pod(lost)["spec"]["nodeName"] != worker
            leads = raft.healthy()
            running.more_acknowledged(100)
            term = raft.statuses([leads])[leads]["term"]
        # Its old process, which may have run on alone, is no member
        running.more_acknowledged(100)
        assert raft.healthy() == leads
        statuses = raft.statuses()
        assert {status["term"] for status in statuses.values()} == {term}, "who came back disturbed the others"
        assert disk not in [voter["incarnation"] for voter in statuses[leads]["voters"]]
        lines = running.stop()
    note("the leader's machine lost", lines)
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    assert not bad, bad[:5]
    nothing_is_lost(raft, lines)
    assert longest_stall_s(lines) < STALL_SECONDS_MAX
