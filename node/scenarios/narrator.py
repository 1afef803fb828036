"""Prints a scenario as it happens: for people indented prose with colours where a terminal reads, for programs one
JSON object a line.

Why it exists: a newcomer must be able to tell at a glance what is done, what is predicted, and what was then seen. It
must not judge, and it raises OSError when nobody reads any more.
"""

from typing import Any

import msgspec

LABEL_WIDTH = 11
STYLES = {
    "now": ("", "bold"),
    "predicted": ("predicted", "cyan"),
    "seen": ("✓ seen", "green"),
    "not-as-predicted": ("✗ seen", "bold red"),
    "fact": ("", ""),
    "detail": ("", "dim"),
    "trouble": ("trouble", "bold red"),
}
"""By kind: the label in front, and the colour of both."""


class Narrator:
    """`elapsed_s` returns seconds since the beginning."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._scenario = ""

    def begin(self, name: str, title: str, summary: str, count: str) -> None:
        """A scenario starts."""
        self._scenario = name
        if self._as_json:
            self._object("scenario", summary, title=title)
            return
        from rich.rule import Rule

        self._print("")
        self._print(Rule(f"[bold]{title}[/bold]{count}", align="left", style="blue"))
        self._print(summary)

    def say(self, kind: str, text: str, **data: Any) -> None:
        """One line; `kind` is one of STYLES."""
        if self._as_json:
            self._object(kind, text, **data)
            return
        if kind == "now":
            self._print("")
        label, style = STYLES[kind]
        self._indented(label, text, style, LABEL_WIDTH if kind != "now" else 0)

    def table(self, text: str, head: tuple[str, ...], rows: list[tuple[str, ...]], marked: tuple[bool, ...]) -> None:
        """Rows side by side; those `marked` stand out."""
        if self._as_json:
            self._object("table", text, head=head, rows=rows, marked=marked)
            return
        from rich.padding import Padding
        from rich.table import Table

        table = Table(*head, title=text, title_justify="left", title_style="dim", box=None, pad_edge=False)
        for row, stands_out in zip(rows, marked, strict=True):
            table.add_row(*row, style="yellow" if stands_out else "")
        self._print(Padding(table, (0, 0, 0, LABEL_WIDTH + 1)))

    def verdict(self, as_predicted: bool, text: str, lesson: str, seconds: float) -> None:
        """A scenario ends."""
        if self._as_json:
            self._object("verdict", text, as_predicted=as_predicted, lesson=lesson, seconds=round(seconds, 3))
            return
        self._print("")
        word, style = ("AS PREDICTED", "bold green") if as_predicted else ("NOT AS PREDICTED", "bold red")
        self._indented("Verdict", f"{word}: {text} ({seconds:.1f} s)", style, 8)
        if as_predicted:
            self._indented("Learn", lesson, "", 8)

    def summary(self, text: str, **data: Any) -> None:
        """After several scenarios."""
        self._scenario = ""
        if self._as_json:
            self._object("summary", text, **data)
        else:
            self._print("")
            self._print(text)

    def _indented(self, label: str, text: str, style: str, width: int) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1, 0, 0))
        if width:
            grid.add_column(width=width)
        grid.add_column()
        words = Text(text, style=style if label or not width or style == "dim" else "")
        grid.add_row(*([Text(label, style=style)] if width else []), words)
        self._print(grid)

    def _print(self, what: Any) -> None:
        from rich.console import Console

        console = Console(highlight=False)
        with console.capture() as captured:
            console.print(what)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)

    def _object(self, kind: str, text: str, **data: Any) -> None:
        print(
            msgspec.json.encode({"kind": kind, "scenario": self._scenario, "text": text, **data}).decode(), flush=True
        )
