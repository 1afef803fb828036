"""Values that make no sense are refused before anything is made, with a sentence that says what, where and the cure."""

import re

import pytest

from node.settings import load
from tests.chart.rendering import Values, refusal, refusal_among, render

LONG = "r" * 53

UNREADABLE: dict[str, tuple[Values, str]] = {
    "a range of one": (
        {"settings": {"election_timeout_ms": "500"}},
        "settings.election_timeout_ms 500 is no range, .* such as 500-1000",
    ),
    "a range of one as a number": (
        {"settings": {"election_timeout_ms": 500}},
        "settings.election_timeout_ms 500 is no range, .* such as 500-1000",
    ),
    "a size of Kubernetes in settings": (
        {"settings": {"max_log_bytes": "1Gi"}},
        "settings.max_log_bytes 1Gi is no size of raft-node: .* such as 256MiB",
    ),
    "memory of another unit": (
        {"resources": {"limits": {"memory": "4GB"}}},
        "resources.limits.memory 4GB is no size of Kubernetes: .* such as 4Gi",
    ),
    "a disk of another unit": (
        {"persistence": {"size": "4 GiB"}},
        "persistence.size 4 GiB is no size of Kubernetes",
    ),
    "CPU in words": (
        {"resources": {"requests": {"cpu": "2 cores"}}},
        "resources.requests.cpu 2 cores is no amount of CPU: .* 500m",
    ),
    "a tag in the repository": (
        {"image": {"repository": "registry:5000/raft:dev"}},
        "image.repository registry:5000/raft:dev holds a tag or digest: put that into image.tag",
    ),
    "a tag that is a number": ({"image": {"tag": 1.1}}, r"image.tag 1\.1 is a number, .* --set-string"),
    "an image with capitals": ({"image": {"repository": "Raft"}}, "image.repository Raft cannot be an image's name"),
    "a class with a line too many": (
        {"priorityClassName": "high\nhostNetwork: true"},
        r"priorityClassName high\\nhostNetwork: true cannot be the name of anything",
    ),
    "a storage class in capitals": (
        {"persistence": {"storageClass": "Fast"}},
        "persistence.storageClass Fast cannot be the name of anything",
    ),
    "an account with a slash": (
        {"serviceAccount": {"name": "ns/raft"}},
        "serviceAccount.name ns/raft cannot be the name of anything",
    ),
    "a secret with a slash": (
        {"image": {"pullSecrets": ["good", "ns/pull"]}},
        r"image.pullSecrets\[1\] ns/pull cannot be the name of anything",
    ),
    "a claim in capitals": ({"backup": {"claim": "Backups"}}, "backup.claim Backups cannot be the name of anything"),
    "keys of a storage in another namespace": (
        {"objectStorage": {"existingSecret": "other/keys"}},
        "objectStorage.existingSecret other/keys cannot be the name of anything",
    ),
    "a line's end that nobody sees": (
        {"settings": {"max_append_bytes": "1MiB\n"}},
        r"settings.max_append_bytes 1MiB\\n is no size of raft-node",
    ),
}
"""Said by themselves: nothing can be held against what cannot be read."""

SENSELESS: dict[str, tuple[Values, str]] = {
    "memory that cannot hold a full log": (
        {"resources": {"limits": {"memory": "1Gi"}}},
        "resources.limits.memory 1Gi cannot hold a full log and its state, .*max_log_bytes 256MiB needs 3728Mi",
    ),
    "a log that the memory cannot hold": (
        {"settings": {"max_log_bytes": "300MiB"}},
        "resources.limits.memory 4Gi cannot hold .* needs 4344Mi; raise the limit or lower max_log_bytes",
    ),
    "bytes in flight that the memory cannot hold": (
        {"settings": {"inflight_bytes": "256MiB"}},
        "resources.limits.memory 4Gi cannot hold .* needs 4224Mi",
    ),
    "a request above its limit": (
        {"resources": {"requests": {"memory": "5Gi"}}},
        "resources.requests.memory 5Gi exceeds resources.limits.memory 4Gi, .* lower the request",
    ),
    "more CPU asked than allowed": (
        {"resources": {"requests": {"cpu": 1.5}, "limits": {"cpu": "500m"}}},
        "resources.requests.cpu 1.5 exceeds resources.limits.cpu 500m",
    ),
    "a volume too small for the log": (
        {"persistence": {"size": "1Gi"}},
        "persistence.size 1Gi cannot hold a full log, .* needs 1056Mi; raise the size or lower max_log_bytes",
    ),
    "heartbeats as slow as elections": (
        {"settings": {"heartbeat_ms": 400}},
        "settings.election_timeout_ms 500-1000 begins below 1.5 heartbeats of 400 ms .* begin at 600 or more",
    ),
    "an election timeout without width": (
        {"settings": {"election_timeout_ms": "500-550"}},
        "settings.election_timeout_ms 500-550 is too narrow, .* end at 600 or more",
    ),
    "a grace period too short to hand over": (
        {"terminationGracePeriodSeconds": 15},
        "terminationGracePeriodSeconds 15 is too short, .* set 16 or more",
    ),
    "a message above what may be under way": (
        {"settings": {"inflight_bytes": "512KiB"}},
        "settings.max_append_bytes 1MiB exceeds settings.inflight_bytes 512KiB: raise the second",
    ),
    "a message above what may be uncommitted": (
        {"settings": {"max_append_bytes": 2097152, "max_uncommitted_bytes": "1MiB"}},
        "settings.max_append_bytes 2MiB exceeds settings.max_uncommitted_bytes 1MiB",
    ),
    "a segment that is no whole sectors": (
        {"settings": {"segment_bytes": 1000001}},
        "settings.segment_bytes 1000001 is not a multiple of 512",
    ),
    "a start that is given too little time": (
        {"probes": {"startup": {"failureThreshold": 100}}},
        "probes.startup gives a node 100 s .* may take 316 s: raise probes.startup.failureThreshold to 316",
    ),
    "a liveness probe without patience": (
        {"probes": {"liveness": {"timeoutSeconds": 9, "failureThreshold": 7}}},
        "probes.liveness restarts a node after a stall of 69 s, .* 70 or more",
    ),
    "a budget of the majority": (
        {"podDisruptionBudget": {"maxUnavailable": 2}},
        "podDisruptionBudget.maxUnavailable 2 lets evictions take the majority of 3 nodes: set 1 or less",
    ),
    "the image of the day": ({"image": {"tag": "latest"}}, "image.tag latest means another image .* name a version"),
    "a node port without its type": (
        {"service": {"nodePort": 30000}},
        "service.nodePort 30000 needs service.type NodePort or LoadBalancer",
    ),
    "a policy of machines without its type": (
        {"service": {"externalTrafficPolicy": "Local"}},
        "service.externalTrafficPolicy Local needs service.type NodePort or LoadBalancer",
    ),
    "a balancer's class without its type": (
        {"service": {"loadBalancerClass": "x/y", "type": "NodePort"}},
        "service.loadBalancerClass is for service.type LoadBalancer, and it is NodePort",
    ),
    "a balancer's ranges without its type": (
        {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}},
        "service.loadBalancerSourceRanges is for service.type LoadBalancer, and it is ClusterIP",
    ),
    "one port twice": ({"service": {"grpcPort": 8001}}, "service.grpcPort 8001 is service.port, too"),
    "IPv6 that nobody listens to": (
        {"service": {"ipFamilies": ["IPv6"]}},
        'asks for IPv6, where pods that listen on 0.0.0.0 answer nobody: set listenAddress to "::"',
    ),
    "two families that nobody listens to": (
        {"service": {"ipFamilyPolicy": "PreferDualStack"}},
        "service.ipFamilyPolicy or service.ipFamilies asks for IPv6",
    ),
    "two families for one": (
        {"listenAddress": "::", "service": {"ipFamilies": ["IPv4", "IPv6"]}},
        "service.ipFamilies names two families, .* PreferDualStack or RequireDualStack",
    ),
    "an Ingress of no host": ({"ingress": {"enabled": True}}, "ingress.enabled needs ingress.hosts"),
    "a certificate for another host": (
        {"ingress": {"hosts": ["a.example"], "tls": [{"secretName": "x", "hosts": ["b.example"]}]}},
        "ingress.tls names the host b.example, which is in neither",
    ),
    "a route of no name": ({"gateway": {"enabled": True}}, "gateway.enabled needs gateway.hostnames"),
    "a route of no Gateway": ({"gateway": {"enabled": True}}, "gateway.enabled needs gateway.parentRefs"),
    "a route that the cluster does not know": (
        {"gateway": {"enabled": True}},
        "gateway.enabled asks for an HTTPRoute, .* or set gateway.evenIfUnknown",
    ),
    "gRPC over a port of HTTP/1": (
        {"gateway": {"enabled": True, "grpcHostnames": ["a.example"]}},
        "gateway.grpcHostnames needs service.grpcPort",
    ),
    "names from nowhere": (
        {"dnsPolicy": "None"},
        "dnsPolicy None needs dnsConfig.nameservers, .* name the cluster's",
    ),
    "zones that are a wish": (
        {"topologySpread": {"minZones": 3}},
        "topologySpread.minZones 3 counts only with topologySpread.zones DoNotSchedule",
    ),
    "a grace period that preStop sleeps through": (
        {"lifecycle": {"preStop": {"sleep": {"seconds": 15}}}},
        "terminationGracePeriodSeconds 30 is too short, .*: lifecycle.preStop, .* set 31 or more",
    ),
    "two rules to keep apart": (
        {"affinity": {"podAntiAffinity": {"x": []}}},
        "affinity.podAntiAffinity and podAntiAffinityPreset soft both say",
    ),
    "a label that pods are found by": (
        {"podLabels": {"app.kubernetes.io/component": "x"}},
        "podLabels.app.kubernetes.io/component is a label that the chart",
    ),
    "a common label of the chart's": (
        {"commonLabels": {"helm.sh/chart": "x"}},
        "commonLabels.helm.sh/chart is a label",
    ),
    "a setting among the variables": (
        {"extraEnv": [{"name": "RAFT_PORT", "value": "1"}]},
        "extraEnv holds RAFT_PORT, .* put it into settings",
    ),
    "a variable of two values": (
        {"extraEnv": [{"name": "TZ", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]},
        "extraEnv holds TZ with both value and valueFrom: remove one of the two",
    ),
    "a label whose key has two slashes": (
        {"persistence": {"labels": {"a/b/c": "d"}}},
        "persistence.labels.a/b/c cannot be the key of a label: .* such as example.org/team",
    ),
    "a label with a key of 64": (
        {"monitoring": {"rules": {"labels": {"k" * 64: "d"}}}},
        "monitoring.rules.labels.k+ cannot",
    ),
    "a label that nobody can type": (
        {"affinity": {"podAffinity": {"x": [{"matchLabels": {"-x": "y"}}]}}},
        r"affinity.podAffinity.x\[0\].matchLabels.-x cannot be the key of a label",
    ),
    "an annotation with a dash at its end": (
        {"serviceAccount": {"annotations": {"Example.org/team-": "y"}}},
        "serviceAccount.annotations.Example.org/team- cannot be the key of an annotation",
    ),
    "a node's label without a name": ({"nodeSelector": {"example.org/": "y"}}, "nodeSelector.example.org/ cannot be"),
    "a namespace in capitals": ({"namespaceOverride": "Other"}, "namespaceOverride Other cannot be a namespace's name"),
    "a chart that is off and rendered": ({"enabled": False}, "enabled is false, .*`condition: raft.enabled`"),
    "a second volume of one name": (
        {"extraVolumes": [{"name": "data", "emptyDir": {}}]},
        "extraVolumes holds a volume named data",
    ),
    "something mounted over the log": (
        {"extraVolumeMounts": [{"name": "x", "mountPath": "/var/lib/raft/x"}]},
        "extraVolumeMounts holds /var/lib/raft/x, .* mount it elsewhere",
    ),
    "two variables of one name": (
        {"extraEnv": [{"name": "TZ", "value": "1"}, {"name": "TZ", "value": "2"}]},
        "extraEnv holds TZ twice, and a pod has each name once: remove one of the two",
    ),
    "two volumes of one name": (
        {"extraVolumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        "extraVolumes holds a twice, .* each name once",
    ),
    "two volumes at one place": (
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}]},
        "extraVolumeMounts holds /a twice, .* each mountPath once",
    ),
    "a mount of no volume": (
        {"extraVolumeMounts": [{"name": "b", "mountPath": "/b"}]},
        "extraVolumeMounts holds the volume b, which is not in extraVolumes",
    ),
    "two containers of one name": (
        {"extraContainers": [{"name": "x"}], "extraInitContainers": [{"name": "x"}]},
        "extraContainers and extraInitContainers hold x twice",
    ),
    "a container called as the chart's step": (
        {"extraInitContainers": [{"name": "restore"}]},
        "may not hold a container named restore",
    ),
    "a variable of the storage": (
        {"restore": {"from": "s3://bucket/a.snap", "token": "t"}, "extraEnv": [{"name": "AWS_REGION", "value": "x"}]},
        "extraEnv holds AWS_REGION, which objectStorage gives to the step before",
    ),
    "a scrape longer than the time between two": (
        {"monitoring": {"podMonitor": {"interval": "1m", "scrapeTimeout": "60s1ms"}}},
        "monitoring.podMonitor.scrapeTimeout 60s1ms is longer than monitoring.podMonitor.interval 1m, ",
    ),
    "a second container of one name": (
        {"extraContainers": [{"name": "node"}]},
        "may not hold a container named node",
    ),
    "a claim's label that pods are found by": (
        {"persistence": {"labels": {"app.kubernetes.io/name": "x"}}},
        "persistence.labels.app.kubernetes.io/name is a label that the chart",
    ),
}

MISTYPED: dict[str, tuple[Values, str]] = {
    "an even number of voters": ({"replicaCount": 2}, "replicaCount: .*1, 3, 5, 7"),
    "too many voters": ({"replicaCount": 9}, "replicaCount: .*1, 3, 5, 7"),
    "no voters": ({"replicaCount": 0}, "replicaCount: .*1, 3, 5, 7"),
    "an unknown value": ({"replicas": 3}, "replicas: .*known here are admissionPolicy, affinity, .*\\breplicaCount\\b"),
    "an unknown setting": (
        {"settings": {"heartbeat": 100}},
        "settings.heartbeat: .*known here are .*\\bheartbeat_ms\\b",
    ),
    "an unknown key deep inside": (
        {"probes": {"liveness": {"initialDelaySeconds": 3}}},
        "probes.liveness.initialDelaySeconds: .*known here are failureThreshold, periodSeconds, timeoutSeconds",
    ),
    "a number with a unit": ({"settings": {"heartbeat_ms": "100ms"}}, "settings.heartbeat_ms: .*integer"),
    "a size that is none": ({"persistence": {"size": True}}, "persistence.size: .*string"),
    "a heartbeat below the node's bound": ({"settings": {"heartbeat_ms": 4}}, "settings.heartbeat_ms: .*\\b5\\b"),
    "an unknown level": ({"settings": {"log_level": "loud"}}, "settings.log_level: .*warning"),
    "loopback in a pod": ({"listenAddress": "127.0.0.1"}, "listenAddress: .*0[.]0[.]0[.]0"),
    "a user that is root": ({"securityContext": {"runAsUser": 0}}, "securityContext.runAsUser: .*\\b1\\b"),
    "a disk in passing": ({"persistence": {"enabled": False}}, "persistence.enabled: .*known here are accessMode, "),
    "a disk that many may write": (
        {"persistence": {"accessMode": "ReadWriteMany"}},
        "persistence.accessMode: .*ReadWriteOncePod",
    ),
    "an empty image": ({"image": {"repository": ""}}, "image.repository: .*\\b1\\b"),
    "a digest that is none": ({"image": {"digest": "abc"}}, "image.digest: .*sha256"),
    "a policy peer that is none": (
        {"networkPolicy": {"clients": [{"pods": {}}]}},
        "networkPolicy.clients.0.pods: .*known here are ipBlock, namespaceSelector, podSelector",
    ),
    "a size of no name": ({"size": "huge"}, "size: .*'small', 'medium', 'large'"),
    "the machine's resolver": ({"dnsPolicy": "Default"}, "dnsPolicy: .*ClusterFirst"),
    "any host": ({"ingress": {"hosts": ["*.example.org"]}}, "ingress.hosts.0: .*example.org"),
    "a range that is an address": (
        {"service": {"loadBalancerSourceRanges": ["10.0.0.1"]}},
        "service.loadBalancerSourceRanges.0: .*10.0.0.1",
    ),
    "a Gateway without a name": (
        {"gateway": {"parentRefs": [{"namespace": "x"}]}},
        "gateway.parentRefs.0: .*name",
    ),
    "a section taken away": ({"probes": None}, ": .*probes"),
    "a number among the variables": (
        {"extraEnv": [{"name": "TZ", "value": 1}]},
        "extraEnv.0.value: .*string",
    ),
    "a variable of no name": ({"extraEnv": [{"name": "T Z", "value": "1"}]}, "extraEnv.0.name: .*T Z"),
    "a variable from nowhere": (
        {"extraEnv": [{"name": "TZ", "valueFrom": {"secret": {}}}]},
        "extraEnv.0.valueFrom.secret: .*known here are configMapKeyRef, ",
    ),
    "a registry that is a number": ({"global": {"imageRegistry": 5}}, "global.imageRegistry: .*string"),
    "a secret without a name": ({"image": {"pullSecrets": [{"secret": "x"}]}}, "image.pullSecrets.0.secret: .*is name"),
    "voters in quotes": ({"replicaCount": "3"}, "replicaCount: .*integer"),
    "an annotation that is a number": ({"podAnnotations": {"port": 8001}}, "podAnnotations.port: .*string"),
    "variables as a map": ({"extraEnv": {"TZ": "UTC"}}, "extraEnv: .*array"),
    "a secret that is no list": ({"image": {"pullSecrets": "pull"}}, "image.pullSecrets: .*array"),
    "a switch in quotes": ({"ingress": {"enabled": "true"}}, "ingress.enabled: .*boolean"),
    "a selector without matchLabels": (
        {"networkPolicy": {"scrapers": [{"podSelector": {"app": "x"}}]}},
        "networkPolicy.scrapers.0.podSelector.app: .*known here are matchExpressions, matchLabels",
    ),
    "an address that is no range": (
        {"networkPolicy": {"servers": [{"ipBlock": {"cidr": "192.0.2.1"}}]}},
        "networkPolicy.servers.0.ipBlock.cidr: .*192.0.2.1",
    ),
    "a command that is no list": (
        {"lifecycle": {"preStop": {"exec": {"command": "sync"}}}},
        "lifecycle.preStop.exec.command: .*array",
    ),
    "a handler of no kind": (
        {"lifecycle": {"postStart": {"command": ["sync"]}}},
        "lifecycle.postStart.command: .*known here are exec, httpGet, sleep, tcpSocket",
    ),
    "a heading with nothing under it": ({"probes": {"startup": None}}, "probes: .*startup"),
    "no CPU at all": ({"resources": {"limits": {"cpu": 0}}}, "resources.limits.cpu: .*0.001"),
}
"""By the place as the schema's checker writes it, with dots, and what it says of it."""


def said_of(cases: dict[str, tuple[Values, str]], case: str, sentence: str) -> str:
    return refusal_among({name: values for name, (values, _) in cases.items()}, case, sentence)


@pytest.mark.parametrize("case", [*UNREADABLE, *SENSELESS])
def test_senseless_values_are_refused_with_a_cure(case: str) -> None:
    cases = UNREADABLE if case in UNREADABLE else SENSELESS
    sentence = cases[case][1]
    said = said_of(cases, case, sentence)
    assert re.search(sentence, said), said
    told = [line for line in said.splitlines() if line.startswith("  - ")]
    assert told
    assert all(line.endswith(".") for line in told)


@pytest.mark.parametrize("case", MISTYPED)
def test_what_the_schema_refuses_is_named_by_its_place(case: str) -> None:
    place, rule = MISTYPED[case][1].split(": ")
    helm_4, helm_3 = "".join(f"/{part}" for part in place.split(".") if part), place or r"\(root\)"
    sentence = f"- (at '{helm_4}'|{helm_3}): {rule}"
    said = said_of(MISTYPED, case, sentence)
    assert "the schema" in said, said
    assert re.search(sentence, said), said


def test_a_default_that_was_taken_away_is_told_with_how_that_comes() -> None:
    said = refusal({"tls": {"clients": None}})
    assert "missing property 'clients'" in said or "clients is required" in said
    for cause in ("a key with nothing after its colon (null)", "upgrade with --reset-then-reuse-values"):
        assert cause in said, said


def test_what_is_given_by_hand_has_no_defaults_to_lose() -> None:
    for given in ({"extraEnv": [{"value": "x"}]}, {"lifecycle": {"preStop": {"httpGet": {"path": "/"}}}}):
        assert "complete:" not in refusal(given)


def test_spans_of_time_are_compared_whatever_their_units() -> None:
    for interval, timeout in (("1m30s", "90s"), ("1h", "60m"), ("2s", "1999ms"), ("30s", ""), ("", "30s")):
        scraped = {"enabled": True, "interval": interval, "scrapeTimeout": timeout}
        render({"monitoring": {"evenIfUnknown": True, "podMonitor": scraped}})


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = refusal({"image": {"tag": "latest"}, "persistence": {"size": "1Gi"}, "settings": {"heartbeat_ms": 900}})
    assert len([line for line in said.splitlines() if line.startswith("  - ")]) == 3


@pytest.mark.parametrize(
    ("release", "values", "sentence"),
    [
        (
            LONG,
            {"nameOverride": "r"},
            f"The name {LONG} has 53 characters, and Kubernetes leaves 52 .* set fullnameOverride",
        ),
        ("a" * 50, {}, "has 55 characters"),
        ("3", {"nameOverride": "4"}, "The name 4-3 cannot be a Service's: .* begin with a letter"),
        ("raft.eu", {}, "The name raft.eu cannot be a Service's"),
    ],
)
def test_names_that_kubernetes_would_refuse_later_are_refused_now(release: str, values: Values, sentence: str) -> None:
    assert re.search(sentence, refusal(values, release))


def test_what_is_left_to_the_node_counts_with_the_nodes_own_defaults() -> None:
    unsaid = dict.fromkeys(("max_log_bytes", "inflight_bytes", "segment_bytes", "request_timeout_ms", "leave_wait_ms"))
    said = refusal(
        {
            "settings": unsaid,
            "resources": {"limits": {"memory": "3727Mi"}},
            "persistence": {"size": "1055Mi"},
            "terminationGracePeriodSeconds": 9,
            "probes": {"startup": {"failureThreshold": 315}},
        }
    )
    own = load({"name": "n", "seeds": "n=n:1", "data_dir": "n"}, {}).settings
    for sentence in (
        "needs 3728Mi",
        "needs 1056Mi",
        f"{own.leave_ms_max} ms; set 11 or more",
        "failureThreshold to 316",
    ):
        assert sentence in said, said


def test_what_just_fits_is_taken() -> None:
    at_the_edge: Values = {
        "resources": {"limits": {"memory": "3728Mi"}},
        "persistence": {"size": "1056Mi"},
        "settings": {"heartbeat_ms": 333},
        "terminationGracePeriodSeconds": 16,
        "probes": {
            "startup": {"failureThreshold": 316},
            "liveness": {"failureThreshold": 12, "periodSeconds": 6, "timeoutSeconds": 4},
        },
        "image": {"repository": "registry:5000/team/raft"},
        "global": {"anything": {"goes": True}},
        "commonAnnotations": {"Example.org/Team": "us", "n" * 63: "x", f"{'d' * 63}.org/n": "x"},
    }
    render(at_the_edge, "r" * 47)
    render({"settings": {"max_log_bytes": "16MiB"}, "resources": {"limits": {"memory": "400M"}}})
    render({"replicaCount": 5, "podDisruptionBudget": {"maxUnavailable": 2}})
    render({"resources": {"limits": None}})
    assert render({"replicaCount": 7}).stateful_set()["spec"]["replicas"] == 7
