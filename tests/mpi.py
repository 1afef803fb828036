"""Where MPI is, for the tests that need one."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

MISSING = "no MPI here, so nothing of it is tested: `make mpi` installs mpi4py and MPICH (pip install '.[mpi]')"


def mpiexec() -> str:
    """The command; skips the test, and says so, where there is none."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if found is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip(MISSING)
    return found
