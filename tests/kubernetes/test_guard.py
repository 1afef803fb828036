"""What an upgrade, a rollback and `kubectl apply` are refused for while a voter is away, and that they work else."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.kubernetes.figures import figure
from tests.kubernetes.guarding import (
    CHANGED,
    OTHERWISE,
    OVERRIDE,
    WAITING,
    away,
    deployed,
    refusal,
    rollback,
    uids,
    upgrade,
    values_of,
)
from tests.kubernetes.kube import run, until
from tests.kubernetes.release import CHART, Release, image_values

ROLLING_NOTHING = ("--set", "updateStrategy.partition=3")
UNREACHABLE_SECONDS_MAX = 180.0
"""Of the Job's 240: a resolver that hears nothing takes 40 s for each of two looks, and a pod has to start."""
NOBODY_IS_ASKED = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "members-reach-nobody"},
    "spec": {
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "members"}},
        "policyTypes": ["Egress"],
        "egress": [],
    },
}


def template(raft: Release, name: str, *values: str) -> str:
    return run("helm", "template", name, str(CHART), "--namespace", raft.namespace.name, *image_values(), *values)


def looking_jobs(raft: Release) -> list[dict[str, Any]]:
    """The Jobs that look before an upgrade or a rollback, and have not ended."""
    jobs = raft.namespace.get("jobs", f"--selector=app.kubernetes.io/instance={raft.name}")["items"]
    return [job for job in jobs if f"{raft.fullname}-pre-" in job["metadata"]["name"] and job["status"].get("active")]


@contextmanager
def nobody_is_reached(raft: Release) -> Iterator[None]:
    """By the Job alone: its pod reaches neither nodes nor who knows names."""
    raft.namespace.apply(NOBODY_IS_ASKED)
    try:
        yield
    finally:
        raft.namespace.kubectl("delete", "networkpolicy", NOBODY_IS_ASKED["metadata"]["name"])  # type: ignore[index]


@pytest.mark.smoke
def test_neither_upgrade_nor_rollback_begins_while_a_voter_is_away(raft: Release) -> None:
    raft.healthy()
    good = deployed(raft)
    raft.upgrade(*CHANGED)
    raft.healthy()
    before = uids(raft)
    for begin in (lambda: raft.upgrade(*OTHERWISE), lambda: rollback(raft, to=good)):
        with away(raft, "raft-0"):  # for each anew: after 75 s the kubelet begins to end a container that says nothing
            said = refusal(begin)
        assert "raft-0 is not ready" in said
        assert OVERRIDE in said
        assert uids(raft) == before, "nothing was changed"
        raft.healthy()
    rollback(raft, *WAITING, to=good)
    raft.healthy()
    assert set(uids(raft).values()).isdisjoint(before.values())


def test_while_the_job_looks_a_second_upgrade_is_refused_and_a_dry_run_changes_nothing(raft: Release) -> None:
    raft.healthy()
    before, given, good = uids(raft), values_of(raft), deployed(raft)
    with away(raft, "raft-0"), ThreadPoolExecutor(1) as pool:
        first = pool.submit(refusal, lambda: upgrade(raft, *CHANGED))
        until("the Job looks", lambda: looking_jobs(raft) or None, 30)
        assert "another operation (install/upgrade/rollback) is in progress" in refusal(lambda: upgrade(raft, *CHANGED))
        assert "raft-0 is not ready" in first.result()
        assert "RAFT_TRACE_MESSAGES" in upgrade(raft, *OTHERWISE, "--dry-run=server")
        assert looking_jobs(raft) == [], "a dry run has no hooks"
    assert uids(raft) == before
    assert values_of(raft) != given, "Helm keeps what was refused as a failed revision"
    rollback(raft, *WAITING, to=good)
    assert values_of(raft) == given
    assert uids(raft) == before


@pytest.mark.longest
def test_where_no_node_is_reached_it_ends_and_says_so_and_the_override_is_for_once(raft: Release) -> None:
    raft.healthy()
    before = uids(raft)
    with nobody_is_reached(raft):
        begun = raft.now()
        said = refusal(lambda: upgrade(raft, *CHANGED))
        took = raft.now() - begun
        assert "Refused, and nothing was changed: no node answers" in said
        assert OVERRIDE in said
        assert took < UNREACHABLE_SECONDS_MAX
        figure("an upgrade whose Job reaches nobody is refused after", took, "s")
        assert uids(raft) == before
        upgrade(raft, *CHANGED, *ROLLING_NOTHING, "--no-hooks")
        assert "hooks" not in json.dumps(values_of(raft))
        assert "no node answers" in refusal(lambda: upgrade(raft, *CHANGED)), "the override was for that once"
    upgrade(raft)
    raft.healthy()
    assert uids(raft) == before


def test_before_a_first_sync_what_runs_needs_nothing_of_what_that_sync_makes(raft: Release) -> None:
    """Argo CD: PreSync comes before Secrets, Certificates and accounts of the very same application."""
    secrets = ("tls.mode=secret", "tls.existingSecret=later", "auth.existingSecret=later", "auth.clientsSecret=later")
    rendered = template(raft, "first-raft", "--set", ",".join((*secrets, "tls.clients.mutual=true")))
    objects = [found for found in yaml.safe_load_all(rendered) if found]
    hook = "argocd.argoproj.io/hook"
    [job] = [one for one in objects if one["metadata"].get("annotations", {}).get(hook) == "PreSync"]
    raft.namespace.apply(job)
    name = f"job/{job['metadata']['name']}"
    try:
        raft.namespace.kubectl("wait", "--for=condition=complete", name, "--timeout=60s", timeout_s=70)
        assert raft.namespace.kubectl("logs", name) == "Nobody runs: there is no quorum to be lost.\n"
    finally:
        raft.namespace.kubectl("delete", name, "--wait=false")


@pytest.mark.longest
def test_a_broken_image_is_replaced_without_an_override_and_the_override_is_of_helm(raft: Release) -> None:
    raft.healthy()
    broken = ("--set", "image.repository=no-such-image")
    refusal(lambda: upgrade(raft, *broken, "--timeout=15s"))  # no pod of it can start, not even the one that looks
    before = uids(raft)
    assert len(before) == 3
    upgrade(raft, *broken, "--no-hooks")
    until("the last pod has the broken image", lambda: uids(raft).get("raft-2") not in (None, before["raft-2"]), 90)
    raft.upgrade(*CHANGED)
    raft.healthy()
    assert uids(raft)["raft-2"] != before["raft-2"]


def test_what_is_rendered_may_be_applied_again_and_after_every_change(raft: Release) -> None:
    """As a pipeline does it, hooks and test among them."""
    raft.healthy()
    values = ("--set", "replicaCount=3", "--set", "fullnameOverride=applied")
    for change in ((), (), CHANGED, ("--set", "commonLabels.team=storage")):
        raft.namespace.kubectl("apply", "--filename=-", stdin=template(raft, "applied", *values, *change))
        status = ("rollout", "status", "statefulset/applied", "--timeout=200s")
        raft.namespace.kubectl(*status, timeout_s=210)
    raft.namespace.kubectl("delete", "--filename=-", "--wait=false", stdin=template(raft, "applied", *values))
    raft.namespace.kubectl("delete", "job,pod", "--selector=app.kubernetes.io/instance=applied", "--wait=false")
    raft.namespace.kubectl("delete", "pvc", "--selector=app.kubernetes.io/instance=applied", "--wait=false")
