"""Prints a scenario as it happens: for people indented prose with colours where a terminal reads, for programs one
JSON object a line.

Why it exists: a newcomer must be able to tell at a glance what is done, what is predicted, and what was then seen. It
must not judge, and it raises OSError when nobody reads any more.
"""

from collections.abc import Sequence
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
VERDICTS = {"as predicted": "bold green", "not as predicted": "bold red", "not played": "bold red"}


class Narrator:
    """`as_json`: for programs."""

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

    def table(
        self, text: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], marked: tuple[bool, ...]
    ) -> None:
        """Rows side by side; those `marked` stand out."""
        if self._as_json:
            self._object("table", text, head=head, rows=rows, marked=marked)
            return
        from rich.padding import Padding
        from rich.table import Table

        self.say("fact", text)
        table = Table(*head, box=None, pad_edge=False, collapse_padding=True)
        for row, stands_out in zip(rows, marked, strict=True):
            table.add_row(*row, style="yellow" if stands_out else "")
        self._print(Padding(table, (0, 0, 0, LABEL_WIDTH + 1)))

    def timeline(self, rows: list[tuple[str, str]]) -> None:
        """When, and what."""
        if self._as_json:
            self._object("timeline", "what the nodes told", rows=rows)
            return
        from rich.padding import Padding
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(justify="right", width=8)
        grid.add_column()
        for row in rows:
            grid.add_row(*row, style="dim")
        self._print(Padding(grid, (0, 0, 0, LABEL_WIDTH + 1)))

    def verdict(self, word: str, text: str, lesson: str, seconds: float, **data: Any) -> None:
        """A scenario ends; `word` is one of VERDICTS."""
        if self._as_json:
            self._object("verdict", text, verdict=word, seconds=round(seconds, 3), lesson=lesson, **data)
            return
        self._print("")
        self._indented("Verdict", f"{word.upper()}: {text} ({seconds:.1f} s)", VERDICTS[word], 8)
        if lesson:
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
