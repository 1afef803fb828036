"""A failing world is told by as few faults as it takes, and the command that is printed shows just that."""

from collections.abc import Sequence

import msgspec
import pytest

from node.cli import main
from node.simulation.playing import Played, play
from node.simulation.shrinking import shrink
from tests.simulation import test_planted_bugs as plants
from tests.simulation.batch import short_story


@pytest.fixture(scope="module")
def quiet() -> Played:
    """A world without faults and orders."""
    return play("world", 2, None, tuple(f"{letter}{number}" for letter in "fo" for number in range(1, 100)))


def failing(quiet: Played, acts: int) -> tuple[Played, list[tuple[str, ...]]]:
    """A world that failed after so many acts, and what was tried."""
    tried: list[tuple[str, ...]] = []
    story = tuple(f"f{number} kill, at {number}.000 s" for number in range(1, acts + 1))
    return msgspec.structs.replace(quiet, violation="planted", story=story), tried


@pytest.mark.parametrize("needed", [{"f3"}, {"f1", "f16"}, {"f5", "f6", "f11"}, set()])
def test_what_is_not_needed_is_left_out(quiet: Played, needed: set[str]) -> None:
    failed, tried = failing(quiet, 16)

    def again(_kind: str, _seed: int, _keep: None, without: Sequence[str]) -> Played:
        tried.append(tuple(without))
        story = tuple(line for line in failed.story if line.split()[0] not in without)
        happens = needed <= {line.split()[0] for line in story}
        return msgspec.structs.replace(failed, story=story, violation="planted" if happens else "")

    shrunk = shrink(failed, 60, again)
    assert {line.split()[0] for line in shrunk.played.story} == needed
    assert set(shrunk.without) == {line.split()[0] for line in failed.story} - needed
    assert len(tried) <= 60


def test_no_more_is_tried_than_is_allowed(quiet: Played) -> None:
    failed, tried = failing(quiet, 64)

    def again(_kind: str, _seed: int, _keep: None, without: Sequence[str]) -> Played:
        tried.append(tuple(without))
        return msgspec.structs.replace(failed, violation="")

    assert shrink(failed, 9, again).played == failed
    assert len(tried) == 9


def test_a_world_without_faults_and_orders_is_a_calm_one_and_equal_to_itself(quiet: Played) -> None:
    assert quiet.story == ()
    assert quiet.faults == {}
    assert not quiet.violation


def test_a_real_failure_becomes_a_short_story_and_its_command_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plants.win_with_fewer_than_a_majority(monkeypatch)
    failed = next(played for seed in range(1, 50) if (played := play("world", seed)).violation and played.story)
    told = short_story(failed, tries=12)
    *story, violation, command = told.splitlines()
    assert len(story) <= len(failed.story)
    words = command.split()[1:]
    assert words[0] == "simulate"
    assert main(words[: words.index("--trace")]) == 1
    assert violation.split("then: ")[1] in capsys.readouterr().out
