"""The diagrams of docs/architecture.md are the tables of the code, and every state in them is reached and left."""

import enum
import re
from pathlib import Path

import pytest

from node.raft import progress, roles
from node.raft.progress import ProgressState
from node.raft.types import Role

ROOT = Path(__file__).parents[2]
TABLES: dict[type[enum.Enum], list[tuple[enum.Enum, enum.Enum, str]]] = {
    Role: [(before, after, when) for (before, after), when in roles.TRANSITIONS.items()],
    ProgressState: [(before, after, when) for (before, after), when in progress.TRANSITIONS.items()],
}


@pytest.mark.parametrize("states", [Role, ProgressState])
def test_a_diagram_of_the_page_is_the_table_of_the_code(states: type[enum.Enum]) -> None:
    drawn = re.findall(r"^    (\w+) --> (\w+): (.+)$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    table = [(before.name, after.name, when) for before, after, when in TABLES[states]]
    assert [edge for edge in drawn if edge[0] in states.__members__] == table


@pytest.mark.parametrize("states", [Role, ProgressState])
def test_every_state_is_reached_and_left(states: type[enum.Enum]) -> None:
    edges = TABLES[states]
    first = next(iter(states))
    assert {after for _, after, _ in edges} | {first} == set(states)
    assert {before for before, _, _ in edges} == set(states)
