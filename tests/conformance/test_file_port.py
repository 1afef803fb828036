"""One suite for the file port, run on the real disk and on the simulated one: neither may promise more."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.simulation.disk import SimulatedDisk
from node.storage.files import FilePort, FolderInUse, OsFiles


@pytest.fixture(params=["real", "simulated"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FilePort]:
    port: FilePort = OsFiles(tmp_path) if request.param == "real" else SimulatedDisk()
    yield port
    port.unlock()


def test_a_new_folder_holds_no_names(files: FilePort) -> None:
    assert files.names() == []


def test_a_created_file_has_its_size_and_is_zero(files: FilePort) -> None:
    files.create("a", 1536).close()
    assert files.names() == ["a"]
    assert files.read("a") == bytes(1536)


def test_an_empty_file_can_be_created_and_grows(files: FilePort) -> None:
    file = files.create("a", 0)
    file.pwrite(0, b"one")
    file.pwrite(5, b"two")
    file.sync()
    file.close()
    assert files.read("a") == b"one\0\0two"


def test_creating_a_name_that_is_taken_fails(files: FilePort) -> None:
    files.create("a", 10).close()
    with pytest.raises(FileExistsError):
        files.create("a", 10)


def test_what_is_written_is_read_before_and_after_a_sync(files: FilePort) -> None:
    file = files.create("a", 2048)
    file.pwrite(500, b"across sectors" * 10)
    assert files.read("a")[500:640] == b"across sectors" * 10
    file.sync()
    files.sync_folder()
    file.close()
    assert files.read("a") == bytes(500) + b"across sectors" * 10 + bytes(2048 - 640)


def test_an_opened_file_keeps_what_it_held(files: FilePort) -> None:
    files.create("a", 100).close()
    file = files.open("a")
    file.pwrite(99, b"z")
    file.close()
    assert files.read("a") == bytes(99) + b"z"


def test_a_part_of_a_file_is_read_as_far_as_there_is_one(files: FilePort) -> None:
    file = files.create("a", 0)
    file.pwrite(0, b"0123456789")
    assert (files.size("a"), files.read_range("a", 3, 4)) == (10, b"3456")
    assert (files.read_range("a", 8, 5), files.read_range("a", 10, 5), files.read_range("a", 99, 1)) == (
        b"89",
        b"",
        b"",
    )
    file.pwrite(10, b"a")
    file.close()
    assert (files.size("a"), files.read_range("a", 0, 100)) == (11, b"0123456789a")


def test_a_part_of_a_missing_file_is_an_error(files: FilePort) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_range("nothing", 0, 1)


@pytest.mark.parametrize("call", ["open", "read", "remove", "size"])
def test_a_name_that_does_not_exist_is_an_error(files: FilePort, call: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(files, call)("nothing")


def test_renaming_replaces_and_the_open_file_stays_itself(files: FilePort) -> None:
    files.create("old", 4).close()
    file = files.create("new.tmp", 4)
    files.rename("new.tmp", "old")
    file.pwrite(0, b"mine")
    file.close()
    assert files.names() == ["old"]
    assert files.read("old") == b"mine"


def test_a_removed_name_is_gone(files: FilePort) -> None:
    files.create("a", 4).close()
    files.remove("a")
    files.sync_folder()
    assert files.names() == []


def test_a_closed_file_takes_nothing(files: FilePort) -> None:
    file = files.create("a", 4)
    file.close()
    with pytest.raises(OSError):
        file.pwrite(0, b"late")
    with pytest.raises((OSError, ValueError)):
        file.sync()


def test_a_write_that_the_system_takes_in_parts_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, data[:7], offset))
    file = OsFiles(tmp_path).create("a", 100)
    file.pwrite(3, bytes(range(1, 90)))
    file.close()
    assert OsFiles(tmp_path).read("a") == bytes(3) + bytes(range(1, 90)) + bytes(8)


def test_a_second_lock_is_refused_and_names_the_holder(files: FilePort, tmp_path: Path) -> None:
    second: FilePort = OsFiles(tmp_path) if isinstance(files, OsFiles) else files
    files.lock()
    with pytest.raises(FolderInUse) as refused:
        second.lock()
    assert refused.value.holder.isdigit()
    files.unlock()
    second.lock()
    second.unlock()
