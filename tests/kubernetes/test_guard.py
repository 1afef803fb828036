"""What an upgrade, a rollback and `kubectl apply` are refused for while a voter is away, and that they work else."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kubernetes.kube import CommandFailed, run, until
from tests.kubernetes.release import CHART, Release, image_values, is_ready

CHANGED = ("--set", "settings.trace_messages=2048")
WAITING = ("--wait", "--timeout=240s")


def uids(raft: Release) -> dict[str, str]:
    return {node: pod["metadata"]["uid"] for node, pod in raft.pods().items()}


def rollback(raft: Release, *options: str) -> str:
    return raft.namespace.helm("rollback", raft.name, "1", *options, timeout_s=260)


@contextmanager
def away(raft: Release, node: str) -> Iterator[None]:
    """The node's process is stopped: its pod stays, and is not ready."""
    raft.signal_in_place(node, "STOP")
    until(f"{node} is not ready", lambda: not is_ready(raft.pod(node)), 60)
    try:
        yield
    finally:
        raft.signal_in_place(node, "CONT")
        raft.ready(node)


@pytest.mark.smoke
def test_neither_upgrade_nor_rollback_begins_while_a_voter_is_away(raft: Release) -> None:
    raft.healthy()
    raft.upgrade(*CHANGED)
    raft.healthy()
    before = uids(raft)
    with away(raft, "raft-0"):
        for begin in (lambda: raft.upgrade("--set", "settings.trace_messages=1024"), lambda: rollback(raft)):
            with pytest.raises(CommandFailed) as refused:
                begin()
            assert "raft-0 is not ready" in refused.value.said, refused.value.said
            assert uids(raft) == before, "nothing was changed"
    raft.healthy()
    rollback(raft, *WAITING)
    raft.healthy()
    assert set(uids(raft).values()).isdisjoint(before.values())


def test_a_broken_image_is_replaced_without_an_override_and_the_override_is_of_helm(raft: Release) -> None:
    raft.healthy()
    with pytest.raises(CommandFailed):  # no pod of it can start, not even the one that looks
        raft.namespace.helm(
            "upgrade", raft.name, str(CHART), "--set", "image.repository=no-such-image", "--timeout=15s", timeout_s=60
        )
    before = uids(raft)
    assert len(before) == 3
    raft.namespace.helm(
        "upgrade", raft.name, str(CHART), "--set", "image.repository=no-such-image", "--no-hooks", timeout_s=60
    )
    until("the last pod has the broken image", lambda: uids(raft).get("raft-2") not in (None, before["raft-2"]), 90)
    raft.upgrade(*CHANGED)
    raft.healthy()
    assert uids(raft)["raft-2"] != before["raft-2"]


def test_what_is_rendered_may_be_applied_again_and_after_every_change(raft: Release) -> None:
    """As a pipeline does it, hooks and test among them."""
    raft.healthy()
    values = (*image_values(), "--set", "replicaCount=3", "--set", "fullnameOverride=applied")
    for change in ((), (), CHANGED, ("--set", "commonLabels.team=storage")):
        rendered = run("helm", "template", "applied", str(CHART), "--namespace", raft.namespace.name, *values, *change)
        raft.namespace.kubectl("apply", "--filename=-", stdin=rendered)
        status = ("rollout", "status", "statefulset/applied", "--timeout=200s")
        raft.namespace.kubectl(*status, timeout_s=210)
    rendered = run("helm", "template", "applied", str(CHART), "--namespace", raft.namespace.name, *values)
    raft.namespace.kubectl("delete", "--filename=-", "--wait=false", stdin=rendered)
    raft.namespace.kubectl("delete", "job,pod", "--selector=app.kubernetes.io/instance=applied", "--wait=false")
    raft.namespace.kubectl("delete", "pvc", "--selector=app.kubernetes.io/instance=applied", "--wait=false")


def test_an_upgrade_in_mid_partition_is_refused_up_front(raft: Release) -> None:
    """A run of raft-chaos holds the chart's policy: Helm 4 would fail at it, with pods rolling already."""
    raft.healthy()
    guarded = (*CHANGED, "--set", "networkPolicy.enabled=true")
    raft.upgrade(*guarded)
    raft.healthy()
    before = uids(raft)
    policy = ("networkpolicy", f"{raft.fullname}-peers")
    raft.namespace.kubectl("label", *policy, "raft-chaos/run=a-run")
    with pytest.raises(CommandFailed) as refused:
        raft.upgrade(*guarded, "--set", "settings.trace_messages=1024")
    assert "A partition is under way: run a-run of raft-chaos" in refused.value.said
    assert uids(raft) == before
    raft.namespace.kubectl("label", *policy, "raft-chaos/run-")
    raft.upgrade(*CHANGED, "--set", "networkPolicy.enabled=false")


def test_the_api_server_guards_too_where_it_is_asked_to(raft: Release) -> None:
    raft.healthy()
    raft.upgrade(*CHANGED, "--set", "admissionPolicy.enabled=true")
    raft.healthy()
    stateful_set = ("statefulset", raft.fullname)
    image = json.dumps({"spec": {"template": {"metadata": {"annotations": {"changed": "yes"}}}}})

    def refused(*words: str) -> str:
        try:
            raft.namespace.kubectl(*words)
        except CommandFailed as failed:
            return failed.said
        return ""

    until(
        "a scale is refused",
        lambda: "a scale changes no members" in refused("scale", *stateful_set, "--replicas=5"),
        30,
    )
    assert "members change before it does" in refused("patch", *stateful_set, "--patch", '{"spec": {"replicas": 5}}')
    with away(raft, "raft-0"):
        assert "A pod is not ready" in refused("patch", *stateful_set, "--patch", image)
        generation = raft.namespace.get(*stateful_set)["metadata"]["generation"]
        raft.namespace.kubectl("annotate", *stateful_set, f"raft/even-if-unready={generation}")
        assert refused("patch", *stateful_set, "--dry-run=server", "--patch", image) == ""
    raft.upgrade(*CHANGED, "--set", "admissionPolicy.enabled=false")
