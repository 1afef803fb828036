"""What the chart makes of its values for TLS: every combination, how each client asks, and the way from plain text."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.settings import load
from node.tls.names import proof_of, proves
from tests.chart.cluster_stub import stub
from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.pod_security import violations
from tests.chart.rendering import CHART, EVERYTHING, Object, Values, refusal, render, run
from tests.chart.test_upgrade import SEEING, STATEFUL_SET, notes, there, upgrade

CLIENTS = [("plain", False), ("both", False), ("both", True), ("tls", False), ("tls", True)]
PEERS = [("plain", "plain"), ("both", "plain"), ("both", "tls"), ("tls", "tls")]
"""What is accepted, and how peers are dialled, on the way to TLS."""
MANAGED = {"evenIfUnknown": True, "issuer": {"name": "ours"}}
MONITORED: Values = {"monitoring": {"evenIfUnknown": True, "podMonitor": {"enabled": True}}}
FOLDER = "/etc/raft/tls"
ALONE: Values = {"operations": {"enabled": False}}
"""Without a port for operations, all is asked at the clients'."""


def secured(clients: tuple[str, bool] = ("tls", False), peers: tuple[str, str] = ("tls", "tls")) -> Values:
    return {
        "tls": {
            "mode": "secret",
            "existingSecret": "certs",
            "clients": {"accept": clients[0], "mutual": clients[1]},
            "peers": {"accept": peers[0], "dial": peers[1]},
        }
    }


def managed(**more: Any) -> Values:
    return {"tls": {"mode": "certManager", "certManager": {**MANAGED, **more}}}


@pytest.mark.parametrize("peers", PEERS)
@pytest.mark.parametrize("clients", CLIENTS)
def test_a_node_starts_on_every_combination_and_is_asked_as_it_listens(
    clients: tuple[str, bool], peers: tuple[str, str]
) -> None:
    accept, mutual = clients
    rendered = render({**secured(clients, peers), **MONITORED, **ALONE})
    for item, version in itertools.product(rendered.all, (OLDEST, NEWEST)):
        check(item, version)
    test_pod = rendered.named("Pod", "raft-test")["spec"]
    assert violations(rendered.pod()) == violations(test_pod) == []
    settings = load({}, rendered.environment()).settings
    assert (settings.tls_accept, settings.peer_tls_accept, settings.peer_tls_dial) == (accept, *peers)
    assert settings.tls_client_ca == (f"{FOLDER}/ca.crt" if mutual else "")
    assert (settings.peer_tls_cert, settings.peer_tls_ca) == (f"{FOLDER}/tls.crt", f"{FOLDER}/ca.crt")
    for name, path in (("startupProbe", "startupz"), ("readinessProbe", "readyz"), ("livenessProbe", "livez")):
        asks = {key: value for key, value in rendered.node()[name].items() if key in ("exec", "httpGet")}
        if mutual:
            assert asks == {"exec": {"command": ["python", "-m", "node.healthcheck", path]}}
        else:
            scheme = {} if accept == "plain" else {"scheme": "HTTPS"}
            assert asks == {"httpGet": {"path": f"/{path}", "port": "client", **scheme}}
    told, own = ("https" if accept == "tls" else "http"), ("http" if accept == "plain" else "https")
    environment = rendered.environment()
    assert {url.partition(":")[0] for url in environment["RAFT_URLS"].split(",")} == {told}
    assert settings.client_url.startswith(f"{told}://")
    asked = {item["name"]: item.get("value", "") for item in test_pod["containers"][0]["env"]}
    assert {url.partition(":")[0] for url in (*asked["ENDPOINTS"].split(","), asked["SERVICE"])} == {own}
    endpoint = rendered.named("PodMonitor", "raft")["spec"]["podMetricsEndpoints"][0]
    assert (endpoint["scheme"], "tlsConfig" in endpoint) == (own, own == "https")
    ports = {port["name"]: port["appProtocol"] for port in rendered.named("Service", "raft-headless")["spec"]["ports"]}
    assert ports == {"client": told, "peer": f"kubernetes.io/ws{'s' if peers[0] == 'tls' else ''}"}


@pytest.mark.parametrize("tls", [False, True])
def test_at_the_port_for_operations_nobody_shows_a_certificate(tls: bool) -> None:
    rendered = render({**secured(("tls", True)), **MONITORED, "operations": {"tls": tls}})
    settings = load({}, rendered.environment()).settings
    assert (settings.operations_port, settings.operations_tls) == (8002, "tls" if tls else "plain")
    scheme = {"scheme": "HTTPS"} if tls else {}
    for name, path in (("startupProbe", "startupz"), ("readinessProbe", "readyz"), ("livenessProbe", "livez")):
        assert rendered.node()[name]["httpGet"] == {"path": f"/{path}", "port": "operations", **scheme}
        assert "exec" not in rendered.node()[name]
    endpoint = rendered.named("PodMonitor", "raft")["spec"]["podMetricsEndpoints"][0]
    assert (endpoint["port"], endpoint["scheme"]) == ("operations", "https" if tls else "http")
    assert set(endpoint.get("tlsConfig", {})) == ({"serverName", "ca"} if tls else set())
    ports = {port["name"]: port["appProtocol"] for port in rendered.named("Service", "raft-headless")["spec"]["ports"]}
    assert ports["operations"] == ("https" if tls else "http")


def test_the_port_for_operations_has_its_certificate_while_clients_speak_plain_text() -> None:
    values: Values = {**secured(("plain", False)), "operations": {"tls": True}}
    settings = load({}, render(values).environment()).settings
    assert (settings.tls_accept, settings.tls_cert) == ("plain", f"{FOLDER}/tls.crt")


def test_certificates_are_mounted_as_a_folder_so_that_what_is_renewed_is_seen() -> None:
    rendered = render(secured())
    assert rendered.pod()["volumes"] == [{"name": "tls", "secret": {"secretName": "certs", "defaultMode": 0o440}}]
    mount = {"name": "tls", "mountPath": FOLDER, "readOnly": True}
    assert rendered.node()["volumeMounts"] == [{"name": "data", "mountPath": "/var/lib/raft"}, mount]
    platform = render({**secured(), "securityContext": {"fsGroup": None}}).pod()
    assert "defaultMode" not in platform["volumes"][0]["secret"], "nobody else could read it"


@pytest.mark.parametrize("mutual", [False, True])
def test_the_pod_of_helm_test_has_the_key_only_where_it_must_show_a_certificate(mutual: bool) -> None:
    spec = render(secured(("tls", mutual))).named("Pod", "raft-test")["spec"]
    items = spec["volumes"][0]["secret"].get("items")
    assert items == (None if mutual else [{"key": "ca.crt", "path": "ca.crt"}])
    names = {item["name"] for item in spec["containers"][0]["env"]}
    assert names >= {"RAFT_CACERT"}
    assert (names >= {"RAFT_CERT", "RAFT_KEY"}) is mutual


@pytest.mark.parametrize("mutual", [False, True])
def test_prometheus_trusts_the_authority_and_shows_what_is_demanded(mutual: bool) -> None:
    values: Values = {
        **secured(("tls", mutual)),
        **ALONE,
        "monitoring": {"evenIfUnknown": True, "serviceMonitor": {"enabled": True}},
    }
    config = render(values).named("ServiceMonitor", "raft")["spec"]["endpoints"][0]["tlsConfig"]
    assert config["ca"] == {"secret": {"name": "certs", "key": "ca.crt"}}
    assert config["serverName"] == "raft-0.raft-headless.ns.svc"
    assert config.get("cert") == ({"secret": {"name": "certs", "key": "tls.crt"}} if mutual else None)
    assert config.get("keySecret") == ({"name": "certs", "key": "tls.key"} if mutual else None)


def test_what_the_chart_runs_can_show_a_certificate_of_its_own_that_makes_nobody_a_node() -> None:
    values = secured(("tls", True))
    values["tls"]["clients"]["existingSecret"] = "ours"
    rendered = render({**values, **MONITORED, **ALONE, "backup": {"enabled": True, "claim": "kept"}})
    job = rendered.named("CronJob", "raft-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for spec in (rendered.named("Pod", "raft-test")["spec"], job):
        (volume,) = [one for one in spec["volumes"] if one["name"] == "tls"]
        given = {
            one["secret"]["name"]: [item["key"] for item in one["secret"]["items"]]
            for one in volume["projected"]["sources"]
        }
        assert given == {"certs": ["ca.crt"], "ours": ["tls.crt", "tls.key"]}
        assert violations(spec) == []
    config = rendered.named("PodMonitor", "raft")["spec"]["podMetricsEndpoints"][0]["tlsConfig"]
    assert (config["cert"]["secret"]["name"], config["keySecret"]["name"]) == ("ours", "ours")
    assert config["ca"]["secret"]["name"] == "certs"
    assert rendered.pod()["volumes"] == render(secured(("tls", True))).pod()["volumes"]
    for item, version in itertools.product(rendered.all, (OLDEST, NEWEST)):
        check(item, version)


def certificate(values: Values, release: str = "raft") -> Object:
    found: Object = render(values, release).named("Certificate", release)["spec"]
    return found


def test_cert_manager_is_asked_for_what_pods_prove_themselves_with_and_clients_call_them() -> None:
    values: Values = {**managed(extraDnsNames=["lb.example.org"]), "extraAllowedHosts": ["raft.example.org"]}
    spec = certificate(values)
    names = spec.pop("dnsNames")
    assert spec == {
        "secretName": "raft-tls",
        "issuerRef": {"name": "ours", "kind": "Issuer", "group": "cert-manager.io"},
        "duration": "2160h",
        "renewBefore": "720h",
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth", "client auth"],
        "ipAddresses": ["127.0.0.1", "::1"],
    }
    assert render(values).pod()["volumes"][0]["secret"]["secretName"] == "raft-tls"
    assert len(set(names)) == len(names)
    shown = {"subjectAltName": tuple(("DNS", name) for name in names)}
    settings = load({}, render(values).environment()).settings
    hosts = {seed.name: seed.host for seed in settings.seeds}
    for member in (*hosts, "raft-6"):  # one that is let in later, too
        assert proves(shown, proof_of(member, hosts)), member
    services = {f"{one}{more}" for one in ("raft", "raft-headless") for more in ("", ".ns", ".ns.svc")}
    assert services | {"localhost", "lb.example.org", "raft.example.org", "raft.ns.svc.cluster.local"} <= set(names)
    assert not [name for name in names if name.startswith("*") and name.count(".") < 2], "OpenSSL takes no such name"


def test_every_name_that_a_node_answers_to_is_in_its_certificate() -> None:
    """But the pod's name alone, which nobody can look up."""
    shown = {"subjectAltName": tuple(("DNS", name) for name in certificate(managed())["dnsNames"])}
    for host in load({}, render(managed()).environment()).settings.allowed_hosts:
        if host not in ("raft-0", "raft-0.raft-headless"):
            assert proves(shown, proof_of("x", {"x": host})), host


def test_a_certificate_is_made_where_it_is_asked_for_alone() -> None:
    assert ("Certificate", "raft") not in render(secured()).names | render().names
    assert certificate(managed(issuer={"name": "all", "kind": "ClusterIssuer"}))["issuerRef"]["kind"] == "ClusterIssuer"
    known = run(
        "template", "raft", str(CHART), "--api-versions", "cert-manager.io/v1", values=managed(evenIfUnknown=False)
    )
    assert known.returncode == 0, known.stderr
    assert "and this cluster does not know cert-manager.io/v1" in refusal(managed(evenIfUnknown=False))


SENSELESS: list[tuple[Values, str]] = [
    ({"tls": {"mode": "secret"}}, "tls.mode secret needs tls.existingSecret"),
    ({"tls": {"clients": {"existingSecret": "ours"}}}, "tls.clients.existingSecret ours is not used while"),
    ({"operations": {"tls": True}}, "operations.tls has no certificate to speak TLS with"),
    ({"tls": {"existingSecret": "certs"}}, "tls.existingSecret certs is not used while tls.mode is disabled"),
    ({"tls": {"mode": "secret", "existingSecret": "a/b"}}, "tls.existingSecret a/b cannot be the name of anything"),
    ({"tls": {"clients": {"mutual": True}}}, "with tls.mode disabled they cannot show one"),
    (secured(("plain", True)), "with tls.clients.accept plain they cannot show one"),
    (secured(peers=("tls", "plain")), "would have nodes refuse each other: dial tls first"),
    (secured(peers=("plain", "tls")), "would have nodes refuse each other: accept both first"),
    (managed(issuer={"name": ""}), "needs tls.certManager.issuer.name"),
    (managed(duration="90d"), "tls.certManager.duration 90d is no span of time"),
    (managed(extraDnsNames=["https://x"]), "holds https://x, which is no name in DNS"),
    (
        {**secured(), "extraVolumes": [{"name": "tls", "emptyDir": {}}]},
        "extraVolumes holds a volume named tls, which the chart has itself",
    ),
    (
        {**secured(), "extraVolumeMounts": [{"name": "x", "mountPath": f"{FOLDER}/more"}]},
        f"extraVolumeMounts holds {FOLDER}/more, where the chart mounts certificates",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), SENSELESS, ids=[sentence for _, sentence in SENSELESS])
def test_what_makes_no_sense_is_refused(values: Values, sentence: str) -> None:
    assert sentence in refusal(values)


def test_while_there_is_no_tls_its_names_are_free() -> None:
    rendered = render({"extraVolumes": [{"name": "tls", "emptyDir": {}}]})
    assert not [name for name in rendered.environment() if "TLS" in name or name == "RAFT_CACERT"]
    assert rendered.pod()["volumes"] == [{"name": "tls", "emptyDir": {}}]


# --- the way there --------------------------------------------------------------------------------------------------

WAY: list[Values] = [
    {},
    secured(("both", True), ("both", "plain")),
    secured(("both", True), ("both", "tls")),
    secured(("tls", True)),
]
"""The steps of docs/operations.md."""


def _takes(accepts: str, speaks: str) -> bool:
    return accepts in ("both", speaks)


def _peers(values: Values) -> tuple[str, str]:
    tls = values.get("tls")
    return (tls["peers"]["accept"], tls["peers"]["dial"]) if tls else ("plain", "plain")


def _clients(values: Values) -> str:
    return str(values["tls"]["clients"]["accept"]) if values else "plain"


@pytest.mark.parametrize("after", range(len(WAY)))
@pytest.mark.parametrize("before", range(len(WAY)))
def test_an_upgrade_is_refused_where_pods_of_before_and_after_would_refuse_each_other(
    tmp_path: Path, before: int, after: int
) -> None:
    (old_accept, old_dial), (accept, dial) = _peers(WAY[before]), _peers(WAY[after])
    among_nodes = _takes(accept, old_dial) and _takes(old_accept, dial)
    of_clients = {_clients(WAY[before]), _clients(WAY[after])} != {"plain", "tls"}
    code, said = upgrade(tmp_path, there(WAY[before]), WAY[after])
    assert (code == 0) is (among_nodes and of_clients), said
    assert (abs(before - after) <= 1) is (code == 0), "each step may be taken, forwards and back, and none left out"
    if code:
        assert "one step after the other, as docs/operations.md says under TLS" in said
        assert ("refuse" in said.partition("tls.peers.")[2]) is not among_nodes
        assert ("would shut out all clients" in said) is not of_clients


@pytest.mark.parametrize(
    ("before", "after", "scheme"), [(0, 1, "http"), (1, 2, "http"), (2, 3, "https"), (3, 2, "https"), (1, 0, "http")]
)
def test_a_job_before_an_upgrade_asks_as_old_and_new_pods_both_listen(
    tmp_path: Path, before: int, after: int, scheme: str
) -> None:
    with stub(tmp_path, there(WAY[before])) as config:
        seeing = ("--is-upgrade", *SEEING, "--kubeconfig", str(config))
        done = run("template", "raft", str(CHART), *seeing, values=WAY[after])
    assert done.returncode == 0, done.stderr
    for item in yaml.safe_load_all(done.stdout):
        if item and item["kind"] == "Job":
            (container,) = item["spec"]["template"]["spec"]["containers"]
            environment = {one["name"]: one["value"] for one in container["env"]}
            assert environment["RAFT_URLS"].startswith(f"{scheme}://raft-0."), item["metadata"]["name"]
            assert ("RAFT_CACERT" in environment) is (scheme == "https")


def test_notes_name_the_next_step_until_there_is_none(tmp_path: Path) -> None:
    def said(values: Values) -> str:
        return notes(tmp_path, {}, values)

    first, second, last = (said(step) for step in WAY[1:])
    assert "--set tls.clients.accept=tls" in first
    assert "--set tls.peers.dial=tls" in first
    assert "--set tls.peers.accept=tls" in second
    assert "http://raft.ns.svc:8001" in second
    assert "WARNING" not in last
    assert "https://raft.ns.svc:8001" in last
    assert "show a certificate that it signed" in last
    assert "Pods stay in ContainerCreating until there is a Secret certs" in last
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certs", "namespace": "ns"}}
    assert "ContainerCreating" not in notes(tmp_path, {"/api/v1/namespaces/ns/secrets/certs": secret}, WAY[-1])


def test_a_service_beyond_the_cluster_is_warned_of_unless_clients_prove_themselves(tmp_path: Path) -> None:
    beyond: Values = {"service": {"type": "LoadBalancer"}}
    assert "clients prove nothing: anybody there can write" in notes(tmp_path, {}, {**secured(), **beyond})
    assert "clients prove nothing" not in notes(tmp_path, {}, {**WAY[-1], **beyond})


def test_renewal_changes_no_template() -> None:
    assert "checksum" not in json.dumps(there(WAY[-1])[STATEFUL_SET])


def test_all_values_at_once_go_together_with_tls() -> None:
    rendered = render({**EVERYTHING, **managed()})
    assert [one["name"] for one in rendered.pod()["volumes"]] == ["tls", "more"]
    for item in rendered.all:
        check(item, NEWEST)
