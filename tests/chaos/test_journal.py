"""The undo journal: on the disk before the act, readable after kill -9, closed to others while its run goes on."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaos import journal
from chaos.errors import ChaosError
from chaos.journal import Header, UndoJournal
from chaos.targets.port import UndoStep

HEADER = Header(run="partition-1", target="the local cluster in ./raft-data", kind="local", cluster_id="c1")
FIRST, SECOND = UndoStep("heal_link", {"node": "n1", "peer": "n2"}), UndoStep("start", {"node": "n3"})


def test_what_was_announced_and_not_taken_back_is_open(tmp_path: Path) -> None:
    one = UndoJournal(tmp_path / "undo.json", HEADER)
    one.will_do(FIRST)
    one.will_do(SECOND)
    one.will_do(FIRST)
    one.undone(FIRST)
    assert one.open_steps == (SECOND,)
    one.close()
    kept = journal.read(tmp_path / "undo.json")
    assert (kept.header, kept.open_steps) == (HEADER, (SECOND,))


def test_the_step_is_synced_before_will_do_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    one = UndoJournal(tmp_path / "undo.json", HEADER)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((tmp_path / "undo.json").read_bytes())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    one.will_do(FIRST)
    one.close()
    assert b'"will_do"' in synced[0]
    assert b"n2" in synced[0]


def test_the_folder_is_synced_too_or_the_journal_could_be_gone_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    UndoJournal(tmp_path / "undo.json", HEADER).close()
    assert synced == [str(tmp_path / "undo.json"), str(tmp_path)]


def test_only_what_was_taken_back_is_closed(tmp_path: Path) -> None:
    other = UndoStep("heal_link", {"node": "n2", "peer": "n1"})
    one = UndoJournal(tmp_path / "undo.json", HEADER)
    for step in (FIRST, other):
        one.will_do(step)
    one.undone(FIRST)
    assert one.open_steps == journal.read(tmp_path / "undo.json").open_steps == (other,)
    one.close()


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_torn_last_line_stands_for_an_act_that_was_not_done(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "undo.json"
    one = UndoJournal(path, HEADER)
    one.will_do(FIRST)
    one.will_do(SECOND)
    one.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert journal.read(path).open_steps == ((FIRST,) if cut > 1 else (FIRST, SECOND))


def test_what_is_noted_after_a_torn_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "undo.json"
    one = UndoJournal(path, HEADER)
    one.will_do(FIRST)
    one.will_do(SECOND)
    one.close()
    path.write_bytes(path.read_bytes()[:-5])
    again = UndoJournal.reopen(path)
    assert again is not None
    again.undone(FIRST)
    again.close()
    assert journal.read(path).open_steps == ()


def journal_of(path: Path, *steps: UndoStep) -> Path:
    path.parent.mkdir(exist_ok=True)
    one = UndoJournal(path, HEADER)
    for step in steps:
        one.will_do(step)
    one.close()
    return path


@pytest.mark.parametrize("cut", [1, 5])
def test_a_torn_line_does_no_harm_to_those_that_are_reopened_twice(tmp_path: Path, cut: int) -> None:
    path = journal_of(tmp_path / "undo.json", FIRST, SECOND)
    path.write_bytes(path.read_bytes()[:-cut])
    for _ in range(2):
        again = UndoJournal.reopen(path)
        assert again is not None
        again.close()
    assert journal.read(path).open_steps == ((FIRST, SECOND) if cut == 1 else (FIRST,))
    assert journal.read(path).damaged == ()


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\n", b'{"will_do": {"do": "star\n', b"[1, 2]\n"])
def test_a_damaged_line_in_the_midst_is_told_and_the_others_count(tmp_path: Path, garbage: bytes) -> None:
    path = journal_of(tmp_path / "one" / "undo.json", FIRST, SECOND)
    first, second, rest = path.read_bytes().split(b"\n", 2)
    path.write_bytes(first + b"\n" + garbage + rest)
    (kept,), (trouble,) = journal.find(tmp_path, "undo.json")
    assert kept.open_steps == (SECOND,)
    assert trouble.startswith(f"{path} is damaged (line 2)")
    assert "heal --all" in trouble
    assert second


def test_a_journal_that_may_only_be_read_is_healed_by_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, or on a disk that went read-only."""
    path, real = journal_of(tmp_path / "undo.json", FIRST), os.open

    def read_only(where: Path, flags: int, *rest: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(where, flags, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", read_only)
        again = UndoJournal.reopen(path)
        assert again is not None
        assert UndoJournal.reopen(path) is None  # it is locked as any other
        again.undone(FIRST)
        assert again.open_steps == ()
        again.close()
    assert journal.read(path).open_steps == (FIRST,)


def test_a_disk_that_takes_half_a_line_refuses_the_act_and_the_next_step_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "undo.json", os.write
    one = UndoJournal(path, HEADER)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, line: real(descriptor, line[: len(line) // 2]))
        with pytest.raises(ChaosError, match="No space left"):
            one.will_do(FIRST)
    one.will_do(SECOND)
    one.close()
    assert journal.read(path).open_steps == (SECOND,)


def test_a_full_disk_ends_no_healing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "undo.json"
    one = UndoJournal(path, HEADER)
    one.will_do(FIRST)
    one.close()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        again = UndoJournal.reopen(path)
        assert again is not None
        again.undone(FIRST)
        assert again.open_steps == ()
        again.close()
    assert journal.read(path).open_steps == (FIRST,)


def test_a_journal_cannot_be_reopened_while_its_run_goes_on_and_can_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "undo.json"
    program = (
        "import sys, pathlib\n"
        "from chaos.journal import Header, UndoJournal\n"
        "from chaos.targets.port import UndoStep\n"
        "one = UndoJournal(pathlib.Path(sys.argv[1]), Header(run='r', target='t', kind='local'))\n"
        "one.will_do(UndoStep('start', {'node': 'n3'}))\n"
        "print('announced', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert UndoJournal.reopen(path) is None
        process.send_signal(signal.SIGKILL)
    again = UndoJournal.reopen(path)
    assert again is not None
    assert again.open_steps == (SECOND,)
    again.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match=r"gone/undo\.json cannot be written .* nothing was done: name another"):
        UndoJournal(tmp_path / "gone" / "undo.json", HEADER)


def test_journals_are_found_once_and_trouble_is_told(tmp_path: Path) -> None:
    for name, steps in (("20260101-a", [FIRST]), ("20260102-b", []), ("20260103-c", [SECOND])):
        (tmp_path / name).mkdir()
        one = UndoJournal(tmp_path / name / "undo.json", HEADER)
        for step in steps:
            one.will_do(step)
        one.close()
    (tmp_path / "latest").symlink_to("20260103-c", target_is_directory=True)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "undo.json").write_text(json.dumps({"format": "something else"}) + "\n")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "undo.json").write_text('{"format": "raft-chaos un')
    found, troubles = journal.find(tmp_path, "undo.json")
    assert [kept.open_steps for kept in found] == [(FIRST,), (), (SECOND,)]
    assert len(troubles) == 1
    assert "foreign" in troubles[0]
    assert journal.find(tmp_path / "nowhere", "undo.json") == ([], [])
