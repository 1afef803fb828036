"""What people read of the chart says what it does: README, values.yaml, versions and the schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from node import __version__
from tests.chart.rendering import CHART, ROOT
from tests.chart.values_table import in_readme, rows, table, whole
from tests.generated.schema import closed, unknown


def test_every_value_is_explained_where_it_stands() -> None:
    keys = {row.key for row in rows()}
    assert keys == set(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


def _leaves(values: dict[str, Any], above: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        deeper = isinstance(value, dict) and value and not whole(key)
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
        "extraEnv[].valueFrom.configMapKeyRef",
        "extraEnv[].valueFrom.fieldRef",
        "extraEnv[].valueFrom.fileKeyRef",
        "extraEnv[].valueFrom.resourceFieldRef",
        "extraEnv[].valueFrom.secretKeyRef",
        "extraInitContainers[]",
        "extraObjects[]",
        "extraVolumeMounts[]",
        "extraVolumes[]",
        "global",
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


def test_whoever_writes_an_unknown_key_is_told_the_known_ones_at_its_place() -> None:
    places = list(_closed(json.loads((CHART / "values.schema.json").read_text())))
    assert len(places) > 20
    for place in places:
        assert "propertyNames" not in place, "Helm would name no place"
        assert place["additionalProperties"] == unknown(place)


def _closed(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if closed(schema):
        yield schema
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from _closed(inner)


def test_the_chart_brings_the_version_of_the_node_that_it_is_made_with() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert (chart["name"], chart["apiVersion"], chart["type"]) == ("raft", "v2", "application")


def test_the_image_and_what_names_it_have_the_version_of_the_node() -> None:
    """A version is changed in node/__init__.py; this lists where else."""
    assert re.findall(r"^ARG VERSION(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == [
        f"={__version__}",
        "",
        "",
    ]
    for file in (ROOT / "deploy" / "compose.yaml", ROOT / "Dockerfile", CHART / "README.md"):
        named = set(re.findall(r"raft:-?([0-9]+[.][0-9.]+)", file.read_text()))
        assert named == {__version__}, file.name
