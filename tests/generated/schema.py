"""The schema of the chart's values: by hand but for `settings`, and for what whoever writes an unknown key is told.

Why it exists: Helm names the right place of an unknown key and says what is known there only if the schema asks, in
every object that lists its keys, for a value that nobody writes. `additionalProperties: false` names the object alone,
and `propertyNames` no place at all. It must not decide what a value may be.
"""

import json
from pathlib import Path
from typing import Any

from tests.generated import chart

FILE = Path("deploy/helm/values.schema.json")
ROOT = Path(__file__).parents[2]

NOT_OFFERED = "decided by the chart"
"""How the description of a key begins that is known only to be refused with a sentence."""


def text() -> str:
    """The whole file: as it is, with what is made written anew. A new object says `additionalProperties: false`."""
    schema = json.loads((ROOT / FILE).read_text())
    schema["properties"]["settings"] = chart.schema()
    _close(schema)
    return json.dumps(schema, indent=2) + "\n"


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


def _close(place: dict[str, Any]) -> None:
    place.pop("propertyNames", None)
    if closed(place):
        place["additionalProperties"] = unknown(place)
    for inner in [*place.get("properties", {}).values(), *([place["items"]] if "items" in place else [])]:
        _close(inner)
