"""Prints tables and JSON, in one piece.

Why it exists: rich ends the whole program when the reader of a pipe goes away (a supervisor has nodes to end first)
and cuts cells where a terminal is narrow: of two nodes, then nobody knows which is which. Here nothing is
ever cut: a table that does not fit is printed row by row, and one that no terminal reads is as wide as it needs to be.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDEST_COLUMNS = 10_000
PROSE_COLUMNS_MIN = 24
"""A column of sentences is wrapped between words, but not into less than this."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str] = (),
    *,
    prose: int | None = None,
    lines: bool = False,
    soft: bool = False,
) -> None:
    """Print `rows` below `columns`, coloured where a terminal reads. `prose`: the column that holds sentences. `lines`:
    with lines between the columns. `soft`: rows may be longer than a terminal's, which goes on in the next line."""
    from rich.console import Console

    known = not soft and (sys.stdout.isatty() or "COLUMNS" in os.environ)
    console = Console(highlight=False, width=None if known else WIDEST_COLUMNS)
    table = _table(columns, rows, styles, prose, lines)
    with console.capture() as captured:
        if _least_width(table, console, prose) <= console.width:
            console.print(table)
        else:
            for row, style in zip(rows, styles or ("",) * len(rows), strict=True):
                console.print(row[0], style=f"bold {style}", markup=False, soft_wrap=True)
                for name, cell in zip(columns[1:], row[1:], strict=True):
                    console.print(f"  {name}: {cell}", markup=False, soft_wrap=True)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], prose: int | None, lines: bool
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table() if lines else Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number != prose, overflow="fold")
    for row, style in zip(rows, styles or ("",) * len(rows), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def _least_width(table: "Table", console: "Console", prose: int | None) -> int:
    """What it takes to show every cell whole."""
    options = console.options.update(width=WIDEST_COLUMNS)
    whole = console.measure(table, options=options).maximum
    if prose is None:
        return whole
    wide = max((len(str(cell)) for cell in table.columns[prose].cells), default=0)
    return whole - wide + min(wide, PROSE_COLUMNS_MIN)


def print_object(value: Any, indent: int = 0) -> None:
    """One JSON value, on one line without `indent`; what is not UTF-8 (a folder's name may be so) with backslashes."""
    import msgspec

    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:
        text = msgspec.json.encode(_spelled(msgspec.to_builtins(value)))
    print((msgspec.json.format(text, indent=indent) if indent else text).decode(), flush=True)


def _spelled(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_spelled(key): _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, (list, tuple)) else value
