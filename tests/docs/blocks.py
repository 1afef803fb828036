"""The code blocks of the pages that people follow, and the commands in them. Reads only."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "deploy/helm/README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`((?:raft-node|raft-chaos|make) [^`\n]+)`")


class Block(NamedTuple):
    """One between fences."""

    page: str
    number: int
    language: str
    text: str

    @property
    def title(self) -> str:
        """Its first line: what it is called in lists."""
        return self.text.splitlines()[0].partition(" #")[0].strip()

    def commands(self) -> list[str]:
        """Its lines without comments, continued ones joined."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(?:^|\s+)#\s.*", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks(page: str) -> list[Block]:
    found = enumerate(_BLOCK.findall((ROOT / page).read_text()), start=1)
    return [Block(page, number, language, text) for number, (language, text) in found]


def spans(page: str) -> list[str]:
    """Commands in the middle of prose."""
    prose = _BLOCK.sub("", (ROOT / page).read_text())
    return _SPAN.findall(prose)


def words(command: str) -> list[str]:
    """As a shell splits them, up to where another command begins."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    taken: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        taken.append(word)
    return taken
