"""What an upgrade and a second install find in the cluster, and what they refuse or say because of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cluster_stub import stub
from tests.chart.rendering import CHART, Values, render, run

STATEFUL_SET = "/apis/apps/v1/namespaces/ns/statefulsets/raft"
SEEING = ("--namespace", "ns", "--dry-run=server", "--disable-openapi-validation")
CLAIM = "/api/v1/namespaces/ns/persistentvolumeclaims/data-raft-{}"


def there(values: Values | None = None, ready: int | None = None) -> dict[str, Any]:
    """The StatefulSet of an install with `values`, as the API holds it; `ready` of its pods, else all."""
    found = render(values).stateful_set()
    count = found["spec"]["replicas"] if ready is None else ready
    found["status"] = {"readyReplicas": count} if count else {}  # none is left out by the API
    return {STATEFUL_SET: found}


def claims(*ordinals: int) -> dict[str, Any]:
    return {
        CLAIM.format(i): {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": f"data-raft-{i}"}}
        for i in ordinals
    }


def upgrade(folder: Path, objects: dict[str, Any], values: Values) -> tuple[int, str]:
    """Exit code and what is said of a render that sees `objects`."""
    with stub(folder, objects) as config:
        arguments = ("template", "raft", str(CHART), "--is-upgrade", *SEEING, "--kubeconfig", str(config))
        done = run(*arguments, values=values)
    return done.returncode, done.stderr


def notes(folder: Path, objects: dict[str, Any], values: Values, release: str = "raft") -> str:
    """NOTES of a first install that sees `objects`."""
    with stub(folder, objects) as config:
        done = run("install", release, str(CHART), *SEEING, "--kubeconfig", str(config), values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_another_number_of_nodes_and_pods_that_are_not_ready_are_left_to_the_job_that_looks(tmp_path: Path) -> None:
    """It sees what the nodes say, and also what Argo CD and `helm rollback` are about to do."""
    for ready in (0, 2, 3):
        assert upgrade(tmp_path, there(ready=ready), {"replicaCount": 5}) == (0, "")


POLICY = "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/raft-peers"


@pytest.mark.parametrize("run_of", ["", "20260101-120000-abcd"])
def test_an_upgrade_in_mid_partition_is_refused_up_front(tmp_path: Path, run_of: str) -> None:
    values: Values = {"networkPolicy": {"enabled": True}}
    policy = render(values).named("NetworkPolicy", "raft-peers")
    if run_of:
        policy["metadata"]["labels"]["raft-chaos/run"] = run_of
    code, said = upgrade(tmp_path, {**there(values), POLICY: policy}, values)
    assert (code != 0) is bool(run_of), said
    if run_of:
        assert f"A partition is under way: run {run_of} of raft-chaos holds the NetworkPolicy raft-peers" in said
        assert "raft-chaos heal --all" in said


def test_another_size_of_the_volumes_is_refused_and_the_same_in_another_unit_is_not(tmp_path: Path) -> None:
    code, said = upgrade(tmp_path, there(), {"persistence": {"size": "8Gi"}})
    assert code != 0
    assert "persistence.size 8Gi differs from the 4Gi" in said
    assert upgrade(tmp_path, there(), {"persistence": {"size": "4096Mi"}}) == (0, "")


KEPT: Values = {
    "accessMode": "ReadWriteOncePod",
    "storageClass": "fast",
    "labels": {"tier": "gold"},
    "annotations": {"c": "d"},
}


def test_what_kubernetes_never_changes_is_refused_before_it_answers_with_a_riddle(tmp_path: Path) -> None:
    code, said = upgrade(tmp_path, there(), {"persistence": KEPT, "nameOverride": "ra"})
    assert code != 0
    for sentence in (
        "nameOverride would change the label that pods are found by from app.kubernetes.io/name=raft to ra",
        "upgrade with --set nameOverride=raft.",
        "persistence.accessMode ReadWriteOncePod differs from the ReadWriteOnce that this release was made with",
        'persistence.storageClass fast differs from the "" that this release was made with',
        'persistence.labels {"tier":"gold"} differs from the {} that this release was made with',
        'persistence.annotations {"c":"d"} differs from the {} that this release was made with',
    ):
        assert sentence in said
    assert len([line for line in said.splitlines() if line.startswith("  - ")]) == 5
    assert upgrade(tmp_path, there({"persistence": KEPT}), {"persistence": KEPT}) == (0, "")
    said = upgrade(tmp_path, there({"persistence": {"storageClass": "-"}}), {})[1]
    assert 'persistence.storageClass "" differs from the - that this release was made with' in said


def test_another_name_is_refused_for_it_would_be_another_cluster(tmp_path: Path) -> None:
    objects = there()
    lists = {
        STATEFUL_SET.rpartition("/")[0]: {
            "kind": "StatefulSetList",
            "apiVersion": "apps/v1",
            "items": [*objects.values()],
        }
    }
    code, said = upgrade(tmp_path, objects | lists, {"fullnameOverride": "other"})
    assert code != 0
    assert "The name other would be that of another, empty cluster, and raft, which this release runs now" in said
    stranger = objects[STATEFUL_SET]
    stranger["metadata"]["labels"]["app.kubernetes.io/instance"] = "of-another-release"
    assert upgrade(tmp_path, lists, {"fullnameOverride": "other"}) == (0, "")


def test_another_namespace_is_refused_for_it_would_be_another_cluster(tmp_path: Path) -> None:
    objects = there()
    lists = {
        STATEFUL_SET.rpartition("/")[0]: {
            "kind": "StatefulSetList",
            "apiVersion": "apps/v1",
            "items": [*objects.values()],
        }
    }
    code, said = upgrade(tmp_path, objects | lists, {"namespaceOverride": "other"})
    assert code != 0
    assert "namespaceOverride would make another, empty cluster in namespace other, and raft in ns" in said


def required_alone(values: Values, schema: dict[str, Any]) -> Values:
    """`values` without what the schema lets be missing: what `--reuse-values` brings from a chart that had less."""
    return {
        key: required_alone(value, schema["properties"][key]) if "required" in schema["properties"][key] else value
        for key, value in values.items()
        if key in schema["required"]
    }


def test_values_of_a_chart_that_had_fewer_are_enough(tmp_path: Path) -> None:
    older = tmp_path / "raft"
    shutil.copytree(CHART, older)
    schema = json.loads((older / "values.schema.json").read_text())
    values = required_alone(yaml.safe_load((older / "values.yaml").read_text()), schema)
    assert "admissionPolicy" not in values
    assert not values["settings"]
    (older / "values.yaml").write_text(yaml.safe_dump(values))
    done = run("template", "raft", str(older), "--is-upgrade")
    assert (done.returncode, done.stderr) == (0, "")


def test_values_of_a_chart_that_had_too_few_are_refused_with_the_flag_that_brings_the_others(tmp_path: Path) -> None:
    older = tmp_path / "raft"
    shutil.copytree(CHART, older)
    values = yaml.safe_load((older / "values.yaml").read_text())
    del values["tls"], values["networkPolicy"]["scrapers"]
    (older / "values.yaml").write_text(yaml.safe_dump(values))
    done = run("template", "raft", str(older), "--is-upgrade")
    assert done.returncode != 0
    assert done.stderr.count("upgrade with --reset-then-reuse-values") == 2, done.stderr
    assert "template:" not in done.stderr


def test_an_upgrade_that_changes_neither_is_taken(tmp_path: Path) -> None:
    assert upgrade(tmp_path, there({"replicaCount": 5}), {"replicaCount": 5, "image": {"tag": "2"}}) == (0, "")


@pytest.mark.parametrize(("ordinals", "told"), [((), False), ((0, 1, 2), True)])
def test_an_install_says_which_old_volumes_it_finds(tmp_path: Path, ordinals: tuple[int, ...], told: bool) -> None:
    said = notes(tmp_path, claims(*ordinals), {})
    assert ("Volumes of an earlier install are used again" in said) is told
    assert "WARNING" not in said


def test_an_install_warns_of_old_volumes_of_another_number_of_nodes(tmp_path: Path) -> None:
    said = notes(tmp_path, claims(0, 1, 2), {"replicaCount": 5})
    assert "data-raft-0, data-raft-1, data-raft-2" in said
    assert "These are volumes of 3 nodes and replicaCount is 5: the others are let in, one at a time." in said
    said = notes(tmp_path, claims(0, 1, 2, 3, 4), {"replicaCount": 1})
    assert "WARNING: these are volumes of 5 nodes and replicaCount is 1." in said
    assert "install with replicaCount 5 then, and upgrade to 1" in said


def test_notes_give_the_exact_commands_and_the_warnings_that_apply(tmp_path: Path) -> None:
    said = notes(tmp_path, {}, {})
    for line in (
        "kubectl --namespace ns rollout status statefulset/raft",
        "helm test raft --namespace ns --logs",
        "kubectl --namespace ns exec raft-0 --container node -- raft-node status\n",
        "kubectl --namespace ns port-forward pod/raft-0 8001:8001",
        "kubectl --namespace ns port-forward pod/raft-1 8002:8001",
        "kubectl --namespace ns port-forward pod/raft-2 8003:8001",
        "docker build -t raft:0.1.0 .",
        "uncordon",
        "delete pvc --selector app.kubernetes.io/name=raft,app.kubernetes.io/instance=raft",
    ):
        assert line in said, line
    assert "WARNING" not in said
    named = notes(
        tmp_path, {}, {"replicaCount": 1, "image": {"digest": "sha256:" + "0" * 64}, "service": {"port": 80}}, "kv"
    )
    for line in (
        "helm test kv --namespace ns --logs",
        "rollout status statefulset/kv-raft\n",
        "port-forward pod/kv-raft-0 8001:8001",
        "http://kv-raft.ns.svc:80 ",
        "delete pvc --selector app.kubernetes.io/name=raft,app.kubernetes.io/instance=kv\n",
    ):
        assert line in named, line
    assert "docker build" not in named, "nobody builds an image of a given digest"
    risky: Values = {
        "replicaCount": 1,
        "settings": {"enable_faults": True, "wait_in_initial": True},
        "service": {"type": "LoadBalancer"},
        "ingress": {"enabled": True, "hosts": ["raft.example.org"]},
        "resources": {"limits": {"memory": None, "cpu": "1"}},
        "persistence": {"retention": {"whenDeleted": "Delete"}},
    }
    assert notes(tmp_path, {}, risky).count("WARNING") == 8
    assert "by the name raft.example.org" in notes(tmp_path, {}, risky)
