"""The keeper of a rank as a real process, whose node is a stand-in: no MPI is needed for what it does."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from node.supervisor.child import LOG_BYTES_MAX
from node.supervisor.mpi_keeper import PROCESS_FILE, Kept, read_kept

KEEPER = """
import os, sys
from pathlib import Path
from node.supervisor import mpi_keeper
mpi_keeper.BOUND_LOG_SECONDS = 0.05
sys.exit(mpi_keeper.Keeper("rank-0", (sys.executable, "-c", sys.argv[2]), Path(sys.argv[1]), os.environ).run())
"""
RUNS = "import time\nwhile True: time.sleep(1)"
TALKS = f"import sys, time\nsys.stderr.write('x' * {LOG_BYTES_MAX} + 'y\\n')\nsys.stderr.flush()\n{RUNS}"
FAILS = "import sys; sys.stderr.write('a line\\nthe last word\\n'); sys.exit(3)"
SECONDS_MAX = 20.0


def until(what: str, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < ends, f"in vain: {what}"
        time.sleep(0.01)


@contextmanager
def kept(folder: Path, node: str) -> Iterator["subprocess.Popen[str]"]:
    """A keeper; it and its node are gone afterwards."""
    command = [sys.executable, "-c", KEEPER, str(folder), node]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children():
                    child.kill()
                process.kill()


def running(folder: Path) -> Kept:
    until("the node runs", lambda: (found := read_kept(folder)) is not None and found.pid is not None)
    found = read_kept(folder)
    assert found is not None
    return found


def test_a_node_that_is_stopped_is_continued_so_that_it_can_end(tmp_path: Path) -> None:
    with kept(tmp_path, RUNS) as keeper:
        pid = running(tmp_path).pid
        assert pid is not None
        psutil.Process(pid).suspend()
        until("it is stopped", lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        keeper.send_signal(signal.SIGTERM)
        keeper.communicate(timeout=SECONDS_MAX)


def test_a_folder_that_cannot_be_written_ends_no_other_rank(tmp_path: Path) -> None:
    """The keeper stays, for the end of what mpiexec started is the end of the world."""
    (tmp_path / PROCESS_FILE).mkdir()
    with kept(tmp_path, FAILS) as keeper:
        assert keeper.stderr is not None
        said = [keeper.stderr.readline() for _ in range(3)]
        assert f"rank-0: {tmp_path / PROCESS_FILE} cannot be written: Is a directory.\n" in said
        assert "the last word. The others go on without it" in said[-1]
        assert keeper.poll() is None
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(SECONDS_MAX) == 0


@pytest.mark.parametrize("when", ["at the start", "while it runs"])
def test_its_log_has_a_bound(tmp_path: Path, when: str) -> None:
    log, before = tmp_path / "node.log", tmp_path / "node.log.1"
    if when == "at the start":
        log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    with kept(tmp_path, RUNS if when == "at the start" else TALKS):
        running(tmp_path)
        until("the log was moved", lambda: before.exists() and before.stat().st_size > LOG_BYTES_MAX)
        until("it is short", lambda: log.stat().st_size < 100)
