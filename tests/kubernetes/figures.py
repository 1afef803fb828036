"""What the tests measured, for people: printed at the end of the run and kept in a file.

Why it exists: a limit says that something is fast enough, a figure says how fast. It judges nothing.
"""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("TEST_OUTPUT", Path(__file__).parents[2] / ".cache" / "kubernetes"))
"""Figures, pictures and recordings of the last run; not part of the repository."""

FILE = "figures.txt"
KEPT_VARIABLE = "KEEP_FIGURES"
"""Where it is set, another process of the same run has written figures, and this one's come below."""

_LINES: list[str] = []


def figure(what: str, value: float | int | str, unit: str = "") -> None:
    """Keep one, such as ("one leader after the last pod ran", 1.24, "s")."""
    shown = f"{value:.2f}" if isinstance(value, float) else str(value)
    _LINES.append(f"{what}: {shown} {unit}".rstrip())


def lines() -> list[str]:
    return list(_LINES)


def save() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / FILE).open("a" if os.environ.get(KEPT_VARIABLE) else "w") as kept:
        kept.write("".join(f"{line}\n" for line in _LINES))
