"""The cures that commands print which make folders, followed likewise; `test_cures.py` asks whether all are."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node import cures
from node.storage import snapshot_format
from tests.cli.conftest import Ran, raft_node
from tests.cli.folders import backup_file, folder_of, opened, puts

FOLLOWED = ("EMPTY_FOLDER", "MAKE_AGAIN", "OTHER_BACKUP", "LATER_RELEASE", "FINISH_FORCE_NEW")


def restore(file: Path, folder: Path) -> Ran:
    words = ("--name", "n1", "--members", "n1=h1:9001")
    return raft_node("restore", str(file), "--data-dir", str(folder), *words)


def said(ran: Ran, cure: str) -> None:
    assert ran.code == 3
    assert ran.err.endswith(f": {cure}.\n")


def test_another_folder_takes_what_one_that_is_not_empty_did_not(tmp_path: Path) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    said(restore(file, tmp_path / "full"), cures.EMPTY_FOLDER)
    assert restore(file, tmp_path / "empty").code == 0
    assert restore(file, tmp_path / "not-there").code == 0


def test_once_the_disk_is_mended_and_the_folder_empty_the_same_command_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9))
    for call in ("pwrite", "rename", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, _failing_after(getattr(os, call), 1))
            said(restore(file, tmp_path / "n1"), cures.MAKE_AGAIN)
        shutil.rmtree(tmp_path / "n1")
        assert restore(file, tmp_path / "n1").code == 0
        shutil.rmtree(tmp_path / "n1")


def _failing_after(real: Callable[..., object], times: int) -> Callable[..., object]:
    """The first calls make the lock."""
    left = times

    def call(*arguments: object) -> object:
        nonlocal left
        if not left:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left -= 1
        return real(*arguments)

    return call


def test_another_backup_is_restored_where_one_is_damaged(tmp_path: Path) -> None:
    bad, good = backup_file(tmp_path / "bad.snap", *puts(9)), backup_file(tmp_path / "good.snap", *puts(9))
    bad.write_bytes(bad.read_bytes()[:-1])
    said(restore(bad, tmp_path / "n1"), cures.OTHER_BACKUP)
    assert restore(good, tmp_path / "n1").code == 0


def test_the_release_that_wrote_a_backup_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(snapshot_format, "SNAPSHOT_VERSION", snapshot_format.SNAPSHOT_VERSION + 1)
        file = backup_file(tmp_path / "b.snap", *puts(9))
        assert restore(file, tmp_path / "n1").code == 0
    said(restore(file, tmp_path / "n2"), cures.LATER_RELEASE)


def test_a_force_new_that_was_broken_off_is_finished_by_the_same_command_and_the_node_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9))
    command = ("members", "force-new", "--survivor", "n1", "--data-dir", str(folder), "--yes")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", _failing_after(os.rmdir, 0))
        assert raft_node(*command).code == 3
    words = ("--name", "n1", "--seeds", "n1=127.0.0.1:9001", "--data-dir", str(folder), "--port", "0")
    assert _start(*words).endswith(cures.FINISH_FORCE_NEW)
    assert raft_node(*command).code == 0
    assert opened(folder, "n1").store.revision == 9


def _start(*words: str) -> str:
    """What a node says that does not start."""
    started = subprocess.run(
        [sys.executable, "-m", "node.cli", "serve", *words], capture_output=True, text=True, timeout=60
    )
    assert started.returncode == 3
    return started.stderr.strip().splitlines()[-1]
