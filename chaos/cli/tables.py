"""Tables that cut nothing: one that does not fit is printed row by row, and one that no terminal reads is as wide as it
needs to be.

Why it exists: rich shortens cells where a terminal is narrow, and of two nodes nobody then knows which is which. It
must not know what is in a table.
"""

import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_COLUMNS = 120
"""As wide as sentences are wrapped where no terminal says."""
WIDEST_COLUMNS = 10_000
"""To see how wide a table would like to be."""
PROSE_COLUMNS_MIN = 24
"""A column of sentences is wrapped between words, but not into less than this."""

Cell = str | Text


def console() -> Console:
    """For standard output."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return Console(highlight=False, width=wide)


def fitting(
    rows: Sequence[Sequence[Cell]], columns: Sequence[str] = (), *, prose: int | None = None, right: Sequence[int] = ()
) -> list[Table | Text]:
    """`rows` below `columns` (none: without a head) as a table, or as lines. `prose`: the column that holds sentences;
    `right`: those that end at their right. Cells are no markup."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    for number in range(len(columns) or max((len(row) for row in cells), default=0)):
        made.add_column(
            columns[number] if columns else "",
            justify="right" if number in right else "left",
            no_wrap=number != prose,
            overflow="fold",
        )
    for row in cells:
        made.add_row(*row)
    if least_width(made, prose) <= console().width:
        return [made]
    return [line for row in cells for line in _lines(row, columns)]


def least_width(table: Table, prose: int | None = None) -> int:
    """What it takes to show every cell whole."""
    wide = console()
    whole = wide.measure(table, options=wide.options.update(width=WIDEST_COLUMNS)).maximum
    if prose is None or prose >= len(table.columns):
        return whole
    longest = max((len(str(cell)) for cell in table.columns[prose].cells), default=0)
    return whole - longest + min(longest, PROSE_COLUMNS_MIN)


def _lines(row: Sequence[Text], columns: Sequence[str]) -> list[Text]:
    if not columns:
        return [Text("  ").join(cell for cell in row if cell)]
    named = [Text(f"  {name}: ").append_text(cell) for name, cell in zip(columns[1:], row[1:], strict=True) if cell]
    return [row[0], *named]
