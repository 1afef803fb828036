"""Every golden file tells what happens, to the letter. `pytest --rewrite` records them anew: then read the diff."""

from pathlib import Path

import pytest

from tests.scenarios.script import perform

HERE = Path(__file__).parent
SCENARIOS = sorted(path.stem for path in HERE.glob("*.txt"))


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, request: pytest.FixtureRequest) -> None:
    golden = HERE / f"{name}.txt"
    expected = golden.read_text()
    happened = perform(expected)
    if request.config.getoption("--rewrite"):
        golden.write_text(happened)
    else:
        assert happened == expected, f"{golden.name} tells another story; if the new one is right: pytest --rewrite"


def test_a_changed_story_is_noticed() -> None:
    """The comparison is of every line that happened."""
    text = (HERE / "plain_election.txt").read_text()
    assert perform(text.replace("granted", "refused")) == text
    other = text.replace("nodes a=150", "nodes a=160")
    assert perform(other) != other
