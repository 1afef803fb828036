"""Prints a table, in one piece.

Why it exists: rich ends the whole program when the reader of a pipe goes away; a supervisor has nodes to end first, so
tables are rendered to text and printed like everything else.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_table(table: "Table", wrap: bool = True) -> None:
    """Print `table`, coloured where a terminal reads. Raises OSError where nobody does."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=not wrap)
    with console.capture() as captured:
        console.print(table)
    print(captured.get(), end="", flush=True)
