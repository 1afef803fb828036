"""The guard at the API server (`admissionPolicy.enabled`), asked by real requests: what it refuses and says, what it
lets through, whom it concerns, and that it goes with the release."""

import json
from collections.abc import Callable

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.guarding import (
    CHANGED,
    OTHERWISE,
    WAITING,
    away,
    deployed,
    refusal,
    rollback,
    uids,
    upgrade,
    values_of,
)
from tests.kubernetes.kube import CommandFailed, Namespace, namespace, run, until
from tests.kubernetes.release import Release, release

GUARDED = ("--set", "admissionPolicy.enabled=true")
ROLLING_NOTHING = ("--set", "updateStrategy.partition=3")
"""Changes of the template are taken, and no pod is replaced."""
INSTALLED_WITH = (*GUARDED, *ROLLING_NOTHING)
IN_FORCE_SECONDS_MAX = 30.0
SCALED = (
    "The members of this cluster are 3 pods (replicaCount), and a scale changes no members: "
    "helm upgrade --set replicaCount=...; 0 halts it."
)
COUNTED = (
    "The number of pods is replicaCount, and members change before it does: "
    "helm upgrade --set replicaCount=...; 0 halts the cluster."
)


def asked(raft: Release, *words: str) -> Callable[[], str]:
    """`kubectl WORDS` on its StatefulSet."""
    verb, *rest = words
    return lambda: raft.namespace.kubectl(*verb.split(), f"statefulset/{raft.fullname}", *rest)


def patch(raft: Release, **spec: object) -> Callable[[], str]:
    return asked(raft, "patch", "--patch", json.dumps({"spec": spec}), "--dry-run=server")


def scale(raft: Release, count: int, *options: str) -> Callable[[], str]:
    return asked(raft, "scale", f"--replicas={count}", *options)


def generation(raft: Release) -> int:
    return int(raft.namespace.get("statefulset", raft.fullname)["metadata"]["generation"])


def unready(raft: Release, ready: int, at: int) -> str:
    return (
        f"{ready} of 3 pods are ready, and a rollout would replace others meanwhile: wait until all are. "
        f"To allow this one change all the same: kubectl --namespace {raft.namespace.name} "
        f"annotate --overwrite statefulset {raft.fullname} raft/even-if-unready={at}"
    )


def names(where: Namespace) -> list[str]:
    """Of the policies that a release named raft has there."""
    return [f"raft.{where.name}.raft.{which}" for which in ("rollout", "scale")]


def policies(kind: str, where: Namespace) -> list[str]:
    """Names of those of this namespace's releases."""
    listed = json.loads(run("kubectl", "get", kind, "--output=json"))["items"]
    return sorted(one["metadata"]["name"] for one in listed if f".{where.name}.raft." in one["metadata"]["name"])


@pytest.fixture(scope="module")
def in_force(raft: Release) -> Release:
    """The API server heeds a policy a moment after it was made."""
    raft.healthy()

    def refuses() -> bool:
        try:
            scale(raft, 5, "--dry-run=server")()
        except CommandFailed:
            return True
        return False

    until("a scale is refused", refuses, IN_FORCE_SECONDS_MAX)
    return raft


def test_the_expressions_fit_the_types(raft: Release) -> None:
    for name in names(raft.namespace):

        def checked(name: str = name) -> dict[str, object] | None:
            status = json.loads(run("kubectl", "get", "validatingadmissionpolicy", name, "--output=json"))["status"]
            return dict(status) if status.get("observedGeneration") else None

        status = until(f"the expressions of {name} are checked", checked, IN_FORCE_SECONDS_MAX)
        assert status["typeChecking"] == {}, status


def test_another_number_of_pods_is_refused_however_it_is_asked_for_and_a_halt_is_not(in_force: Release) -> None:
    raft = in_force
    for count in (1, 2, 4, 5):
        assert SCALED in refusal(scale(raft, count))
        assert COUNTED in refusal(patch(raft, replicas=count))
    for count in (0, 3):
        scale(raft, count, "--dry-run=server")()
        patch(raft, replicas=count)()
    assert len(uids(raft)) == 3
    upgrade(raft, *INSTALLED_WITH, "--set", "replicaCount=5", "--dry-run=server")


def test_no_rollout_begins_while_a_pod_is_not_ready_and_the_override_is_for_one_change(in_force: Release) -> None:
    raft = in_force
    before, given, at = uids(raft), values_of(raft), generation(raft)
    image = f"node={raft.pod('raft-0')['spec']['containers'][0]['image']}-other"
    with away(raft, "raft-0"):
        for begin in (asked(raft, "rollout restart"), asked(raft, "set image", image)):
            said = refusal(begin)
            assert unready(raft, 2, at) in said
            assert "ValidatingAdmissionPolicy" in said
        assert "raft-0 is not ready" in refusal(lambda: upgrade(raft, *INSTALLED_WITH, *CHANGED)), "the Job is first"
        assert unready(raft, 2, at) in refusal(lambda: upgrade(raft, *INSTALLED_WITH, *CHANGED, "--no-hooks"))
        asked(raft, "label", "no-rollout=yes")()
        command = unready(raft, 2, at).partition("all the same: ")[2].split()
        run(*command)
        upgrade(raft, *INSTALLED_WITH, *CHANGED, "--no-hooks")
        assert generation(raft) == at + 1
        said = refusal(lambda: upgrade(raft, *INSTALLED_WITH, *OTHERWISE, "--no-hooks"))
        assert unready(raft, 2, at + 1) in said, "it was for that one change"
    assert "even-if-unready" not in json.dumps(values_of(raft))
    assert given != values_of(raft)
    raft.healthy()
    asked(raft, "rollout restart")()
    assert uids(raft) == before
    raft.upgrade(*GUARDED)
    raft.healthy()


def test_a_broken_image_is_replaced_without_an_override_by_a_rollback(in_force: Release) -> None:
    raft = in_force
    raft.upgrade(*GUARDED)
    raft.healthy()
    before = uids(raft)
    good = deployed(raft)
    upgrade(raft, *GUARDED, "--set", "image.repository=no-such-image", "--no-hooks")
    until("the last pod has the broken image", lambda: uids(raft).get("raft-2") not in (None, before["raft-2"]), 90)
    rollback(raft, *WAITING, to=good)
    raft.healthy()
    after = uids(raft)
    assert {node for node in after if after[node] != before[node]} == {"raft-2"}


def test_each_release_has_its_own_guard_which_goes_with_it(in_force: Release, proxy: Proxy) -> None:
    raft, kinds = in_force, ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    here = names(raft.namespace)
    with (
        namespace("guard-beside") as beside,
        release(beside, proxy, *GUARDED, wait=False, nodes=1) as same_name,
        release(raft.namespace, proxy, name="free", wait=False, nodes=1) as free,
    ):
        there = names(beside)
        assert [(policies(kind, raft.namespace), policies(kind, beside)) for kind in kinds] == [(here, there)] * 2
        own = SCALED.replace("are 3 pods", "are 1 pods")

        def refuses_its_own() -> bool:
            try:
                scale(same_name, 3, "--dry-run=server")()
            except CommandFailed as failed:
                return own in failed.said
            return False

        until("the other release has its own number", refuses_its_own, IN_FORCE_SECONDS_MAX)
        scale(same_name, 1, "--dry-run=server")()
        scale(free, 2, "--dry-run=server")()
        patch(free, replicas=2)()
        same_name.namespace.helm("uninstall", same_name.name, "--wait", "--timeout=60s")
        assert [(policies(kind, raft.namespace), policies(kind, beside)) for kind in kinds] == [(here, [])] * 2
        assert SCALED in refusal(scale(raft, 2))
