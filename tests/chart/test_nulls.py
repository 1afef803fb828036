"""A value with nothing after its colon: to Helm that takes the chart's default away, wherever the schema lets it. It is
as if it were empty, or refused with a sentence, and never an error of a template."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import CHART, EVERYTHING, Values, run
from tests.chart.test_tls import managed


def over(one: Values, other: Values) -> Values:
    """As Helm lays the second over the first."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = over(one[key], other[key])
    return both


SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
BASE: Values = over(
    over(EVERYTHING, managed()),
    {
        "tls": {"clients": {"mutual": True}},
        "auth": {"existingSecret": "a", "clientsSecret": "b"},
        "admissionPolicy": {"enabled": True},
        "chaos": {"rbac": {"create": True}},
        "global": {"imageRegistry": "all.example"},
    },
)


def optional(place: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Paths below `place` that may be missing."""
    for key, inner in place.get("properties", {}).items():
        if key not in place.get("required", ()):
            yield (key,)
        yield from ((key, *more) for more in optional(inner))


def taken_away(path: tuple[str, ...]) -> Values:
    value: Any = None
    for key in reversed(path):
        value = {key: value}
    return dict(value)


PATHS = [path for path in optional(SCHEMA) if path[0] not in ("settings", "lifecycle")]
"""Without what tests/chart/test_settings.py looks at, and what is Kubernetes' own."""


@pytest.mark.slowest
@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_what_may_be_missing_is_as_if_it_were_empty_or_refused_with_a_sentence(path: tuple[str, ...]) -> None:
    done = run("template", "raft", str(CHART), values=over(BASE, taken_away(path)))
    assert "executing" not in done.stderr, done.stderr
    if done.returncode:
        assert re.search(r"^(  - [a-z].*\.$|- .*got null)", done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize("section", ["ingress", "gateway"])
def test_lists_and_maps_that_were_taken_away_are_as_empty_ones(section: str) -> None:
    for key in SCHEMA["properties"][section]["properties"]:
        done = run("template", "raft", str(CHART), values=over(BASE, {section: {key: None}}))
        assert "executing" not in done.stderr, done.stderr
