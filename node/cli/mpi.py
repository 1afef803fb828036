"""`raft-node mpi`: this rank of an MPI world as a node; what mpiexec starts."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.failure import FAILED, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object

BASE_PORT = 7000
BASE_PORT_MAX = 65_000
DATA_DIR = Path("raft-mpi")
BasePort = Annotated[int, typer.Option(metavar="PORT", help="rank 0 serves clients and its page there, rank N N above")]
DataDir = Annotated[Path, typer.Option(metavar="DIR", help="every rank has its folder in it, with its log")]

_EXIT_CODES = (
    "Exit codes: 0 asked to end, 1 no MPI here, or its world did not come together, 2 an address cannot be used, 64 "
    "wrong usage or a setting is wrong. A node that dies later ends alone."
)


def register(app: typer.Typer) -> None:
    app.command("mpi", epilog=_EXIT_CODES)(for_programs(_mpi))


def _mpi(
    base_port: BasePort = BASE_PORT,
    data_dir: DataDir = DATA_DIR,
    heartbeat_ms: Annotated[str | None, typer.Option(metavar="N", help="how often a leader is heard [50]")] = None,
    election_timeout_ms: Annotated[
        str | None, typer.Option(metavar="MIN-MAX", help="silence before an election [175-350]")
    ] = None,
    discover: Annotated[
        str | None, typer.Option(metavar="REGISTRY", help="registry:http://host:port, where it says that it is")
    ] = None,
    inside: Annotated[bool, typer.Option("--inside", hidden=True, help="be the node itself")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: rank and address, as JSON")] = False,
) -> int:
    """Be a rank of an MPI world as a node: peers speak over MPI.

    Needs mpi4py and an MPI: pip install '.[mpi]' brings MPICH. All ranks start
    together; one that dies leaves the others going on, and cannot come back
    into this world: end it, and start it again with the same data. Other
    settings reach all ranks by the environment (RAFT_...).

    [bold]Examples[/bold]
      mpiexec -n 5 raft-node mpi
      mpiexec -n 3 raft-node mpi --base-port 7100 --data-dir ./other
      raft-node mpi-cluster     the same, with a registry and a page of all
    """
    from node import mpi_rank
    from node.supervisor.mpi_keeper import Keeper

    where = mpi_rank.place(os.environ)
    if where is None:
        raise Failure("This is no rank of an MPI world: start it with mpiexec -n 5 raft-node mpi.", USAGE)
    rank, size = where
    if not 1 <= base_port <= BASE_PORT_MAX:
        raise Failure(f"--base-port {base_port} is out of bounds: it must be 1 to {BASE_PORT_MAX}.", USAGE)
    given = {"heartbeat_ms": heartbeat_ms, "election_timeout_ms": election_timeout_ms, "discover": discover}
    folder = data_dir / mpi_rank.name_of(rank)
    flags = mpi_rank.flags_of(rank, size, base_port, folder) | {k: v for k, v in given.items() if v is not None}
    settings = mpi_rank.settings_of(flags, os.environ)
    if inside:
        return _inside(flags)
    if as_json:
        print_object({"rank": rank, "name": settings.name, "url": f"http://{settings.host}:{settings.port}"})
    else:
        print(f"{settings.name}: http://{settings.host}:{settings.port}/    (log: {folder / 'node.log'})", flush=True)
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if value is not None]
    words += [f"--base-port={base_port}", f"--data-dir={data_dir}"]
    command = [sys.executable, "-m", "node.cli", "mpi", "--inside", *words]
    return Keeper(settings.name, command, folder, os.environ).run()


def _inside(flags: dict[str, str]) -> int:
    from node import mpi_rank
    from node.supervisor import lifeline
    from node.transport.mpi.world import MpiError

    lifeline.end_with_parent()
    try:
        world = mpi_rank.joined()
    except MpiError as error:
        raise Failure(f"{error}.", FAILED) from None
    code = mpi_rank.run_rank(world, mpi_rank.settings_of(flags, os.environ))
    sys.stdout.flush()
    os._exit(code)  # MPI is never finalized, and its library must not try to at the end of this process
