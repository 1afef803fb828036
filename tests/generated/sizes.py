"""The table of sizes in the chart's README, made of `files/sizes.yaml`, which the chart itself reads.

Why it exists: whoever chooses a size wants to see what it sets. It must not decide what fits: a test does.
"""

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "deploy/helm/files/sizes.yaml"


def table() -> str:
    """One row for each value that a size sets."""
    sizes: dict[str, Any] = yaml.safe_load(FILE.read_text())
    columns = [_leaves(values) for values in sizes.values()]
    lines = [f"| Value | {' | '.join(sizes)} |", "|---|" + "---|" * len(sizes)]
    lines += [f"| `{key}` | {' | '.join(column[key] for column in columns)} |" for key in columns[0]]
    return "\n".join(lines)


def _leaves(values: dict[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        found |= _leaves(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: str(value)}
    return found
