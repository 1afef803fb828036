"""docs/pitfalls.md, the code that names its numbers, and the tests that hold each rule say the same."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pitfalls.md"
NOT_BUILT: set[int] = set()
"""What is still to come: whoever builds it takes its number out here and tests it."""

_NAMED_IN_CODE = re.compile(r"pitfalls? ((?:\d+(?:, | and | to )?)+)")
_NAMED_BY_TEST = re.compile(r"def test_pitfall_(\d\d(?:_and_\d\d)*)_")


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def numbers_tested() -> dict[int, list[str]]:
    """Pitfall to the files whose tests carry its number."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sources("tests"):
        name = path.relative_to(ROOT).as_posix()
        for numbers in _NAMED_BY_TEST.findall(path.read_text()):
            for number in map(int, numbers.split("_and_")):
                if name not in found[number]:
                    found[number].append(name)
    return found


def table_of_tests() -> str:
    rows = [f"| {number} | {', '.join(f'`{name}`' for name in names)} |" for number, names in numbers_tested().items()]
    return "\n".join(sorted(rows, key=lambda row: int(row.split("|")[1])))


def test_every_number_stands_once_on_the_page_in_order_with_a_place_to_link_to() -> None:
    assert re.findall(r'<a id="pitfall-(\d+)"></a>\*\*(\d+)\.', PAGE.read_text()) == [
        (str(number), str(number)) for number in range(1, 37)
    ]


def test_every_number_that_the_code_names_is_on_the_page() -> None:
    named = {
        int(number)
        for path in sources("node", "tests")
        for numbers in _NAMED_IN_CODE.findall(path.read_text())
        for number in re.findall(r"\d+", numbers)
    }
    assert {1, 7, 36} <= named <= set(range(1, 37))


def test_every_pitfall_that_can_be_met_has_a_test_of_its_own() -> None:
    assert set(range(1, 37)) - set(numbers_tested()) == NOT_BUILT


def test_the_page_lists_the_tests_that_there_are(pytestconfig: pytest.Config) -> None:
    begin, end = "<!-- tests -->\n", "\n<!-- /tests -->"
    text = PAGE.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    table = f"| pitfall | tests |\n|---|---|\n{table_of_tests()}"
    if pytestconfig.getoption("--rewrite"):
        PAGE.write_text(before + table + after)
    assert PAGE.read_text() == before + table + after
