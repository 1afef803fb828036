"""The carrier over MPI keeps the promises of the carrier port, in a real mpiexec: see mpi_ranks.py."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.carrier_suite import CarrierSuite
from tests.conformance.mpi_ranks import VERDICT
from tests.mpi import mpiexec

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 110


@pytest.mark.slowest
def test_the_whole_suite_passes_between_three_ranks(tmp_path: Path) -> None:
    shared = set(Path("/dev/shm").glob("mpich_*"))
    ran = subprocess.run(
        [mpiexec(), "-n", "3", sys.executable, "-m", "tests.conformance.mpi_ranks", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    verdict = tmp_path / VERDICT
    assert verdict.exists(), ran.stdout
    assert verdict.read_text() == "0", ran.stdout
    tests = [name for name, _ in inspect.getmembers(CarrierSuite, inspect.isfunction) if name.startswith("test_")]
    found = re.search(r"(\d+) passed", ran.stdout)
    assert found is not None, ran.stdout
    assert int(found[1]) == len(tests)
    assert ran.stdout.startswith("3 ranks of ")
    assert set(Path("/dev/shm").glob("mpich_*")) <= shared, "no world leaves shared memory behind"
