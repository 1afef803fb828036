"""What earlier runs left is taken back as far as it can be seen, and what cannot be seen is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaos import healing, journal
from chaos.cli import mending
from chaos.cli.options import Common
from chaos.errors import PASSED, ChaosError, NotRecovered, Refused
from chaos.healing import Healed
from chaos.journal import Header, UndoJournal
from chaos.targets.port import Target, UndoStep
from tests.chaos.runs import STEP, Cluster

START = UndoStep("start", {"node": "n3"})
LOST = ChaosError("n2 runs and does not answer.")


class Murky(Cluster):
    """It can be looked at so often."""

    looks = 0

    async def leftovers(self) -> Sequence[UndoStep]:
        self.looks -= 1
        if self.looks < 0:
            raise LOST
        return await super().leftovers()


def left_by_a_run(runs: Path, *steps: UndoStep, run: str = "r1") -> Path:
    folder = runs / run
    folder.mkdir(parents=True)
    one = UndoJournal(folder / "undo.json", Header(run=run, target=Cluster.title, kind=Cluster.kind))
    for step in steps:
        one.will_do(step)
    one.close()
    return folder / "undo.json"


async def healed(cluster: Cluster, runs: Path, everything: bool = True) -> Healed:
    target = cast(Target, cluster)
    return await healing.heal(target, await healing.find(target, runs, ""), everything, print)


async def test_what_was_announced_last_is_taken_back_first_and_noted(tmp_path: Path) -> None:
    path, cluster = left_by_a_run(tmp_path, START, STEP), Cluster()
    assert (await healed(cluster, tmp_path)).failed == ()
    assert cluster.undone == [STEP, START]
    assert journal.read(path).open_steps == ()


async def test_a_journal_heals_though_the_cluster_cannot_be_looked_at_and_that_is_no_good_end(tmp_path: Path) -> None:
    left_by_a_run(tmp_path, START)
    cluster = Murky()
    done = await healed(cluster, tmp_path)
    assert cluster.undone == [START]
    assert "could not be looked at: n2 runs and does not answer" in done.notes[0]
    with pytest.raises(NotRecovered, match="Could not see whether anything is left: n2 runs and does not answer"):
        healing.raise_unless_healed(done, "raft-chaos heal")


async def test_without_journals_a_cluster_that_cannot_be_looked_at_is_not_called_healed(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="n2 runs and does not answer"):
        await healed(Murky(), tmp_path)


async def test_a_step_that_fails_does_not_keep_the_others_from_being_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "PAUSE_SECONDS", 0.0)
    path = left_by_a_run(tmp_path, START, UndoStep("sorcery", {}), STEP)
    cluster = Cluster()
    real = cluster.undo

    async def undo(step: UndoStep) -> str:
        if step.do == "sorcery":
            raise KeyError("name")
        return await real(step)

    cluster.undo = undo  # type: ignore[method-assign]
    done = await healed(cluster, tmp_path)
    assert cluster.undone == [STEP, START]
    assert done.failed == ("Could not sorcery: 'name'",)
    assert [step.do for step in journal.read(path).open_steps] == ["sorcery"]


@pytest.mark.parametrize("why", ["TLS", "a file of the environment"])
async def test_what_was_done_is_taken_back_though_no_node_can_be_asked_who_it_is(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself, in a shell that has not what nodes ask for: nothing of it is needed for healing."""

    async def refuses(*_: object) -> object:
        raise Refused("raft-0 does not take what this tool shows: set RAFT_CERT and RAFT_KEY.")

    if why == "TLS":
        monkeypatch.setattr(mending, "look", refuses)
    else:
        monkeypatch.setenv("RAFT_CACERT", str(tmp_path / "nowhere"))
    path, cluster = left_by_a_run(tmp_path, START, STEP), Cluster()
    given: dict[str, Any] = dict.fromkeys(Common.__struct_fields__)
    given |= {"target": "auto", "system": "auto", "out": tmp_path, "dry_run": False, "as_json": False}
    common = Common(**given)
    assert await mending._do_heal(common, cast(Target, cluster), True) == PASSED
    assert cluster.undone == [STEP, START]
    assert journal.read(path).open_steps == ()
    assert "Healed: took back" in capsys.readouterr().out
