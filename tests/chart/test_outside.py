"""What stands between pods and whoever is not in the cluster: families of both Services, an Ingress, routes."""

import pytest

from node.settings import load
from tests.chart.kubernetes_schema import NEWEST, check
from tests.chart.rendering import CHART, EVERYTHING, Values, render, run

INGRESS: Values = {"ingress": {"enabled": True, "hosts": ["raft.example.org"]}}
GATEWAY: Values = {
    "service": {"grpcPort": 2379},
    "gateway": {
        "enabled": True,
        "evenIfUnknown": True,
        "parentRefs": [{"name": "public"}],
        "hostnames": ["raft.example.org"],
        "grpcHostnames": ["rpc.example.org"],
    },
}


def allowed(values: Values) -> tuple[str, ...]:
    """The names that a node of these values answers to."""
    return load({}, render(values).environment("raft", 0)).settings.allowed_hosts


def test_both_services_have_the_families_that_the_values_name() -> None:
    rendered = render(EVERYTHING)
    for name in ("raft", "raft-headless"):
        spec = rendered.named("Service", name)["spec"]
        assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv6", "IPv4"])
        assert not render().named("Service", name)["spec"].keys() & {"ipFamilyPolicy", "ipFamilies"}


def test_a_load_balancer_is_told_its_class_who_may_come_and_where_to() -> None:
    rendered = render(EVERYTHING)
    spec = rendered.named("Service", "raft")["spec"]
    assert spec["loadBalancerClass"] == "example.org/outside"
    assert spec["loadBalancerSourceRanges"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert spec["externalTrafficPolicy"] == "Local"
    assert not [key for key in rendered.named("Service", "raft-headless")["spec"] if "oadBalancer" in key]


def test_an_ingress_brings_every_path_to_the_service_and_cuts_no_stream() -> None:
    found = render(INGRESS).named("Ingress", "raft")
    check(found, NEWEST)
    backend = {"service": {"name": "raft", "port": {"name": "client"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    assert found["spec"] == {"rules": [{"host": "raft.example.org", "http": {"paths": [path]}}]}
    said = found["metadata"]["annotations"]
    nginx = "nginx.ingress.kubernetes.io/proxy-"
    assert (said[nginx + "buffering"], said[nginx + "read-timeout"], said[nginx + "next-upstream"]) == (
        "off",
        "3600",
        "off",
    )
    assert said["nginx.ingress.kubernetes.io/affinity"] == "cookie", "a page is of one node"
    assert not [item for item in render(INGRESS).all if item["metadata"]["name"] == "raft-grpc"]


def test_grpc_has_an_ingress_of_its_own_that_speaks_http_2_to_pods() -> None:
    rendered = render(EVERYTHING)
    pages, calls = rendered.named("Ingress", "raft"), rendered.named("Ingress", "raft-grpc")
    protocol = "nginx.ingress.kubernetes.io/backend-protocol"
    assert calls["metadata"]["annotations"][protocol] == "GRPC"
    assert protocol not in pages["metadata"]["annotations"]
    assert calls["metadata"]["annotations"]["i"] == "j"
    assert [rule["host"] for rule in calls["spec"]["rules"]] == ["rpc.example.org"]
    assert (calls["spec"]["ingressClassName"], calls["spec"]["tls"]) == ("nginx", EVERYTHING["ingress"]["tls"])
    alone = render({"ingress": {"enabled": True, "grpcHosts": ["rpc.example.org"]}})
    assert {name for kind, name in alone.names if kind == "Ingress"} == {"raft-grpc"}


def test_pods_that_take_tls_are_spoken_to_by_tls() -> None:
    tls: Values = {"tls": {"mode": "secret", "existingSecret": "cert"}}
    hosts = {"enabled": True, "hosts": ["raft.example.org"], "grpcHosts": ["rpc.example.org"]}
    rendered = render({**tls, "ingress": hosts, "service": {"grpcPort": 2379}})
    said = [rendered.named("Ingress", name)["metadata"]["annotations"] for name in ("raft", "raft-grpc")]
    assert [each["nginx.ingress.kubernetes.io/backend-protocol"] for each in said] == ["HTTPS", "GRPCS"]
    ports = rendered.named("Service", "raft")["spec"]["ports"]
    assert [port["appProtocol"] for port in ports] == ["https", "https"]


def test_routes_of_a_gateway_have_no_time_limit_and_grpc_goes_to_the_port_of_http_2() -> None:
    rendered = render(GATEWAY)
    pages = rendered.named("HTTPRoute", "raft")
    assert pages["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert pages["spec"] == {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["raft.example.org"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "timeouts": {"request": "0s", "backendRequest": "0s"},
                "backendRefs": [{"name": "raft", "port": 8001}],
            }
        ],
    }
    assert rendered.named("GRPCRoute", "raft")["spec"] == {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["rpc.example.org"],
        "rules": [{"backendRefs": [{"name": "raft", "port": 2379}]}],
    }
    ports = rendered.named("Service", "raft")["spec"]["ports"]
    assert [(port["name"], port["targetPort"], port["appProtocol"]) for port in ports] == [
        ("client", "client", "http"),
        ("grpc", "client", "kubernetes.io/h2c"),
    ]


def test_routes_are_rendered_where_the_cluster_knows_them() -> None:
    gateway = {**GATEWAY["gateway"], "evenIfUnknown": False}
    known = ("--api-versions", "gateway.networking.k8s.io/v1")
    done = run("template", "raft", str(CHART), *known, values={**GATEWAY, "gateway": gateway})
    assert done.returncode == 0, done.stderr
    assert "kind: HTTPRoute" in done.stdout


def test_a_node_answers_to_the_names_from_outside_and_not_to_those_that_are_off() -> None:
    names = {"store.example.org", "rpc.example.org", "gate.example.org", "rpc.gate.example.org", "raft.example.org"}
    assert names <= set(allowed(EVERYTHING))
    assert "raft.example.org" not in allowed({"ingress": {"hosts": ["raft.example.org"]}})


@pytest.mark.parametrize("name", ["Raft.Example.org", "a..b", "a.-b", "a-.b", ".a", "x" * 254, "*.example.org"])
def test_a_name_that_kubernetes_takes_for_no_name_is_refused_before_anything_is_done(name: str) -> None:
    """Else an upgrade fails half-way, after its Job has acted."""
    named: dict[str, list[str]] = {"ingress": ["hosts", "grpcHosts"], "gateway": ["hostnames", "grpcHostnames"]}
    values: Values = {part: {"enabled": True, **{key: [name] for key in keys}} for part, keys in named.items()}
    done = run("template", "raft", str(CHART), values=values)
    assert done.returncode != 0
    for part, keys in named.items():
        for key in keys:
            assert f"/{part}/{key}/0" in done.stderr or f"{part}.{key}.0" in done.stderr, done.stderr
