"""The chart's monitors, rules and dashboard beside the real Prometheus Operator, as docs/operations.md says: the API
server takes them, the operator makes of them what a real Prometheus scrapes all pods by, and its alarms ring."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import FOLDER, figure
from tests.kubernetes.kube import CommandFailed, Namespace, run, until
from tests.kubernetes.prometheus import (
    GROUP,
    NAME,
    SELECTED,
    Prometheus,
    account,
    configured,
    kinds,
    operator,
    operator_folder,
    prometheus,
    prometheus_object,
)
from tests.kubernetes.release import CHART, Release, image_values

LABELS = json.dumps(SELECTED)
SCRAPERS = json.dumps([{"podSelector": {"matchLabels": {"app": NAME}}}])
WATCHED = (
    *("--set", "networkPolicy.enabled=true", "--set-json", f"networkPolicy.scrapers={SCRAPERS}"),
    *("--set", "monitoring.rules.enabled=true,monitoring.dashboard.enabled=true"),
    *("--set-json", f"monitoring.rules.labels={LABELS}"),
)
"""No pod but Prometheus' may scrape, and no pod but the nodes may be a client."""
BY_PODS = (
    *("--set", "monitoring.podMonitor.enabled=true,monitoring.podMonitor.interval=1s"),
    *("--set-json", f"monitoring.podMonitor.labels={LABELS}"),
)
BY_SERVICE = (
    *("--set", "monitoring.serviceMonitor.enabled=true,monitoring.serviceMonitor.interval=1s"),
    *("--set-json", f"monitoring.serviceMonitor.labels={LABELS}"),
)
MONITORS = f"podmonitors.{GROUP},servicemonitors.{GROUP},prometheusrules.{GROUP}"
SCRAPED_SECONDS_MAX = 60.0
RINGS_SECONDS_MAX = 90.0
SUBJECT = {"RaftAllGone", "RaftNoLeader", "RaftVoterAway", "RaftVoteLost", "RaftNodeWithoutVote", "RaftLinkDown"}
"""What the test does to pods decides these; how busy the machine is decides others."""
OFTEN_EMPTY = {"Age of the last snapshot", "Time that the last snapshot took", "Volumes", "Links that are down"}
OFTEN_EMPTY |= {"Frames refused", "Commit latency"}
"""Panels that show nothing where nothing happened, or no kubelet is scraped."""


@pytest.fixture(scope="module")
def operated(space: Namespace) -> Iterator[None]:
    """The operator runs, and was asked for a Prometheus."""
    folder = operator_folder()
    asked = prometheus_object()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with kinds(folder), operator(folder, space, FOLDER / "operator.log"):
        space.apply(*account(), asked)
        yield
        space.kubectl("delete", f"prometheuses.{GROUP}", NAME)


@pytest.fixture(scope="module")
def watched(operated: None, space: Namespace, proxy: Proxy) -> Iterator[Release]:
    release = Release(space, "raft", proxy)
    try:
        release.install(*WATCHED, *BY_PODS)
        yield release
    finally:
        release.remove()


def objects(space: Namespace) -> list[str]:
    """Of the operator's kinds that the chart has made."""
    return space.kubectl("get", MONITORS, "--output=name").split()


def test_the_api_server_takes_every_object_strictly(watched: Release, space: Namespace) -> None:
    assert objects(space) == [f"podmonitor.{GROUP}/raft", f"prometheusrule.{GROUP}/raft"]
    for monitor in (BY_PODS, BY_SERVICE):
        known = ("--api-versions", GROUP + "/v1")
        words = ("template", "checked", str(CHART), *image_values(), *known, *WATCHED, *monitor, "--no-hooks")
        rendered = space.helm(*words, "--skip-tests")
        wanted = [one for one in yaml.safe_load_all(rendered) if one and one["apiVersion"].startswith(GROUP)]
        assert len(wanted) == 2
        strictly = ("apply", "--dry-run=server", "--validate=strict", "--filename=-")
        assert space.kubectl(*strictly, stdin=rendered).count("(server dry run)") > len(wanted)
        wanted[0]["spec"]["nobody"] = "knows this"
        with pytest.raises(CommandFailed, match=r'unknown field "spec\.nobody"'):
            space.kubectl(*strictly, stdin=yaml.safe_dump_all(wanted))


@pytest.fixture
def watching(watched: Release, space: Namespace, proxy: Proxy) -> Iterator[Prometheus]:
    """The Prometheus that the PodMonitor made."""
    configured(space, f"podMonitor/{space.name}/raft/0")
    with prometheus(space, proxy) as found:
        yield found


def every_pod_is_up(watching: Prometheus, nodes: list[str]) -> None:
    all_up = dict.fromkeys(nodes, "up")
    until("every pod is scraped, and nobody else", lambda: watching.targets() == all_up, SCRAPED_SECONDS_MAX)


def test_a_real_prometheus_scrapes_every_pod_and_its_alarms_ring(
    watching: Prometheus, watched: Release, space: Namespace
) -> None:
    begun = watched.now()
    every_pod_is_up(watching, watched.nodes)
    figure("Prometheus scrapes every pod after", watched.now() - begun, "s")
    assert {one["metric"]["pod"]: one["value"][1] for one in watching.query("up")} == dict.fromkeys(watched.nodes, "1")
    all_rules_are_looked_at(watching, space)
    for words in (("put", "seen", "one"), ("get", "seen")):  # panels of what never happened are empty
        space.kubectl("exec", watched.nodes[0], "--container=node", "--", "raft-node", *words)
    panels_show_something(watching, space)
    until("nothing rings", lambda: not watching.alerts().keys() & SUBJECT, SCRAPED_SECONDS_MAX)

    space.kubectl("delete", "pod", watched.nodes[0], "--wait=false")  # it comes back under the same name
    missed = 'count_over_time(ALERTS{alertname="RaftVoterAway",alertstate="pending"}[1m])'
    until("it is missed", lambda: watching.query(missed), RINGS_SECONDS_MAX)
    until("it is forgotten once it is back", lambda: not watching.alerts().keys() & SUBJECT, RINGS_SECONDS_MAX)
    every_pod_is_up(watching, watched.nodes)

    space.kubectl("scale", "statefulset", watched.fullname, "--replicas=1")
    begun = watched.now()
    until("it rings", lambda: watching.alerts().get("RaftNoLeader") == "firing", RINGS_SECONDS_MAX)
    figure("two pods of three are gone: RaftNoLeader rings after", watched.now() - begun, "s")
    space.kubectl("scale", "statefulset", watched.fullname, "--replicas=3")
    until("it is quiet again", lambda: "RaftNoLeader" not in watching.alerts(), RINGS_SECONDS_MAX)
    every_pod_is_up(watching, watched.nodes)


def all_rules_are_looked_at(watching: Prometheus, space: Namespace) -> None:
    """Every one of the PrometheusRule, and none of them fails."""
    (group,) = space.get(f"prometheusrules.{GROUP}", "raft")["spec"]["groups"]
    wanted = [rule["alert"] for rule in group["rules"]]

    def healthy() -> bool:
        return [(rule["name"], rule["health"]) for rule in watching.rules()] == [(name, "ok") for name in wanted]

    until("every rule is loaded and looked at", healthy, SCRAPED_SECONDS_MAX)


def panels_show_something(watching: Prometheus, space: Namespace) -> None:
    """Of the ConfigMap that Grafana's sidecar finds by its label: all can be asked, and show something."""
    (found,) = space.get("configmap", "--selector=grafana_dashboard=1")["items"]
    ((name, text),) = found["data"].items()
    assert name == f"raft-{space.name}-raft.json"
    panels = [panel for panel in json.loads(text)["panels"] if panel.get("targets")]
    assert len(panels) > 20

    left = {""}

    def all_show() -> bool:
        nonlocal left
        asked = {
            (panel["title"], target["expr"].replace("$__rate_interval", "30s"))
            for panel in panels
            for target in panel["targets"]
        }
        left = {title for title, expression in asked if not watching.query(expression)} - OFTEN_EMPTY
        return not left

    try:
        until("every panel shows something", all_show, SCRAPED_SECONDS_MAX, every_s=2.0)
    except AssertionError as error:
        raise AssertionError(f"{error}; these do not: {left}") from None


@pytest.mark.longest
def test_an_upgrade_changes_how_pods_are_found_and_uninstalling_leaves_nothing(
    watched: Release, space: Namespace, proxy: Proxy
) -> None:
    uids = {name: pod["metadata"]["uid"] for name, pod in watched.pods().items()}
    watched.upgrade(*WATCHED, *BY_SERVICE)
    assert objects(space) == [f"servicemonitor.{GROUP}/raft", f"prometheusrule.{GROUP}/raft"]
    assert {name: pod["metadata"]["uid"] for name, pod in watched.pods().items()} == uids, "no pod was restarted"
    configured(space, f"serviceMonitor/{space.name}/raft/0")
    with prometheus(space, proxy) as found:
        every_pod_is_up(found, watched.nodes)
        assert {one["metric"]["pod"] for one in found.query("raft_term")} == set(watched.nodes)
    watched.upgrade("--set", "networkPolicy.enabled=true")
    assert objects(space) == []
    assert space.get("configmap", "--selector=grafana_dashboard=1")["items"] == []
    watched.upgrade(*WATCHED, *BY_PODS)
    assert len(objects(space)) == 2
    space.helm("uninstall", watched.name, "--wait", "--timeout=120s", timeout_s=140)
    assert objects(space) == []
    left: list[dict[str, Any]] = json.loads(
        run("kubectl", "get", f"{MONITORS},configmap", f"--namespace={space.name}", "--output=json")
    )["items"]
    assert not [one for one in left if one["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == "raft"]
