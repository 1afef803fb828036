"""The table of alarms for docs/operations.md, from the file that the chart makes its rules of.

Why it exists: a rule that wakes somebody and the page that says what to do then are one row. It must not explain an
alarm in other words than the rule does.
"""

from pathlib import Path
from typing import NamedTuple

import yaml

FILE = Path(__file__).parents[2] / "deploy/helm/files/alarms.yaml"


class Alarm(NamedTuple):
    """A row, by the file's own names; `for` is Python's word."""

    name: str
    title: str
    expr: str
    lasts: str
    severity: str
    summary: str
    means: str
    cure: str


def alarms() -> tuple[Alarm, ...]:
    """In order."""
    return tuple(Alarm(*row.values()) for row in yaml.safe_load(FILE.read_text()))


def table() -> str:
    """A row an alarm; its name is an anchor, which the rule's runbook_url names."""
    rows = ["| Alarm | Expression, for how long | What it means | What to do |", "|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, alarms())])


def _row(alarm: Alarm) -> str:
    lasts = "" if alarm.lasts == "0s" else f", {alarm.lasts}"
    named = f'<a id="{alarm.name}"></a>{alarm.title} (`{alarm.name}`, {alarm.severity})'
    expression = alarm.expr.replace("|", "\\|")  # else it would end the cell, in code, too
    return f"| {named} | `{expression}`{lasts} | {alarm.means} | {alarm.cure} |"
