"""Where the ranks of an MPI world on this machine are, and what starts them.

Why it exists: who runs such a world and who plays a scenario in one must say the same. It must not start anything.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.supervisor.layout import HOST, NodeEntry, SupervisorError


def address_of(rank: int) -> str:
    """What the node of a rank is said to be reached at: no host, and it looks like none. The port means nothing."""
    return f"rank-{rank}.mpi:1"


def entries_of(names: Sequence[str], base_port: int, data_dir: Path) -> tuple[NodeEntry, ...]:
    """The ranks of a world on this machine."""
    return tuple(
        NodeEntry(
            name=name,
            url=f"http://{HOST}:{base_port + rank}",
            peer=address_of(rank),
            data_dir=str(data_dir / name),
            log_file=str(data_dir / name / "node.log"),
        )
        for rank, name in enumerate(names)
    )


def mpiexec_of(environ: Mapping[str, str]) -> str:
    """The mpiexec beside this Python, which belongs to what is installed there, else one on PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec", path=environ.get("PATH"))
    if found is None:
        raise SupervisorError("There is no mpiexec here: pip install '.[mpi]' brings MPICH's.")
    return found
