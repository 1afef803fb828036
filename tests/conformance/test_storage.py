"""The storage suite on the real and the simulated disk, written inline, by a worker thread, and adaptively."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.runtime.ports import Storage
from node.simulation.disk import SimulatedDisk
from node.storage.files import FilePort, OsFiles
from tests.conformance.storage_suite import OpenLog, StorageSuite
from tests.storage.logs import Log


@pytest.fixture(params=["real", "simulated"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FilePort:
    return OsFiles(tmp_path) if request.param == "real" else SimulatedDisk()


@pytest.fixture(params=["inline", "threaded", "adaptive"])
def open_log(request: pytest.FixtureRequest, files: FilePort) -> Iterator[OpenLog]:
    opened: list[Log] = []
    clock = (lambda: 0.0) if request.param == "adaptive" else None

    def open_one(**options: Any) -> Log:
        log = Log(files, threaded=request.param != "inline", clock=clock, segment_bytes=2048, **options)
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        log.close()


class TestWal(StorageSuite):
    def test_it_is_the_storage_that_the_runtime_asks_for(self, open_log: OpenLog) -> None:
        storage: Storage = open_log().wal
        assert callable(storage.submit)
        assert callable(storage.flush)
