"""docs/adding.md is followed: its files exist, and each example stands in the files of its recipe and nowhere else.

Whoever makes a new place necessary sees this fail, and either makes it from a table or names it on the page.
"""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.generated.pieces import PIECES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding.md"
NOT_SEARCHED = ("tests/", "docs/images/", "docs/adding.md", "docs/kubernetes-on-raft.md", "CHANGELOG.md")
"""The pages of these tell a story: nobody adds to them."""

_PATH = re.compile(r"`((?:node|chaos|tests|docs|deploy)/[\w/.-]+|README\.md)`")
_FOLLOWED = re.compile(r"^\*Followed:\* `([^`]+)` stands in ([^;\n]+)(?:; made: ([^\n]+))?\.$", re.MULTILINE)


class Followed(NamedTuple):
    """An example, where it is written by hand and where by `make generated`; `recipe`: the section above it."""

    example: str
    by_hand: set[str]
    made: set[str]
    recipe: str


def followed() -> list[Followed]:
    found = []
    for section in PAGE.read_text().split("\n## "):
        recipe = section.split("*Followed:*", 1)[0]
        for example, by_hand, made in _FOLLOWED.findall(section):
            found.append(Followed(example, set(_PATH.findall(by_hand)), set(_PATH.findall(made)), recipe))
    return found


def spelled(example: str, flag: bool = True) -> re.Pattern[str]:
    """`TimeoutNow`, `timeout_now` and `timeout-now` are one thing; a longer word that holds it is another.

    `flag` False: `--some-setting` is prose and does not count. A counter ends with `_total` where Prometheus shows it.
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", example)
    forms = {example}
    if len(words) > 1 and "/" not in example:
        forms |= {"".join(word.capitalize() for word in words), "-".join(words).lower(), "_".join(words).lower()}
    before = "" if flag else "(?<!--)"
    return re.compile(rf"{before}(?:{'|'.join(map(re.escape, sorted(forms)))})(?:_total)?(?!\w)")


@cache
def texts() -> dict[str, str]:
    """Every file that people write, without the pieces that are made from tables."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    found = {}
    for name in listed.stdout.decode().splitlines():
        if name.startswith(NOT_SEARCHED) or not (ROOT / name).is_file():
            continue
        text = (ROOT / name).read_text(errors="replace")
        for piece in PIECES:
            if piece.path.as_posix() == name:
                text = text.replace(piece.written(), "")
        found[name] = text
    return found


@pytest.mark.parametrize("one", followed(), ids=lambda one: one.example)
def test_an_example_stands_in_the_files_of_its_recipe_and_nowhere_else(one: Followed) -> None:
    form, written = spelled(one.example), spelled(one.example, flag=False)
    assert {name for name, text in texts().items() if written.search(text)} == one.by_hand
    assert {piece.path.as_posix() for piece in PIECES if form.search(piece.written())} == one.made


@pytest.mark.parametrize("one", followed(), ids=lambda one: one.example)
def test_a_recipe_names_every_file_of_its_example(one: Followed) -> None:
    assert one.by_hand - set(_PATH.findall(one.recipe)) == set()


def test_every_kind_of_addition_is_followed_at_least_once() -> None:
    sections = [section for section in PAGE.read_text().split("\n## ")[1:] if section.startswith("A ")]
    assert len(sections) >= 10
    assert [section.split("\n")[0] for section in sections if not _FOLLOWED.search(section)] == []


def test_every_file_that_the_page_names_exists() -> None:
    named = _PATH.findall(PAGE.read_text())
    assert len(named) > 100
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_name_that_the_page_puts_beside_a_file_is_in_that_file() -> None:
    pairs = re.findall(r"`(\w+)` (?:\(|in )`((?:node|chaos)/[\w/]+\.py)`", PAGE.read_text())
    assert len(pairs) > 8
    assert [pair for pair in pairs if not re.search(rf"\b{pair[0]}\b", (ROOT / pair[1]).read_text())] == []


def test_a_spelling_is_found_in_code_and_on_the_wire_and_not_inside_longer_words() -> None:
    form = spelled("TimeoutNow")
    assert all(form.search(text) for text in ("class TimeoutNow(", "on_timeout_now(", '"timeout-now"'))
    assert not any(form.search(text) for text in ("TimeoutNowadays", "timeout now", "timeout"))
