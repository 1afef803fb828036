"""The data folder: one process at a time, and one clear sentence for everything that keeps a log from opening."""

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.files import OsFiles, prepare_folder
from tests.storage.logs import Log, append, birth, command

HOLDER = """
import sys
from node.storage.files import OsFiles
from node.storage.wal import open_wal
wal, recovered = open_wal(OsFiles(sys.argv[1]), "node-1", "a" * 32, print)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StorageError) as refused:
            Log(OsFiles(tmp_path))
        assert str(refused.value) == (
            f"{tmp_path} is in use by process {holder.pid}: stop that process, or choose another data folder"
        )
        holder.kill()
        holder.wait()
    log = Log(OsFiles(tmp_path))  # the lock goes with the process, however it ended
    log.close()


def test_a_refused_start_gives_the_lock_back(tmp_path: Path) -> None:
    log = Log(OsFiles(tmp_path))
    log.close()
    with pytest.raises(StorageError, match="belongs to node"):
        Log(OsFiles(tmp_path), name="another")
    Log(OsFiles(tmp_path)).close()


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    with pytest.raises(StorageError) as refused:
        Log(OsFiles(folder))
    assert str(refused.value) == (
        f"cannot use the data folder {folder} (No such file or directory): "
        "create the folder that it is to lie in, or choose another with --data-dir"
    )


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(StorageError, match=r"Not a directory.*choose a folder"):
        Log(OsFiles(file))
    with pytest.raises(StorageError, match="is not a folder: choose a folder"):
        prepare_folder(file)
    assert file.read_text() == "not a folder"


def test_a_folder_is_prepared_once_and_its_parent_must_exist(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "data")
    prepare_folder(tmp_path / "data")
    assert (tmp_path / "data").is_dir()
    with pytest.raises(StorageError, match=r"cannot make the data folder .* \(No such file"):
        prepare_folder(tmp_path / "a" / "b")


def test_a_file_size_limit_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match=r"File too large.*raise the limit on file sizes"):
            Log(OsFiles(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_file_size_limit_met_while_writing_is_fatal(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = Log(OsFiles(tmp_path), segment_bytes=4096)
    log.write(birth())
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        log.write(append(2, command(2, 1, bytes(5000))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.done == [1]
    assert "File too large" in str(log.fatal[0])
    log.close()
    log = Log(OsFiles(tmp_path), segment_bytes=4096)
    assert len(log.recovered.entries) == 1
    log.write(append(2, command(2)))
    log.close()


def test_the_longest_name_fits_and_a_longer_one_is_one_sentence() -> None:
    longest = "n" * 253
    disk = SimulatedDisk()
    log = Log(disk, name=longest, incarnation="i" * 64, segment_bytes=4096)
    log.write(birth())
    log.close()
    assert Log(disk, name=longest).recovered.cluster_id
    with pytest.raises(StorageError, match="is longer than 253 bytes: choose a shorter one"):
        Log(SimulatedDisk(), name=longest + "n")


@pytest.mark.parametrize("born", [False, True])
def test_a_read_only_disk_is_one_sentence_and_nothing_changes(born: bool) -> None:
    disk = SimulatedDisk()
    if born:
        log = Log(disk, segment_bytes=4096)
        log.write(birth())
        log.close()
    before = disk.content()
    disk.make_read_only()
    with pytest.raises(StorageError) as refused:
        Log(disk)
    assert str(refused.value) == (
        "cannot use the data folder disk (Read-only file system): "
        "make its file system writable, then start the node again"
    )
    assert disk.content() == before


@pytest.mark.parametrize("operation", ["create", "pwrite", "sync", "rename", "sync_folder", "names"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_disk_that_fails_at_any_step_of_the_first_start_is_one_sentence(operation: str, code: int) -> None:
    disk = SimulatedDisk()
    disk.fail(operation, code)
    with pytest.raises(StorageError) as refused:
        Log(disk)
    assert str(refused.value).count(":") == 1
    assert "\n" not in str(refused.value)
    disk.heal()
    log = Log(disk)
    log.write(birth())
    log.close()


@pytest.mark.parametrize("operation", ["names", "read", "open", "pwrite", "sync", "sync_folder"])
def test_a_disk_that_fails_at_any_step_of_a_later_start_is_one_sentence(operation: str) -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=4096)
    log.write(birth())
    log.close()
    disk.fail(operation, errno.EIO)
    with pytest.raises(StorageError, match=r"Input/output error\): check the disk"):
        Log(disk)
    disk.heal()
    Log(disk).close()
