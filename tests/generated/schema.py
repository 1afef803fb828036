"""The schema of the chart's values: by hand but for `settings`, and for what whoever writes an unknown key, or takes
one away, is told.

Why it exists: Helm names the right place of an unknown key and says what is known there only if the schema asks, in
every object that lists its keys, for a value that nobody writes. `additionalProperties: false` names the object alone,
and `propertyNames` no place at all. Of a default that was taken away it says no more than that it is missing. It must
not decide what a value may be.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.generated import chart

FILE = Path("deploy/helm/values.schema.json")
VALUES = FILE.with_name("values.yaml")
ROOT = Path(__file__).parents[2]

NOT_OFFERED = "decided by the chart"
"""How the description of a key begins that is known only to be refused with a sentence."""


def text() -> str:
    """The whole file: as it is, with what is made written anew. A new object says `additionalProperties: false`."""
    schema = json.loads((ROOT / FILE).read_text())
    schema["properties"]["settings"] = chart.schema()
    _close(schema, yaml.safe_load((ROOT / VALUES).read_text()))
    return json.dumps(schema, indent=2) + "\n"


INCOMPLETE = (
    "complete: a key with nothing after its colon (null) takes its default away, so remove that line; "
    "and --reuse-values brings no default of a newer chart, so upgrade with --reset-then-reuse-values"
)
"""Helm says `value must be '...'`, where it has said what is missing."""


def closed(place: dict[str, Any]) -> bool:
    """Whether this object takes the keys that it lists and no others."""
    others = place.get("additionalProperties")
    return others is False or (isinstance(others, dict) and "const" in others)


def unknown(place: dict[str, Any]) -> dict[str, str]:
    """What stands where an unknown key's value would be checked: Helm says `value must be '...'` at that key."""
    known = sorted(k for k, inner in place["properties"].items() if not _hidden(inner))
    return {"const": f"left out: known here {'is' if len(known) == 1 else 'are'} {', '.join(known)}"}


def _hidden(inner: dict[str, Any]) -> bool:
    return str(inner.get("description", "")).startswith(NOT_OFFERED)


def _close(place: dict[str, Any], default: Any) -> None:
    """`default`: what values.yaml has here."""
    defaults = default if isinstance(default, dict) else {}
    place.pop("propertyNames", None)
    if closed(place):
        place["additionalProperties"] = unknown(place)
    for key in ("if", "else"):
        place.pop(key, None)
    if place.get("required") and defaults.keys() >= set(place["required"]):
        place["if"], place["else"] = {"required": place["required"]}, {"const": INCOMPLETE}
    for key, inner in place.get("properties", {}).items():
        _close(inner, defaults.get(key))
    if "items" in place:
        _close(place["items"], None)
