"""The suite of snapshots on the real and the simulated disk, worked inline and by a thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.simulation.disk import SimulatedDisk
from node.storage.files import FilePort, OsFiles
from tests.conformance.snapshot_suite import OpenBench, SnapshotSuite
from tests.storage.snapshotting import SnapshotBench


def _port(kind: str, folder: Path) -> FilePort:
    folder.mkdir()
    return OsFiles(folder) if kind == "real" else SimulatedDisk()


@pytest.fixture(params=["real", "simulated"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def files(kind: str, tmp_path: Path) -> FilePort:
    return _port(kind, tmp_path / "one")


@pytest.fixture
def other_files(kind: str, tmp_path: Path) -> FilePort:
    return _port(kind, tmp_path / "two")


@pytest.fixture(params=["inline", "threaded"])
def bench(request: pytest.FixtureRequest) -> Iterator[OpenBench]:
    opened: list[SnapshotBench] = []

    def open_one(files: FilePort) -> SnapshotBench:
        opened.append(SnapshotBench(files, threaded=request.param == "threaded"))
        return opened[-1]

    yield open_one
    for one in opened:
        assert one.fatal == []
        one.snapshots.close()


class TestSnapshots(SnapshotSuite):
    pass
