"""docs/bounds.md lists every limit of the code, with its value."""

import importlib
import re
from pathlib import Path

import pytest

from node.raft.settings import RaftSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bounds.md").read_text()
ROW = re.compile(r"^\| `(\w+)` = ([\d.,]+)( KiB| MiB)? \| `(node/[\w/]+)\.py` \| \S.* \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE)
UNITS = {"": 1, " KiB": 1024, " MiB": 1024 * 1024}

LIMIT = re.compile(r"^([A-Z][A-Z_]*_MAX[A-Z_]*) *(?::[^=\n]*)?=", re.MULTILINE)
ELSEWHERE = ("node/cli/", "node/keeping/", "node/scenarios/", "node/simulation/", "node/supervisor/")
"""Programs beside the node."""
NOT_OF_WORK = {"NUMBER_MAX", "PORT_MAX"}
"""What a number may be."""


@pytest.mark.parametrize(("name", "number", "unit", "module"), ROWS, ids=[f"{row[3]} {row[0]}" for row in ROWS])
def test_a_limit_is_what_the_page_says(name: str, number: str, unit: str, module: str) -> None:
    holder: object = importlib.import_module(module.replace("/", "."))
    value = getattr(RaftSettings() if name.islower() else holder, name)
    assert value == pytest.approx(float(number.replace(",", "")) * UNITS[unit])


def test_the_page_names_every_limit() -> None:
    named = {(module, name) for name, _, _, module in ROWS}
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "node").rglob("*.py"))
        if not (where := path.relative_to(ROOT).as_posix()).startswith(ELSEWHERE)
        for name in LIMIT.findall(path.read_text())
        if (where.removesuffix(".py"), name) not in named and name not in NOT_OF_WORK
    ]
    assert not missing
    fields = {field for field in RaftSettings.__struct_fields__ if field.endswith("_max")}
    assert fields <= {name for _, name in named}
