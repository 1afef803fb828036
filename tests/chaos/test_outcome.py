"""What comes of a run when something goes wrong at its very end."""

import asyncio
import errno
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from chaos.checks import judge
from chaos.checks.verdict import Evidence
from chaos.errors import NOT_RECOVERED, PASSED, TOOL_FAILED, UNSAFE, ChaosError
from chaos.evidence import disk
from chaos.evidence import folder as folders
from chaos.evidence.folder import RunFolder
from chaos.report import html
from chaos.run.outcome import record_of, write_down
from tests.chaos.doubles import addresses
from tests.chaos.evidence import S, good, kill


class Disk:
    """It takes so many bytes; a file is replaced by a new one beside it."""

    def __init__(self, room: int) -> None:
        self.room, self.sizes = room, dict[Path, int]()

    def replace(self, path: Path, pieces: Iterable[bytes]) -> None:
        content = b"".join(pieces)
        if sum(self.sizes.values()) + len(content) > self.room:
            raise ChaosError(f"{path} cannot be written: No space left on device; name another folder with --out.")
        self.sizes[path] = len(content)
        path.write_bytes(content)


def end(path: Path, evidence: Evidence, unhealed: bool = False) -> tuple[int, int, str]:
    """The exit code, how many verdicts there are, and what is said."""
    target = addresses(n1="", n2="", n3="")
    target.title, target.kind, target.namespace = "the cluster", "local", ""
    record = record_of(
        evidence,
        target,
        run="r",
        command_line="raft-chaos",
        seed=1,
        began_wall_us=1,
        interrupted=False,
        notes=(),
    )
    files = disk.Disk()
    try:
        record, said = asyncio.run(write_down(files, RunFolder(path, "kill", 1), record, evidence, None, unhealed))
    finally:
        files.end()
    return record.exit_code, len(record.verdicts), said


RUN = good(faults=(kill(),), recovered_us=(6 * S,))
LOST = good(faults=(kill(),), recovered_us=(6 * S,), final={"chaos/t/w1": 3})


def test_a_good_run_is_written_and_passes(tmp_path: Path) -> None:
    code, verdicts, said = end(tmp_path, RUN)
    assert (code, said) == (PASSED, "")
    assert verdicts > 5


@pytest.mark.parametrize(
    ("evidence", "unhealed", "code"),
    [(RUN, False, TOOL_FAILED), (LOST, False, UNSAFE), (RUN, True, NOT_RECOVERED)],
)
def test_a_full_disk_hides_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, unhealed: bool, code: int
) -> None:
    def full(path: Path, _: Iterable[bytes]) -> None:
        raise ChaosError(f"{path} cannot be written: No space left on device; name another folder with --out.")

    monkeypatch.setattr(folders, "replace", full)
    got, verdicts, said = end(tmp_path, evidence, unhealed)
    assert got == code
    assert verdicts > 5
    assert "No space left on device" in said


def test_on_a_disk_that_gets_full_the_record_is_written_before_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "room" / "run.json"
    end(record.parent, RUN)
    (made,) = record.parent.glob("*-kill/run.json")
    monkeypatch.setattr(folders, "replace", Disk(2 * made.stat().st_size).replace)
    code, _, said = end(tmp_path / "full", RUN)
    assert code == TOOL_FAILED
    assert "No space left on device" in said
    (kept,) = (tmp_path / "full").glob("*-kill/run.json")
    assert json.loads(kept.read_bytes())["exit_code"] == TOOL_FAILED


def test_a_tool_that_is_killed_while_it_judges_leaves_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "judge", killed)
    with pytest.raises(KeyboardInterrupt):
        end(tmp_path, RUN)
    (folder,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    assert {"run.json", "history.ndjson", "evidence.json"} <= {path.name for path in folder.iterdir()}


def test_the_folder_says_the_same_exit_code_as_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr(html, "render", breaks)
    code, _, said = end(tmp_path, RUN)
    (kept,) = tmp_path.glob("*-kill/run.json")
    assert json.loads(kept.read_bytes())["exit_code"] == code == TOOL_FAILED
    assert "The report could not be written: RuntimeError: a bug" in said


def test_a_file_that_could_not_be_written_leaves_its_room_to_others(tmp_path: Path) -> None:
    def half() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ChaosError, match="No space left"):
        folders.replace(tmp_path / "history.ndjson", half())
    assert list(tmp_path.iterdir()) == []
