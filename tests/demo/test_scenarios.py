"""Every scenario, by the real command with real processes: as predicted, in the order promised, nothing left behind."""

import os
from itertools import pairwise

import pytest

from node.scenarios.catalogue import SCENARIOS
from node.scenarios.ranks import there_is_mpi
from tests.demo.conftest import Played, Stage
from tests.mpi import mpiexec

SLOWEST = pytest.mark.slowest
ONE_OF_EACH_KIND = (
    "leader-failure",
    pytest.param("split-vote", marks=SLOWEST),
    pytest.param("log-divergence", marks=SLOWEST),
    pytest.param("registry-loss", marks=SLOWEST),
    pytest.param("rank-death", marks=SLOWEST),
)
"""A kill, an election, a partition; all scenarios there are, in one go, in `make test-long`."""


@pytest.mark.slowest
@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_it_goes_as_predicted(stage: Stage, name: str) -> None:
    if name == "rank-death":
        mpiexec()
    played = stage.play(name)
    assert played.code == 0, (played.texts("not-as-predicted"), played.lines, played.err)
    verdict = played.of("verdict")[-1]
    assert verdict["verdict"] == "as predicted"
    assert verdict["scenario"] == name
    _every_prediction_comes_before_what_was_seen(played)
    assert verdict["held"] == len(played.of("seen")) > 1
    assert stage.left == [], "the nodes' folders are thrown away"
    assert stage.processes() == []
    _SHOWN.get(name, lambda _: None)(played)


def _every_prediction_comes_before_what_was_seen(played: Played) -> None:
    """What was predicted of a tie that did not come about is withdrawn, said, and predicted of the next try."""
    told = [line["kind"] for line in played.lines if line["kind"] in ("predicted", "seen")]
    kept = [kind for kind, after in pairwise([*told, ""]) if (kind, after) != ("predicted", "predicted")]
    assert kept == ["predicted", "seen"] * (len(kept) // 2)
    assert len(told) - len(kept) == played.texts("fact").count("so this is no tie (try ")


def _a_tie(played: Played) -> None:
    seen = played.of("seen")[0]["text"]
    assert seen.count("has 2 votes") == 2
    assert "nobody won" in seen
    assert "across the cut nobody has heard anybody" in played.texts("fact")


def _two_logs(played: Played) -> None:
    table = played.of("table")[0]
    differ = [row for row, marked in zip(table["rows"], table["marked"], strict=True) if marked]
    assert len(differ) == 3
    assert all(row[3] != row[6] for row in differ), "the checksums"
    assert "removes its 3 entries" in str(played.of("timeline")[-1]["rows"])


def _a_failover(played: Played) -> None:
    rows = [words for _, words in played.of("timeline")[0]["rows"]]
    assert any("wins term" in words for words in rows)


_SHOWN = {"split-vote": _a_tie, "log-divergence": _two_logs, "leader-failure": _a_failover}


@pytest.mark.longest
@pytest.mark.timeout(300)
def test_all_of_them_one_after_the_other_for_people(stage: Stage) -> None:
    process = stage.start("--all")
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, out + err
    possible = len(SCENARIOS) if there_is_mpi(os.environ) else len(SCENARIOS) - 1
    assert out.count("AS PREDICTED") == possible
    assert f"{possible} of {possible} scenarios went as predicted." in out
    assert ("Not played, for there is no MPI here" in err) == (possible < len(SCENARIOS))
    assert all(len(line) <= 100 for line in out.splitlines())
    assert stage.left == []
    assert stage.processes() == []
