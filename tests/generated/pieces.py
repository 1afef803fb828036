"""Every piece of a file that is made from a table of the code: where it stands, and what it must say.

Why it exists: to add a setting or a command is to add a row; `python -m tests.generated` writes the rest, and a test
holds each piece against its table. It must not decide what a row means.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from node.runtime.commands import markdown_list
from node.settings import markdown_table
from tests.chart import values_table
from tests.generated import access, alarms, chart, dashboard, metrics, schema, sizes, words
from tests.outputs import paths

ROOT = Path(__file__).parents[2]
HELM = Path("deploy/helm")
WORDS = Path("node/dashboard/static/words.js")
LOOK = Path("node/dashboard/static/look.css")
REPORT = Path("chaos/report")


class Piece(NamedTuple):
    """What lies between `begin` and `end` (whole lines) in `path`, which is from the root, is `text()`."""

    path: Path
    begin: str
    end: str
    text: Callable[[], str]

    def written(self) -> str:
        """What stands there."""
        return self._split()[1]

    def write(self) -> bool:
        """Write it anew; False: nothing had changed."""
        before, old, after = self._split()
        new = self.text()
        if new != old:
            (ROOT / self.path).write_text(before + new + after)
        return new != old

    def _split(self) -> tuple[str, str, str]:
        whole = (ROOT / self.path).read_text()
        start = whole.index(self.begin + "\n") + len(self.begin) + 1
        stop = whole.index("\n" + self.end, start - 1)
        return whole[:start], whole[start:stop], whole[stop:]


class File(NamedTuple):
    """A file that is made as a whole: `path` is `text()`."""

    path: Path
    text: Callable[[], str]
    begin: str = "the whole file"

    def written(self) -> str:
        """What stands there."""
        file = ROOT / self.path
        return file.read_text() if file.exists() else ""

    def write(self) -> bool:
        """Write it anew; False: nothing had changed."""
        new = self.text()
        if new == self.written():
            return False
        (ROOT / self.path).write_text(new)
        return True


def _look() -> str:
    return (ROOT / LOOK).read_text().rstrip("\n")


PIECES: tuple[Piece | File, ...] = (
    Piece(Path("README.md"), "<!-- settings -->", "<!-- /settings -->", markdown_table),
    Piece(Path("README.md"), "<!-- commands -->", "<!-- /commands -->", markdown_list),
    Piece(Path("docs/operations.md"), "<!-- metrics -->", "<!-- /metrics -->", metrics.table),
    Piece(Path("docs/operations.md"), "<!-- alarms -->", "<!-- /alarms -->", alarms.table),
    Piece(Path("docs/access.md"), "<!-- access -->", "<!-- /access -->", access.table),
    Piece(Path("docs/output.md"), "<!-- outputs -->", "<!-- /outputs -->", paths.markdown_table),
    Piece(WORDS, "export const KINDS = {", "};", words.kinds),
    Piece(WORDS, "export const FAULTS = {", "};", words.faults),
    Piece(WORDS, "export const LOOKS = {", "};", words.looks),
    Piece(WORDS, "export const ROLES = {", "};", words.roles),
    Piece(WORDS, "export const DOING = {", "};", words.doing),
    Piece(REPORT / "words.py", "ROLES: dict[str, tuple[str, str]] = {", "}", words.roles_of_reports),
    Piece(REPORT / "page.css", "/* --- look.css --- */", "/* --- of the report alone --- */", _look),
    Piece(HELM / "values.yaml", "settings:", "\n# Where nodes listen", chart.values),
    File(schema.FILE, schema.text),
    Piece(HELM / "templates/_refusals.tpl", '{{- define "raft.sizeBounds" -}}', "{{- end -}}", chart.size_bounds),
    File(HELM / "files/dashboard.json", dashboard.text),
    Piece(HELM / "README.md", "<!-- sizes -->", "<!-- /sizes -->", sizes.table),
    Piece(HELM / "README.md", values_table.BEGIN, values_table.END, values_table.table),
)
"""In the order in which they depend on each other: the chart's README is made of values.yaml."""
