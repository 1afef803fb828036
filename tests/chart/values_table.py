"""The table of values in the chart's README, made of values.yaml: its keys, defaults and comments.

Why it exists: two descriptions of one value drift apart. `python -m tests.chart.values_table` writes the table anew
between its markers; a test holds it against values.yaml. The comments stay the only place where a value is explained.
"""

import json
import re
from typing import Any, NamedTuple

import yaml

from tests.chart.rendering import CHART

README = CHART / "README.md"
BEGIN, END = "<!-- values -->", "<!-- /values -->"


class Row(NamedTuple):
    """A leaf of values.yaml. `key`: its path, with dots; `meaning`: the comment above it or its group."""

    key: str
    default: Any
    meaning: str


def whole(key: str) -> bool:
    """Whether what stands under `key` is one value: a map whose keys are others' names."""
    return key.endswith("nnotations")


def rows() -> list[Row]:
    """Every leaf in order; raises AssertionError for one that nothing explains."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = yaml.safe_load("\n".join(lines))
    found: list[Row] = []
    path: list[str] = []
    said: dict[int, str] = {}  # by depth: the comment that holds for what stands there
    pending: list[str] = []
    skipping = ""  # inside the items of a list
    for line in lines:
        depth = (len(line) - len(line.lstrip())) // 2
        if not line.strip() or line.startswith("# --"):
            pending = []
            said = {}
        elif line.lstrip().startswith("#"):
            pending.append(line.strip("# "))
        elif match := re.match(r" *([A-Za-z_]+):", line):
            here = [*path[:depth], match[1]]
            if skipping and ".".join(here).startswith(skipping):
                continue
            path, skipping = here, ""
            if pending:
                said = {level: text for level, text in said.items() if level < depth}
                said[depth] = " ".join(pending)
            pending = []
            value = values
            for part in path:
                value = value[part]
            if isinstance(value, dict) and value and not whole(path[-1]):
                continue
            if isinstance(value, list | dict) and value:
                skipping = ".".join(path) + "."
            meaning = said.get(max((level for level in said if level <= depth), default=-1), "")
            assert meaning, f"values.yaml does not explain {'.'.join(path)}"
            found.append(Row(".".join(path), value, meaning))
    return found


def table() -> str:
    """The table as it stands between the markers."""
    lines = ["| Value | Default | Meaning |", "|---|---|---|"]
    before = ""
    for row in rows():
        meaning = "as above" if row.meaning == before else row.meaning.replace("|", "\\|")
        before = row.meaning
        default = json.dumps(row.default) if not isinstance(row.default, str) or not row.default else row.default
        lines.append(f"| `{row.key}` | `{default}` | {meaning} |")
    return "\n".join(lines)


def in_readme() -> str:
    """What stands between the markers now."""
    return README.read_text().partition(BEGIN + "\n")[2].partition("\n" + END)[0]


if __name__ == "__main__":
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2])
