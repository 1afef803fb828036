"""What the chart makes: the objects of the defaults, field by field, and for each value what it changes."""

import json
import re
from pathlib import Path

import pytest

from node import __version__
from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.pod_security import violations
from tests.chart.rendering import CHART, EVERYTHING, Object, Values, helm, render, run, text

SELECTOR = {
    "app.kubernetes.io/name": "raft",
    "app.kubernetes.io/instance": "raft",
    "app.kubernetes.io/component": "node",
}
POD_LABELS = {**SELECTOR, "app.kubernetes.io/part-of": "raft", "app.kubernetes.io/managed-by": "Helm"}
LABELS = {**POD_LABELS, "app.kubernetes.io/version": __version__, "helm.sh/chart": "raft-0.1.0"}
POLICY: Values = {"networkPolicy": {"enabled": True}}
HARDENED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
OWN_PODS = {"podSelector": {"matchLabels": SELECTOR}}
TEST_PODS = {"podSelector": {"matchLabels": {**SELECTOR, "app.kubernetes.io/component": "test"}}}
MEMBERS_PODS = {"podSelector": {"matchLabels": {**SELECTOR, "app.kubernetes.io/component": "members"}}}


@pytest.mark.parametrize(
    "values", [{}, EVERYTHING, {"replicaCount": 1}, POLICY], ids=["defaults", "all", "one", "policy"]
)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid_for_the_oldest_and_the_newest_kubernetes(values: Values, version: str) -> None:
    for item in render(values).all:
        check(item, version)


def test_the_oldest_kubernetes_is_the_one_that_the_chart_names() -> None:
    assert f'kubeVersion: ">={OLDEST}-0"' in (CHART / "Chart.yaml").read_text()
    assert run("template", "raft", str(CHART), "--kube-version", "1.30.0").returncode == 0
    assert "1.29" in run("template", "raft", str(CHART), "--kube-version", "1.29.9").stderr


def test_strict_lint_has_nothing_to_say(tmp_path: Path) -> None:
    done = run("lint", "--strict", str(CHART), values=EVERYTHING)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


def test_two_renders_are_equal() -> None:
    again = run("template", "raft", str(CHART), "--namespace", "ns", values=EVERYTHING)
    assert again.stdout == text(EVERYTHING)


def test_no_template_takes_chance_or_the_time() -> None:
    for file in (CHART / "templates").rglob("*"):
        if file.is_file():
            words = file.read_text()
            found = [
                word for word in ("rand", "genCA", "genSigned", "uuidv4", "now ", "htpasswd") if f" {word}" in words
            ]
            assert not found, f"{file.name}: {found}"


def test_the_defaults_make_these_objects_and_no_others() -> None:
    assert render().names == {
        ("StatefulSet", "raft"),
        ("Service", "raft"),
        ("Service", "raft-headless"),
        ("ServiceAccount", "raft"),
        ("PodDisruptionBudget", "raft"),
        ("Pod", "raft-test"),
        ("Job", "raft-pre"),
        ("Job", "raft-fit"),
    }


def test_the_stateful_set_of_the_defaults() -> None:
    found = render().stateful_set()
    spec = found["spec"]
    assert found["metadata"] == {
        "name": "raft",
        "namespace": "ns",
        "labels": LABELS,
        "annotations": {"raft/replica-count": "3"},
    }
    template = spec.pop("template")
    claims = spec.pop("volumeClaimTemplates")
    assert spec == {
        "replicas": 3,
        "serviceName": "raft-headless",
        "podManagementPolicy": "Parallel",
        "minReadySeconds": 5,
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "selector": {"matchLabels": SELECTOR},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
    assert template["metadata"] == {"labels": POD_LABELS}
    assert claims == [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "labels": SELECTOR},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "4Gi"}}},
        }
    ]


def test_the_pod_of_the_defaults() -> None:
    pod = render().pod()
    container = pod.pop("containers")[0]
    container.pop("env")
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": SELECTOR}}
    assert pod == {
        "serviceAccountName": "raft",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
            }
        },
        "topologySpreadConstraints": [
            {
                "topologyKey": key,
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": SELECTOR},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "2"}]},
    }
    assert container == {
        "name": "node",
        "image": f"raft:{__version__}",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": HARDENED,
        "ports": [
            {"name": "client", "containerPort": 8001, "protocol": "TCP"},
            {"name": "peer", "containerPort": 9001, "protocol": "TCP"},
            {"name": "operations", "containerPort": 8002, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/startupz", period=1, timeout=2, failures=316),
        "readinessProbe": _probe("/readyz", period=1, timeout=2, failures=3),
        "livenessProbe": _probe("/livez", period=10, timeout=5, failures=8),
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "4Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/raft"}],
    }


def _probe(path: str, period: int, timeout: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "operations"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def test_the_services_of_the_defaults() -> None:
    client = {"name": "client", "port": 8001, "targetPort": "client", "protocol": "TCP", "appProtocol": "http"}
    peer = {"name": "peer", "port": 9001, "targetPort": "peer", "protocol": "TCP", "appProtocol": "kubernetes.io/ws"}
    watched = {"name": "operations", "port": 8002, "targetPort": "operations", "protocol": "TCP", "appProtocol": "http"}
    assert render().named("Service", "raft-headless")["spec"] == {
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": SELECTOR,
        "ports": [client, peer, watched],
    }
    assert render().named("Service", "raft")["spec"] == {"type": "ClusterIP", "selector": SELECTOR, "ports": [client]}


def test_the_budget_covers_voters_that_are_not_ready_and_is_there_for_more_than_one_node() -> None:
    assert render().named("PodDisruptionBudget", "raft")["spec"] == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        "selector": {"matchLabels": SELECTOR},
    }
    assert not [item for item in render({"replicaCount": 1}).all if item["kind"] == "PodDisruptionBudget"]
    assert not [
        item
        for item in render({"podDisruptionBudget": {"enabled": False}}).all
        if item["kind"] == "PodDisruptionBudget"
    ]


def test_the_account_has_no_token_and_may_be_another() -> None:
    assert render().named("ServiceAccount", "raft")["automountServiceAccountToken"] is False
    given = render({"serviceAccount": {"create": False, "name": "there"}})
    assert given.pod()["serviceAccountName"] == "there"
    assert not [item for item in given.all if item["kind"] == "ServiceAccount"]
    assert not any(
        subject["name"] != "raft-chaos"  # the account that is asked for by name, and that no pod of the chart has
        for item in render(EVERYTHING).all
        for subject in item.get("subjects", ())
    )
    assert not any(item["kind"].endswith(("Role", "RoleBinding")) for item in render().all)


@pytest.mark.parametrize(
    "values", [{}, EVERYTHING, {"securityContext": {"runAsUser": None}}], ids=["defaults", "all", "platform"]
)
def test_every_pod_passes_the_restricted_standard(values: Values) -> None:
    rendered = render(values)
    assert violations(rendered.pod()) == []
    assert violations(rendered.named("Pod", "raft-test")["spec"]) == []


def test_the_restricted_standard_is_really_checked() -> None:
    pod = render().pod()
    pod["containers"][0]["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]
    pod["volumes"] = [{"name": "host", "hostPath": {"path": "/"}}]
    pod["securityContext"].pop("seccompProfile")
    assert violations(pod) == [
        "volume host is a hostPath",
        "containers node: seccompProfile is neither RuntimeDefault nor Localhost",
        "containers node: capabilities.add ['NET_ADMIN']",
    ]


def test_the_pod_of_helm_test_is_made_for_the_test_alone_and_goes_where_nodes_may_go() -> None:
    found = render().named("Pod", "raft-test")
    assert found["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    [container] = found["spec"].pop("containers")
    assert found["spec"] == {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 180,
        "serviceAccountName": "raft",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": render().pod()["securityContext"],
    }
    assert (container["image"], container["imagePullPolicy"]) == (f"raft:{__version__}", "IfNotPresent")
    assert container["securityContext"] == HARDENED
    assert container["resources"]["limits"] == {"memory": "128Mi"}
    there = render(EVERYTHING).named("Pod", "raft-test")["spec"]
    node = render(EVERYTHING).pod()
    for key in ("serviceAccountName", "nodeSelector", "tolerations", "imagePullSecrets"):
        assert there[key] == node[key], key
    assert there["activeDeadlineSeconds"] == 99 + 60
    assert there["containers"][0]["imagePullPolicy"] == "Always"
    assert {"name": "TIMEOUT_SECONDS", "value": "99"} in there["containers"][0]["env"]


def test_no_common_annotation_hides_what_the_chart_remembers() -> None:
    annotations = render({"commonAnnotations": {"raft/replica-count": "9"}}).stateful_set()["metadata"]["annotations"]
    assert annotations == {"raft/replica-count": "3"}


def test_peer_access_is_a_policy_by_itself() -> None:
    assert render(POLICY).named("NetworkPolicy", "raft-peers")["spec"] == {
        "podSelector": {"matchLabels": SELECTOR},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [OWN_PODS], "ports": [{"port": 9001, "protocol": "TCP"}]}],
        "egress": [{"to": [OWN_PODS], "ports": [{"port": 9001, "protocol": "TCP"}]}],
    }


def test_clients_are_the_nodes_the_test_and_whom_the_values_name() -> None:
    clients = render(POLICY).named("NetworkPolicy", "raft-clients")["spec"]
    port = [{"port": 8001, "protocol": "TCP"}]
    assert clients["ingress"] == [{"from": [OWN_PODS, TEST_PODS, MEMBERS_PODS, {"podSelector": {}}], "ports": port}]
    assert clients["egress"] == [{"to": [OWN_PODS], "ports": port}]
    none = render({"networkPolicy": {"enabled": True, "clients": []}}).named("NetworkPolicy", "raft-clients")["spec"]
    assert none["ingress"] == [{"from": [OWN_PODS, TEST_PODS, MEMBERS_PODS], "ports": port}]
    test_labels = render(POLICY).named("Pod", "raft-test")["metadata"]["labels"]
    assert test_labels.items() >= TEST_PODS["podSelector"]["matchLabels"].items()
    assert not test_labels.items() >= SELECTOR.items(), "the test's pod would be taken for a node"


def test_nodes_may_ask_for_names_and_nothing_else() -> None:
    rendered = render(POLICY)
    names = rendered.named("NetworkPolicy", "raft-dns")["spec"]
    assert names["policyTypes"] == ["Egress"]
    assert names["egress"][0]["to"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    assert {(port["port"], port["protocol"]) for port in names["egress"][0]["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert len([item for item in rendered.all if item["kind"] == "NetworkPolicy"]) == 4


def test_what_else_they_may_ask_is_a_policy_of_its_own() -> None:
    storage = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}]
    rendered = render({"networkPolicy": {"enabled": True, "servers": storage}})
    assert rendered.named("NetworkPolicy", "raft-servers")["spec"] == {
        "podSelector": {"matchLabels": SELECTOR},
        "policyTypes": ["Egress"],
        "egress": [{"to": storage}],
    }


def test_who_may_scrape_is_not_who_may_write() -> None:
    alone = render(POLICY).named("NetworkPolicy", "raft-operations")["spec"]
    assert alone == {"podSelector": {"matchLabels": SELECTOR}, "policyTypes": ["Ingress"], "ingress": []}
    prometheus = [{"namespaceSelector": {"matchLabels": {"who": "prometheus"}}}]
    rendered = render({"networkPolicy": {"enabled": True, "clients": [], "scrapers": prometheus}})
    (rule,) = rendered.named("NetworkPolicy", "raft-operations")["spec"]["ingress"]
    assert rule == {"from": prometheus, "ports": [{"port": 8002, "protocol": "TCP"}]}
    for item in rendered.all:
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] != "raft-operations":
            assert "prometheus" not in json.dumps(item)
            assert 8002 not in [port["port"] for way in item["spec"].get("ingress", []) for port in way["ports"]]


def test_without_a_port_for_operations_there_is_nothing_of_it() -> None:
    values: Values = {**POLICY, "operations": {"enabled": False}}
    rendered = render(values)
    assert "8002" not in text(values)
    assert ("NetworkPolicy", "raft-operations") not in rendered.names
    assert rendered.node()["readinessProbe"]["httpGet"]["port"] == "client"


def test_each_value_reaches_its_place() -> None:
    rendered = render(EVERYTHING)
    pod, node, spec = rendered.pod(), rendered.node(), rendered.stateful_set()["spec"]
    metadata = spec["template"]["metadata"]
    claim = spec["volumeClaimTemplates"][0]
    assert metadata["labels"] == {**POD_LABELS, "team": "storage", "pod": "label"}
    assert metadata["annotations"] == {"pod": "annotation", "example.org/owner": "us"}
    assert spec["selector"]["matchLabels"] == SELECTOR
    assert spec["updateStrategy"]["rollingUpdate"] == {"partition": 2}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Delete", "whenScaled": "Delete"}
    assert (spec["minReadySeconds"], spec["revisionHistoryLimit"]) == (7, 3)
    assert (pod["terminationGracePeriodSeconds"], node["imagePullPolicy"]) == (45, "Always")
    assert node["startupProbe"] == _probe("/startupz", period=2, timeout=3, failures=361)
    assert node["readinessProbe"] == _probe("/readyz", period=3, timeout=4, failures=5)
    assert node["livenessProbe"] == _probe("/livez", period=11, timeout=6, failures=9)
    assert (pod["dnsPolicy"], pod["dnsConfig"]) == ("ClusterFirst", EVERYTHING["dnsConfig"])
    assert node["lifecycle"] == EVERYTHING["lifecycle"]
    assert node["resources"] == {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": 2, "memory": "4Gi"}}
    assert (node["image"], pod["imagePullSecrets"]) == (
        "registry.example/raft:1.2.3",
        [{"name": "pull"}, {"name": "other"}],
    )
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert (claim["metadata"]["labels"]["tier"], claim["metadata"]["annotations"]) == ("gold", {"c": "d"})
    assert pod["affinity"].keys() == {"nodeAffinity", "podAntiAffinity"}
    assert "requiredDuringSchedulingIgnoredDuringExecution" in pod["affinity"]["podAntiAffinity"]
    assert [
        (rule["topologyKey"], rule["whenUnsatisfiable"], rule["minDomains"])
        for rule in pod["topologySpreadConstraints"]
    ] == [("topology.kubernetes.io/zone", "DoNotSchedule", 3)]
    assert (pod["nodeSelector"], pod["priorityClassName"], pod["serviceAccountName"]) == (
        {"disk": "ssd"},
        "high",
        "other",
    )
    assert pod["tolerations"] == EVERYTHING["tolerations"]
    assert node["env"][-1] == {"name": "TZ", "value": "UTC"}
    assert node["volumeMounts"][-1] == {"name": "more", "mountPath": "/more"}
    assert [item["name"] for item in pod["containers"]] == ["node", "side"]
    assert [item["name"] for item in pod["initContainers"]] == ["restore", "before"]
    assert [item["name"] for item in pod["volumes"]] == ["more"]
    service = rendered.named("Service", "raft")
    assert (service["spec"]["type"], service["metadata"]["annotations"]["a"]) == ("LoadBalancer", "b")
    assert [(port["port"], port.get("nodePort")) for port in service["spec"]["ports"]] == [(80, 30801), (2379, None)]
    assert rendered.named("ServiceAccount", "other")["metadata"]["annotations"]["e"] == "f"
    assert rendered.named("NetworkPolicy", "raft-dns")["spec"]["egress"][0]["to"] == EVERYTHING["networkPolicy"]["dns"]
    assert rendered.named("PodDisruptionBudget", "raft")["spec"]["maxUnavailable"] == 2
    assert rendered.names >= {("ConfigMap", "raft-more"), ("ConfigMap", "raft-text")}
    assert all(item["metadata"]["labels"]["team"] == "storage" for item in rendered.all if item["kind"] != "ConfigMap")
    assert all(
        "example.org/owner" in item["metadata"]["annotations"] for item in rendered.all if item["kind"] != "ConfigMap"
    )


def test_no_apart_and_no_spread_leave_nothing_behind() -> None:
    pod = render({"podAntiAffinityPreset": "none", "topologySpread": {"nodes": "none", "zones": "none"}}).pod()
    assert not pod.keys() & {"affinity", "topologySpreadConstraints"}


def test_a_digest_wins_over_the_tag_and_a_dash_means_no_storage_class() -> None:
    digest = "sha256:" + "0" * 64
    rendered = render({"image": {"tag": "1", "digest": digest}, "persistence": {"storageClass": "-"}})
    assert rendered.node()["image"] == f"raft@{digest}"
    assert rendered.stateful_set()["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == ""


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("raft", {}, "raft"),
        ("my-raft-2", {}, "my-raft-2"),
        ("store", {}, "store-raft"),
        ("store", {"nameOverride": "kv"}, "store-kv"),
        ("store", {"fullnameOverride": "exact"}, "exact"),
        ("2024", {}, "raft-2024"),
        ("3raft", {}, "raft-3raft"),
        ("1", {"nameOverride": "kv"}, "kv-1"),
    ],
)
def test_names_are_the_releases_as_everywhere(release: str, values: Values, name: str) -> None:
    rendered = render(values, release)
    kinds = {found for kind, found in rendered.names if kind != "Pod"}
    assert kinds == {name, f"{name}-headless", f"{name}-pre", f"{name}-fit"}
    assert rendered.stateful_set(name)["spec"]["serviceName"] == f"{name}-headless"


@pytest.mark.parametrize(
    ("release", "namespace", "values"),
    [
        ("true", "ns", {**POLICY, "chaos": {"rbac": {"create": True, "nodes": True}}}),
        ("2024", "123", POLICY),
        ("2024", "123", {"fullnameOverride": "null", "nameOverride": "1e3"}),
        (
            "raft",
            "0x1f",
            {
                "serviceAccount": {"name": "8"},
                "priorityClassName": "7",
                "image": {"repository": "1", "tag": "30", "pullSecrets": ["9"]},
                "persistence": {"storageClass": "on"},
            },
        ),
    ],
)
def test_a_name_that_could_be_a_number_or_a_truth_stays_a_name(release: str, namespace: str, values: Values) -> None:
    for item in render(values, release, namespace).all:
        check(item, NEWEST)


def test_every_object_lives_in_the_namespace_that_the_values_name() -> None:
    values: Values = {**EVERYTHING, "chaos": {"rbac": {"create": True, "nodes": True}}, "namespaceOverride": "other"}
    for item in render(values).all:
        if item["kind"] not in ("ClusterRole", "ClusterRoleBinding", "ConfigMap"):
            assert item["metadata"]["namespace"] == "other", item["metadata"]["name"]
    assert "ns" not in re.findall(r"[a-z]+", text({**values, "extraObjects": []}))
    for file in (CHART / "templates").rglob("*.*"):
        if file.name not in ("_names.tpl", "_upgrade.tpl"):
            assert ".Release.Namespace" not in file.read_text(), f'{file.name}: write include "raft.namespace"'


def test_a_pods_own_label_wins_over_a_common_one() -> None:
    values: Values = {"commonLabels": {"team": "storage", "a": "b"}, "podLabels": {"team": "raft"}}
    metadata = render(values).stateful_set()["spec"]["template"]["metadata"]
    assert metadata["labels"] == {**POD_LABELS, "team": "raft", "a": "b"}
    assert text(values).count("team: raft") == 3, "of the nodes' pods, and of the two Jobs'"


def test_two_releases_in_one_namespace_select_nothing_of_each_other() -> None:
    one, other = (render(POLICY, release) for release in ("raft", "raft-b"))
    labels = [
        item.stateful_set(name)["spec"]["template"]["metadata"]["labels"]
        for item, name in ((one, "raft"), (other, "raft-b"))
    ]
    selector = one.stateful_set()["spec"]["selector"]["matchLabels"]
    assert labels[0].items() >= selector.items()
    assert not labels[1].items() >= selector.items()
    assert not one.names & other.names
    assert "raft-b" not in json.dumps(one.all)


def test_a_new_chart_alone_rolls_no_pod() -> None:
    labels = render().stateful_set()["spec"]["template"]["metadata"]["labels"]
    assert not labels.keys() & {"helm.sh/chart", "app.kubernetes.io/version"}


def test_the_program_is_a_helm_that_the_chart_supports() -> None:
    version = run("version", "--short").stdout
    assert version.startswith(("v3.", "v4.")), f"{helm()}: {version}"
