"""What the chart makes for Prometheus and Grafana, field by field; and when it refuses to."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, EVERYTHING, Object, Values, refusal, render, run
from tests.chart.test_objects import LABELS, SELECTOR
from tests.generated.alarms import alarms
from tests.generated.pieces import ROOT

OWN_LABELS = {**LABELS, "app.kubernetes.io/component": "monitoring"}
KINDS = {"podMonitor": "PodMonitor", "serviceMonitor": "ServiceMonitor", "rules": "PrometheusRule"}


def only(what: str, **more: Any) -> Values:
    return {"monitoring": {"evenIfUnknown": True, what: {"enabled": True, **more}}}


def rule(name: str, values: Values, release: str = "raft") -> dict[str, Any]:
    spec = render(values, release).named("PrometheusRule", release)["spec"]
    found: dict[str, Any] = next(one for one in spec["groups"][0]["rules"] if one["alert"] == name)
    return found


def test_a_pod_monitor_scrapes_the_pods_of_the_release_alone() -> None:
    assert render(only("podMonitor")).named("PodMonitor", "raft") == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "raft", "namespace": "ns", "labels": OWN_LABELS},
        "spec": {
            "namespaceSelector": {"matchNames": ["ns"]},
            "selector": {"matchLabels": SELECTOR},
            "podMetricsEndpoints": [{"port": "operations", "path": "/metrics", "scheme": "http", "interval": "15s"}],
        },
    }


def test_a_service_monitor_scrapes_through_the_headless_service_which_knows_pods_that_are_not_ready() -> None:
    rendered = render(only("serviceMonitor", interval=""))
    found = rendered.named("ServiceMonitor", "raft")["spec"]
    assert found == {
        "namespaceSelector": {"matchNames": ["ns"]},
        "selector": {"matchLabels": {**SELECTOR, "raft/service": "headless"}},
        "endpoints": [{"port": "operations", "path": "/metrics", "scheme": "http"}],
    }
    chosen = [
        item["metadata"]["name"]
        for item in rendered.all
        if item["kind"] == "Service" and found["selector"]["matchLabels"].items() <= item["metadata"]["labels"].items()
    ]
    assert chosen == ["raft-headless"]


def test_monitors_and_rules_have_the_labels_that_prometheus_selects_them_by() -> None:
    rendered = render(EVERYTHING)
    for kind in ("PodMonitor", "PrometheusRule"):
        labels = rendered.named(kind, "raft")["metadata"]["labels"]
        assert {"release": "prometheus", "team": "storage"}.items() <= labels.items()
    endpoint = rendered.named("PodMonitor", "raft")["spec"]["podMetricsEndpoints"][0]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("30s", "10s")


def test_every_alarm_is_a_rule_that_selects_the_pods_or_volumes_of_its_release() -> None:
    spec = render(only("rules"), "shop").named("PrometheusRule", "shop-raft")["spec"]
    (group,) = spec["groups"]
    assert group["name"] == "ns/shop-raft"
    assert [one["alert"] for one in group["rules"]] == [alarm.name for alarm in alarms()]
    for one in group["rules"]:
        selected = re.findall(r"\b(?:raft|kubelet)_\w+\{([^}]*)\}", one["expr"])
        assert len(selected) == len(re.findall(r"\b(?:raft|kubelet)_\w+", one["expr"])) > 0, one["expr"]
        own = (
            'namespace="ns",pod=~"shop-raft-[0-9]+"',
            'namespace="ns",persistentvolumeclaim=~"data-shop-raft-[0-9]+"',
        )
        assert all(matchers.startswith(own) for matchers in selected), one["expr"]
        assert not re.search("PODS|CLAIMS|VOTERS|_SECONDS", json.dumps(one))
        assert one["labels"].keys() == {"severity", "namespace", "raft"}
        assert one["annotations"]["summary"].startswith("ns/shop-raft: ")


def test_a_rule_says_what_it_means_and_leads_to_its_row_of_the_runbook() -> None:
    annotations = rule("RaftVoterAway", EVERYTHING)["annotations"]
    assert annotations["summary"] == "ns/raft: only {{ $value }} of 5 nodes can be seen"
    assert annotations["description"].startswith("one more failure stops writes. What to do: ")
    assert annotations["runbook_url"] == "https://docs.example/operations.md#RaftVoterAway"
    page = (ROOT / "docs/operations.md").read_text()
    for alarm in alarms():
        assert page.count(f'<a id="{alarm.name}"></a>') == 1
        default = rule(alarm.name, only("rules"))["annotations"]["runbook_url"]
        assert default == f"docs/operations.md#{alarm.name}"


def test_rules_count_with_the_values_of_the_release() -> None:
    assert rule("RaftVoterAway", EVERYTHING)["expr"].endswith(" < 5")
    assert rule("RaftBackupLate", EVERYTHING)["expr"].count(f" > {50 * 3600} ") == 2
    assert rule("RaftCertificateEnds", EVERYTHING)["expr"].endswith(f" < {20 * 86400}")


def dashboard(values: Values, release: str = "raft", namespace: str = "ns") -> tuple[Object, dict[str, Any]]:
    found = render(values, release, namespace).named("ConfigMap", f"{release}-dashboard")
    ((name, text),) = found["data"].items()
    assert name == f"raft-{namespace}-{release}.json"
    return found, json.loads(text)


def test_the_dashboard_is_found_by_grafanas_sidecar_and_needs_no_operator() -> None:
    found, _ = dashboard({"monitoring": {"dashboard": {"enabled": True}}})
    assert found["metadata"]["labels"] == {**OWN_LABELS, "grafana_dashboard": "1"}
    other, _ = dashboard(EVERYTHING)
    assert other["metadata"]["labels"]["dash"] == "yes"
    assert other["metadata"]["annotations"]["grafana_folder"] == "Stores"


def test_the_dashboards_of_two_releases_can_stand_beside_each_other() -> None:
    values: Values = {"monitoring": {"dashboard": {"enabled": True}}}
    shown = [dashboard(values, *where)[1] for where in (("raft", "ns"), ("raft", "other"), ("raft2", "ns"))]
    assert [one["title"] for one in shown] == ["Raft: ns/raft", "Raft: other/raft", "Raft: ns/raft2"]
    assert len({one["uid"] for one in shown}) == 3
    assert all(re.fullmatch("raft-[0-9a-f]{12}", one["uid"]) for one in shown)


def test_panels_have_places_of_their_own_and_take_the_chosen_source() -> None:
    _, shown = dashboard({"monitoring": {"dashboard": {"enabled": True}}})
    assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"]) > 20
    taken: set[tuple[int, int]] = set()
    for panel in shown["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert shown["templating"]["list"][0]["name"] == "datasource"


@pytest.mark.parametrize(("what", "kind"), KINDS.items())
def test_what_the_cluster_does_not_know_is_refused_unless_somebody_vouches_for_it(what: str, kind: str) -> None:
    values: Values = {"monitoring": {what: {"enabled": True}}}
    said = refusal(values)
    assert (
        f"monitoring.{what}.enabled asks for a {kind}, and this cluster does not know monitoring.coreos.com/v1" in said
    )
    assert "install the Prometheus Operator first" in said
    assert "--api-versions monitoring.coreos.com/v1" in said
    known = run("template", "raft", str(CHART), "--api-versions", "monitoring.coreos.com/v1", values=values)
    assert known.returncode == 0, known.stderr
    assert f"kind: {kind}" in known.stdout
    assert (kind, "raft") in render(only(what)).names


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}},
            "would both scrape every pod: leave one of the two disabled",
        ),
        (
            {"rules": {"labels": {"app.kubernetes.io/name": "x"}}},
            "monitoring.rules.labels.app.kubernetes.io/name is a label that the chart sets itself",
        ),
        ({"podMonitor": {"labels": {"team": "x"}}}, "monitoring.podMonitor.labels.team is one of commonLabels, too"),
    ],
)
def test_what_makes_no_sense_is_refused(values: Values, sentence: str) -> None:
    assert sentence in refusal({"commonLabels": {"team": "y"}, "monitoring": {"evenIfUnknown": True, **values}})


def test_a_chart_above_it_can_have_it_watched(tmp_path: Path) -> None:
    """Files and values are its own there, too."""
    shutil.copytree(CHART, tmp_path / "charts" / "raft")
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: above\nversion: 0.1.0\n")
    values: Values = {
        "raft": {
            "monitoring": {
                "evenIfUnknown": True,
                **{what: {"enabled": True} for what in ("podMonitor", "rules", "dashboard")},
            }
        }
    }
    done = run("template", "shop", str(tmp_path), "--namespace", "ns", values=values)
    assert done.returncode == 0, done.stderr
    objects = {item["kind"]: item for item in yaml.safe_load_all(done.stdout) if item}
    assert {"PodMonitor", "PrometheusRule", "ConfigMap"} <= objects.keys()
    assert 'pod=~"shop-raft-[0-9]+"' in objects["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["expr"]


def test_a_monitor_that_no_policy_lets_in_is_refused() -> None:
    values: Values = {**only("podMonitor"), "networkPolicy": {"enabled": True}}
    assert "name its pods in networkPolicy.scrapers" in refusal(values)
    render({**values, "networkPolicy": {"enabled": True, "scrapers": [{"podSelector": {}}]}})
    render({**values, "operations": {"enabled": False}})
