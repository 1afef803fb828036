"""What people read of the chart says what it does: README, values.yaml, versions and the schema."""

import json
from typing import Any

import yaml

from node import __version__
from tests.chart.rendering import CHART
from tests.chart.values_table import in_readme, rows, table


def test_every_value_is_explained_where_it_stands() -> None:
    keys = {row.key for row in rows()}
    assert keys == set(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


def _leaves(values: dict[str, Any], above: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        deeper = isinstance(value, dict) and value
        found += _leaves(value, f"{above}{key}.") if deeper else [above + key]
    return found


def test_the_readme_lists_every_value_with_its_default() -> None:
    assert in_readme() == table(), "write it anew: python -m tests.chart.values_table"


def test_no_place_in_the_schema_lets_an_unknown_key_pass_but_kubernetes_own_objects() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    open_places = sorted(_open(schema, ""))
    assert open_places == [
        "affinity.nodeAffinity",
        "affinity.podAffinity",
        "affinity.podAntiAffinity",
        "extraContainers[]",
        "extraEnv[]",
        "extraInitContainers[]",
        "extraObjects[]",
        "extraVolumeMounts[]",
        "extraVolumes[]",
        "global",
        "networkPolicy.clients[].ipBlock",
        "networkPolicy.clients[].namespaceSelector",
        "networkPolicy.clients[].podSelector",
        "networkPolicy.dns[].ipBlock",
        "networkPolicy.dns[].namespaceSelector",
        "networkPolicy.dns[].podSelector",
    ]


def _open(schema: dict[str, Any], place: str) -> list[str]:
    kinds = schema.get("type")
    found = []
    if (kinds == "object" or (isinstance(kinds, list) and "object" in kinds)) and "additionalProperties" not in schema:
        found.append(place)
    for key, inner in schema.get("properties", {}).items():
        if "additionalProperties" in schema:
            found += _open(inner, f"{place}.{key}" if place else key)
    if "items" in schema:
        found += _open(schema["items"], place + "[]")
    return found


def test_the_chart_brings_the_version_of_the_node_that_it_is_made_with() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert (chart["name"], chart["apiVersion"], chart["type"]) == ("raft", "v2", "application")
