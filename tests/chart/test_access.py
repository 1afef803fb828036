"""What the chart makes of tokens: nodes get the file of hashes, its own clients a token each, nobody both."""

from pathlib import Path

import pytest

from node.settings import load
from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.pod_security import violations
from tests.chart.rendering import Object, Rendered, Values, refusal, render
from tests.chart.test_tls import ALONE, secured
from tests.chart.test_upgrade import notes

ASKED: Values = {"auth": {"existingSecret": "tokens", "clientsSecret": "ours"}}
MONITORED: Values = {"monitoring": {"evenIfUnknown": True, "podMonitor": {"enabled": True}}}


def secrets_of(rendered: Rendered, pod: str) -> dict[str, list[str]]:
    """By Secret: the keys of it that a pod gets; empty: all."""
    spec = rendered.pod() if pod == "node" else rendered.named("Pod", "raft-test")["spec"]
    mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    found = {}
    for volume in spec.get("volumes", []):
        assert volume["name"] in mounted
        found[volume["secret"]["secretName"]] = [item["key"] for item in volume["secret"].get("items", [])]
    return found


def test_by_default_nobody_is_asked_for_a_token() -> None:
    settings = load({}, render().environment()).settings
    assert settings.tokens_file == ""
    assert "volumes" not in render().pod()


def test_nodes_get_hashes_and_the_test_a_token_that_may_write() -> None:
    rendered = render(ASKED)
    settings = load({}, rendered.environment()).settings
    assert settings.tokens_file == "/etc/raft/access/tokens"
    assert secrets_of(rendered, "node") == {"tokens": ["tokens"]}
    assert secrets_of(rendered, "test") == {"ours": ["write"]}
    (volume,) = rendered.named("Pod", "raft-test")["spec"]["volumes"]
    assert volume["secret"]["optional"], "else a pod whose token is missing would wait for ever and say nothing"
    asked = {
        item["name"]: item.get("value") for item in rendered.named("Pod", "raft-test")["spec"]["containers"][0]["env"]
    }
    assert asked["RAFT_TOKEN_FILE"] == "/etc/raft/token/token"
    assert "RAFT_TOKEN_FILE" not in rendered.environment(), "whoever gets into a pod may do no more than outside of it"
    for item in rendered.all:
        for version in (OLDEST, NEWEST):
            check(item, version)
    assert violations(rendered.pod()) == violations(rendered.named("Pod", "raft-test")["spec"]) == []


def test_with_tls_each_gets_what_it_needs_of_both() -> None:
    rendered = render({**ASKED, **secured()})
    assert secrets_of(rendered, "node") == {"certs": [], "tokens": ["tokens"]}
    assert secrets_of(rendered, "test") == {"certs": ["ca.crt"], "ours": ["write"]}


def test_a_backup_is_taken_with_a_token_that_may_operate() -> None:
    values: Values = {**ASKED, **secured(), "backup": {"enabled": True, "claim": "kept"}}
    job = render(values).named("CronJob", "raft-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    keys = {one["name"]: one["secret"]["items"] for one in job["volumes"] if "secret" in one}
    assert keys == {
        "tls": [{"key": "ca.crt", "path": "ca.crt"}],
        "token": [{"key": "operate", "path": "token"}],
    }
    (container,) = job["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {"backup", "tls", "token"}
    assert {"name": "RAFT_TOKEN_FILE", "value": "/etc/raft/token/token"} in container["env"]


def test_prometheus_shows_a_token_that_may_read_where_there_is_no_port_for_it() -> None:
    def endpoint(values: Values) -> Object:
        found: Object = render(values).named("PodMonitor", "raft")["spec"]["podMetricsEndpoints"][0]
        return found

    asked = endpoint({**ASKED, **MONITORED, **ALONE})
    assert asked["authorization"] == {"credentials": {"name": "ours", "key": "read"}}
    assert "authorization" not in endpoint({**MONITORED, **ALONE})
    assert "authorization" not in endpoint({**ASKED, **MONITORED}), "the port for operations asks for none"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"auth": {"clientsSecret": "ours"}}, "auth.clientsSecret ours is not used while auth.existingSecret is empty"),
        ({"auth": {"existingSecret": "a/b"}}, "auth.existingSecret a/b cannot be the name of anything"),
        (
            {"auth": {"existingSecret": "tokens"}, **MONITORED, **ALONE},
            "nodes ask Prometheus for a token, and it has none",
        ),
        (
            {"auth": {"existingSecret": "tokens"}, "backup": {"enabled": True, "claim": "kept"}},
            "nodes ask whoever takes a backup for a token, and backup.enabled has none",
        ),
        ({**ASKED, "extraVolumes": [{"name": "access", "emptyDir": {}}]}, "extraVolumes holds a volume named access"),
        (
            {**ASKED, "extraVolumeMounts": [{"name": "x", "mountPath": "/etc/raft/access/x"}]},
            "extraVolumeMounts holds /etc/raft/access/x, where the chart mounts the tokens",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(values: Values, sentence: str) -> None:
    assert sentence in refusal(values)


def test_notes_warn_of_tokens_that_can_be_read_on_their_way_and_of_a_test_without_one(tmp_path: Path) -> None:
    assert "tokens can be read on their way" in notes(tmp_path, {}, ASKED)
    assert "WARNING" not in notes(tmp_path, {}, {**ASKED, **secured(("tls", True))})
    alone: Values = {"auth": {"existingSecret": "tokens"}}
    assert "`helm test` has no token" in notes(tmp_path, {}, alone)
    assert "clients prove nothing" not in notes(tmp_path, {}, {**alone, "service": {"type": "LoadBalancer"}})
    outside: Values = {"ingress": {"enabled": True, "hosts": ["raft.example.org"]}}
    assert "raft.example.org may be reached from beyond the cluster, and there are no tokens" in notes(
        tmp_path, {}, outside
    )
    assert "there are no tokens" not in notes(tmp_path, {}, {**outside, **ASKED})
