"""What the chart tells a node is what the node understands: names, bounds, defaults and what each pod makes of them."""

import json
from typing import Any

import pytest

from node.cli.targets import targets
from node.settings import SETTINGS, Setting, Settings, load
from tests.chart.rendering import CHART, EVERYTHING, Values, refusal, render, run
from tests.generated.chart import DECIDED, OFFERED, OTHER_DEFAULTS, SIZED

SIZES = [row for row in OFFERED if row.key.endswith("_bytes")]
NUMBERS = [row for row in OFFERED if row.type is int and row not in SIZES]
FIVE: Values = {"replicaCount": 5, "fullnameOverride": "store"}
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]


def settings_of(values: Values, ordinal: int = 0, name: str = "raft") -> Settings:
    """What `raft-node serve` makes of the environment of a pod; fails where it would refuse to start."""
    return load({}, render(values).environment(name, ordinal)).settings


def by_key(row: Setting) -> str:
    return row.key


def test_every_setting_is_offered_or_decided_by_the_chart_and_nothing_else_is() -> None:
    assert SCHEMA.keys() == {row.key for row in SETTINGS}
    shown = {name.removeprefix("RAFT_").lower() for name in render().environment()}
    unmounted = {row.key for row in SETTINGS if row.group == "TLS"}  # where they are not asked for
    unmounted |= {"tokens_file", "discover"}
    assert shown == {row.key for row in SETTINGS} - {"chance_seed", "exit_with_parent"} - unmounted | {"urls"}


def test_what_the_chart_decides_is_refused_in_settings() -> None:
    said = refusal({"settings": dict.fromkeys(DECIDED, "1")})
    for key in DECIDED:
        assert f"settings.{key} is decided by the chart (" in said


def test_defaults_are_the_nodes_own_but_for_those_that_say_why() -> None:
    shown = render().environment()
    for row in OFFERED:
        if row.key not in SIZED:  # tests/chart/test_sizes.py
            assert shown[row.env] == OTHER_DEFAULTS.get(row.key, row.default), row.key


@pytest.mark.parametrize("row", NUMBERS, ids=by_key)
def test_bounds_of_numbers_are_the_nodes(row: Setting) -> None:
    assert SCHEMA[row.key] == {"type": "integer", "minimum": row.low, "maximum": row.high}


@pytest.mark.parametrize("row", [row for row in OFFERED if row.choices], ids=by_key)
def test_choices_are_the_nodes(row: Setting) -> None:
    assert SCHEMA[row.key] == {"enum": list(row.choices)}


@pytest.mark.parametrize(("end", "beyond"), [("low", -512), ("high", 512)])
def test_bounds_of_sizes_are_the_nodes(end: str, beyond: int) -> None:
    def said(away: int) -> str:
        values: Values = {"settings": {row.key: getattr(row, end) + away for row in SIZES}}
        return run("template", "raft", str(CHART), values=values).stderr

    assert "out of bounds" not in said(0)
    outside = said(beyond)
    for row in SIZES:
        value = row.show(getattr(row, end) + beyond)
        assert f"settings.{row.key} {value} is out of bounds: it must be {row.bounds}." in outside, row.key


def test_bounds_of_the_election_timeout_are_the_nodes() -> None:
    row = next(row for row in SETTINGS if row.key == "election_timeout_ms")
    assert (row.low, row.high) == (10, 600_000)
    for bad in ("9-20", "500000-600001"):
        assert "both ends must be 10 to 600000" in refusal({"settings": {"election_timeout_ms": bad}})


@pytest.mark.parametrize("ordinal", [0, 1, 2])
def test_a_node_starts_on_what_the_chart_tells_it(ordinal: int) -> None:
    settings = settings_of({}, ordinal)
    assert settings.name == f"raft-{ordinal}"
    assert [str(seed) for seed in settings.seeds] == [f"raft-{i}=raft-{i}.raft-headless.ns.svc:9001" for i in range(3)]
    assert (settings.host, settings.port) == ("0.0.0.0", 8001)
    assert (settings.peer_host, settings.peer_port) == ("0.0.0.0", 9001)
    assert settings.client_url == f"http://raft-{ordinal}.raft-headless.ns.svc:8001"
    assert settings.data_dir == "/var/lib/raft"


def test_a_node_answers_to_its_own_names_and_the_services_and_to_no_other_pods() -> None:
    allowed = settings_of({"extraAllowedHosts": ["raft.example.org"]}, 1).allowed_hosts
    for name in ("raft", "raft-headless", "raft-1.raft-headless"):
        assert {name, f"{name}.ns", f"{name}.ns.svc", f"{name}.ns.svc.cluster.local"} <= set(allowed)
    assert {"raft-1", "raft.example.org"} <= set(allowed)
    assert not [name for name in allowed if name.startswith(("raft-0", "raft-2"))]
    assert "raft.ns.svc.k8s.local" in settings_of({"clusterDomain": "k8s.local"}).allowed_hosts


def test_a_node_starts_on_every_value_at_once() -> None:
    settings = settings_of(EVERYTHING, 4)
    assert len(settings.seeds) == 5
    assert (settings.host, settings.peer_host) == ("::", "::")
    assert settings.enable_faults
    assert (str(settings.election_timeout_ms), settings.max_log_bytes) == ("2000-4000", 128 * 1024**2)


def test_null_leaves_a_setting_to_the_node() -> None:
    values: Values = {"settings": {row.key: None for row in OFFERED}}
    shown = render(values).environment()
    assert not shown.keys() & {row.env for row in OFFERED}
    assert settings_of(values).max_log_bytes == 256 * 1024**2


def test_a_changed_setting_changes_the_pod_template_and_nothing_else() -> None:
    before, after = render().stateful_set(), render({"settings": {"heartbeat_ms": 90}}).stateful_set()
    assert before["spec"].pop("template") != after["spec"].pop("template")
    assert before == after


def test_the_grace_period_is_held_against_what_leaving_takes_by_the_nodes_own_word() -> None:
    values: Values = {"settings": {"leave_wait_ms": 7000, "request_timeout_ms": 9000}}
    longest_ms = settings_of(values).leave_ms_max
    assert longest_ms % 1000 == 0
    enough = longest_ms // 1000 + 1
    render({**values, "terminationGracePeriodSeconds": enough})
    assert f"{longest_ms} ms; set {enough} or more" in refusal({**values, "terminationGracePeriodSeconds": enough - 1})
    assert settings_of({}).leave_ms_max < 1000 * render().pod()["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(("values", "name"), [({}, "raft"), (FIVE, "store")], ids=["defaults", "others"])
def test_the_pods_of_the_release_and_no_others_are_let_in_by_themselves(values: Values, name: str) -> None:
    """A lost claim heals then: at most one pod of each of these names runs."""
    settings = settings_of(values, 1, name)
    assert settings.auto_members == tuple(seed.name for seed in settings.seeds)
    assert len(settings.auto_members) == values.get("replicaCount", 3)


@pytest.mark.parametrize("ordinal", [0, 2])
def test_a_pod_says_the_address_that_the_seeds_have_for_it(ordinal: int) -> None:
    """It is told to whoever lets it in, and must outlive the pod's own."""
    settings = settings_of({}, ordinal)
    seed = next(seed for seed in settings.seeds if seed.name == settings.name)
    assert settings.peer_address == f"{seed.host}:{seed.port}"


@pytest.mark.parametrize("ordinal", [0, 2])
def test_commands_in_a_pod_ask_its_own_node_first_and_then_the_others(
    ordinal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_URLS", render().environment("raft", ordinal)["RAFT_URLS"])
    order = [ordinal, *(i for i in range(3) if i != ordinal)]
    assert list(targets([], None)) == [f"http://raft-{i}.raft-headless.ns.svc:8001" for i in order]
