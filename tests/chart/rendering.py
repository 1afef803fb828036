"""Rendering the chart with the real Helm, each set of values once, and finding objects in what comes out.

Why it exists: a start of Helm costs 70 ms, and most tests look at the same few renders. Without Helm these tests fail;
they never skip, for a chart that nobody rendered is not tested.
"""

import copy
import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
RENDER_SECONDS = 30

Values = dict[str, Any]
Object = dict[str, Any]


def helm() -> str:
    """The program: HELM, else what `make helm` put into .cache, else PATH."""
    found = os.environ.get("HELM") or shutil.which(ROOT / ".cache" / "helm") or shutil.which("helm")
    if not found:
        raise AssertionError("Helm is missing, and the chart cannot be tested without it: run `make helm`")
    return found


def run(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """`helm ARGUMENTS` with `values` on standard input."""
    return subprocess.run(
        [helm(), *arguments, *(["--values", "-"] if values is not None else [])],
        input=json.dumps(values or {}),
        env={**os.environ, "GOGC": "off"},  # a third less time: it ends before there is garbage to collect
        capture_output=True,
        text=True,
        timeout=RENDER_SECONDS,
        check=False,
    )


@functools.cache
def _template(values: str, release: str, namespace: str) -> subprocess.CompletedProcess[str]:
    return run("template", release, str(CHART), "--namespace", namespace, values=json.loads(values))


def text(values: Values | None = None, release: str = "raft", namespace: str = "ns") -> str:
    """What Helm renders, as it is."""
    done = _template(json.dumps(values or {}, sort_keys=True), release, namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(values: Values, release: str = "raft") -> str:
    """Why Helm renders nothing: its standard error."""
    done = _template(json.dumps(values, sort_keys=True), release, "ns")
    assert done.returncode != 0, f"rendered, and should have been refused: {values}"
    return done.stderr


@functools.cache
def _groups(cases: str) -> list[dict[str, Values]]:
    """Each case in the first group in which no other sets one of its values."""
    groups: list[dict[str, Values]] = []
    for name, values in json.loads(cases).items():
        free = (group for group in groups if not any(_meet(values, other) for other in group.values()))
        group = next(free, None)
        if group is None:
            groups.append(group := {})
        group[name] = values
    return groups


def _meet(one: Values, other: Values) -> bool:
    return any(
        _meet(one[key], other[key]) if isinstance(one[key], dict) and isinstance(other[key], dict) else True
        for key in one.keys() & other.keys()
    )


def _merged(one: Values, other: Values) -> Values:
    both = {**one, **other}
    for key in one.keys() & other.keys():
        both[key] = _merged(one[key], other[key])
    return both


def refusal_among(cases: Mapping[str, Values], case: str, sentence: str) -> str:
    """As `refusal` of `cases[case]`, from a render of as many of `cases` as can be wrong at once.

    Every sentence has a condition of its own, and any of them ends the render. Where `sentence`, a regular expression,
    is not among them, the case is rendered alone: another value may have changed what is said.
    """
    members = next(group for group in _groups(json.dumps(cases)) if case in group)
    said = refusal(functools.reduce(_merged, members.values()))
    return said if re.search(sentence, said) else refusal(cases[case])


def plain_name(item: Object) -> str:
    """Its name, without the hash that a Job's and the test's pod ends in."""
    name = str(item["metadata"]["name"])
    return re.sub(r"-[0-9a-f]{5}$", "", name) if item["kind"] in ("Job", "Pod") else name


class Rendered:
    """All objects of one render; every access is a copy, so no test changes what another sees."""

    def __init__(self, objects: list[Object]) -> None:
        self._objects = objects

    @property
    def all(self) -> list[Object]:
        return copy.deepcopy(self._objects)

    def named(self, kind: str, name: str) -> Object:
        found = [item for item in self.all if (item["kind"], plain_name(item)) == (kind, name)]
        assert len(found) == 1, f"{len(found)} objects {kind} {name} among {self.names}"
        return found[0]

    @property
    def names(self) -> set[tuple[str, str]]:
        return {(item["kind"], plain_name(item)) for item in self._objects}

    def stateful_set(self, name: str = "raft") -> Object:
        return self.named("StatefulSet", name)

    def pod(self, name: str = "raft") -> Object:
        """The pod template's spec."""
        spec: Object = self.stateful_set(name)["spec"]["template"]["spec"]
        return spec

    def node(self, name: str = "raft") -> Object:
        """The container `node`."""
        return next(item for item in self.pod(name)["containers"] if item["name"] == "node")

    def environment(self, name: str = "raft", ordinal: int = 0) -> dict[str, str]:
        """What the process of one pod sees, its own name filled in as the kubelet would."""
        pod = f"{name}-{ordinal}"
        found = {}
        for item in self.node(name)["env"]:
            if "value" in item:
                found[item["name"]] = item["value"].replace("$(RAFT_NAME)", pod)
            else:
                assert item["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
                found[item["name"]] = pod
        return found


@functools.cache
def _parsed(rendered: str) -> Rendered:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Rendered([item for item in yaml.load_all(rendered, loader) if item])


def render(values: Values | None = None, release: str = "raft", namespace: str = "ns") -> Rendered:
    """The objects that the chart makes of `values`."""
    return _parsed(text(values, release, namespace))


EVERYTHING: Values = {
    "replicaCount": 5,
    "nameOverride": "raft",
    "commonLabels": {"team": "storage"},
    "commonAnnotations": {"example.org/owner": "us"},
    "image": {
        "repository": "registry.example/raft",
        "tag": "1.2.3",
        "pullPolicy": "Always",
        "pullSecrets": ["pull", {"name": "other"}],
    },
    "settings": {
        "heartbeat_ms": 200,
        "election_timeout_ms": "2000-4000",
        "max_log_bytes": 134217728,
        "enable_faults": True,
    },
    "listenAddress": "::",
    "extraAllowedHosts": ["raft.example.org"],
    "service": {
        "type": "LoadBalancer",
        "port": 80,
        "nodePort": 30801,
        "annotations": {"a": "b"},
        "grpcPort": 2379,
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
        "loadBalancerClass": "example.org/outside",
        "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"],
        "externalTrafficPolicy": "Local",
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"i": "j"},
        "hosts": ["store.example.org"],
        "grpcHosts": ["rpc.example.org"],
        "tls": [{"secretName": "cert", "hosts": ["store.example.org", "rpc.example.org"]}],
    },
    "gateway": {
        "enabled": True,
        "evenIfUnknown": True,
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["gate.example.org"],
        "grpcHostnames": ["rpc.gate.example.org"],
        "annotations": {"g": "h"},
    },
    "persistence": {
        "storageClass": "fast",
        "accessMode": "ReadWriteOncePod",
        "retention": {"whenDeleted": "Delete", "whenScaled": "Delete"},
        "labels": {"tier": "gold"},
        "annotations": {"c": "d"},
    },
    "resources": {"limits": {"cpu": 2, "memory": "4Gi"}},
    "terminationGracePeriodSeconds": 45,
    "minReadySeconds": 7,
    "lifecycle": {"preStop": {"sleep": {"seconds": 20}}},
    "revisionHistoryLimit": 3,
    "updateStrategy": {"partition": 2},
    "probes": {
        "startup": {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 361},
        "readiness": {"periodSeconds": 3, "timeoutSeconds": 4, "failureThreshold": 5},
        "liveness": {"periodSeconds": 11, "timeoutSeconds": 6, "failureThreshold": 9},
    },
    "podDisruptionBudget": {"maxUnavailable": 2},
    "podAntiAffinityPreset": "hard",
    "topologySpread": {"nodes": "none", "zones": "DoNotSchedule", "minZones": 3},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "x", "operator": "Exists"}]}]
            }
        }
    },
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "high",
    "dnsPolicy": "ClusterFirst",
    "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
    "serviceAccount": {"name": "other", "annotations": {"e": "f"}},
    "networkPolicy": {
        "enabled": True,
        "clients": [{"namespaceSelector": {"matchLabels": {"who": "app"}}}],
        "scrapers": [{"namespaceSelector": {"matchLabels": {"who": "prometheus"}}}],
        "servers": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
        "dns": [{"ipBlock": {"cidr": "169.254.20.10/32"}}],
    },
    "backup": {
        "enabled": True,
        "schedule": "@daily",
        "timeZone": "Europe/Berlin",
        "keep": 3,
        "bucket": "s3://bucket/raft/",
        "deadlineSeconds": 600,
    },
    "restore": {"from": "s3://bucket/raft/a.snap", "token": "t1"},
    "objectStorage": {"endpoint": "https://s3.example", "region": "eu-1", "existingSecret": "keys"},
    "monitoring": {
        "evenIfUnknown": True,
        "podMonitor": {"enabled": True, "interval": "30s", "scrapeTimeout": "10s", "labels": {"release": "prometheus"}},
        "rules": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "runbookUrl": "https://docs.example/operations.md",
            "backupHours": 50,
            "certificateDays": 20,
        },
        "dashboard": {"enabled": True, "labels": {"dash": "yes"}, "annotations": {"grafana_folder": "Stores"}},
    },
    "podLabels": {"pod": "label"},
    "podAnnotations": {"pod": "annotation"},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "extraContainers": [
        {
            "name": "side",
            "image": "side:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
    "extraInitContainers": [
        {
            "name": "before",
            "image": "side:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
    "tests": {"timeoutSeconds": 99},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": '{{ include "raft.fullname" . }}-more'}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n",
    ],
}
"""Values that use every part of the chart at once, each with something else than its default."""
