"""`raft-node mpi-cluster`: a registry, an MPI world of nodes, and the page of all of them."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli import stdout
from node.cli.failure import FAILED, USAGE, Failure
from node.cli.group import for_programs
from node.cli.mpi import BASE_PORT, BASE_PORT_MAX, DATA_DIR, BasePort, DataDir
from node.cli.registry import PORT as REGISTRY_PORT
from node.cli.show import print_object

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "node.cli")
NODES_MAX = 64
CALLED = {
    "heartbeat_ms": "--heartbeat-interval",
    "election_timeout_ms": "--min-election-timeout and --max-election-timeout",
    "discover": "--discovery-port",
}
"""Settings of the nodes that are given by flags of another name here."""


def register(app: typer.Typer) -> None:
    app.command("mpi-cluster")(for_programs(_mpi_cluster))


def _mpi_cluster(
    nodes: Annotated[int, typer.Option(metavar="N", help="how many ranks, each a node")] = 5,
    discovery_port: Annotated[int, typer.Option(metavar="PORT", help="where the registry listens")] = REGISTRY_PORT,
    monitor_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="of the page of all nodes; 0: any free one [8080, or the next]")
    ] = None,
    min_election_timeout: Annotated[
        int, typer.Option(metavar="MS", help="least silence before an election, milliseconds")
    ] = 175,
    max_election_timeout: Annotated[
        int, typer.Option(metavar="MS", help="most silence before an election, milliseconds")
    ] = 350,
    heartbeat_interval: Annotated[
        int, typer.Option(metavar="MS", help="how often a leader is heard, milliseconds")
    ] = 50,
    base_port: BasePort = BASE_PORT,
    data_dir: DataDir = DATA_DIR,
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", help="end when the parent ends")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object a line")] = False,
) -> int:
    """Run a cluster whose nodes are ranks of an MPI world, on this machine.

    Starts a registry, mpiexec with a node in each rank, and the page of all
    nodes; every rank has its own page at base port + rank. A rank that dies
    cannot come back into this world; the others go on while a majority lives.
    Ctrl-C ends all; the data stays, and the next start goes on with it.

    [bold]Examples[/bold]
      raft-node mpi-cluster
      raft-node mpi-cluster --nodes 3 --heartbeat-interval 500 \\
        --min-election-timeout 1500 --max-election-timeout 3000

    Exit codes: 0 asked to end, 1 no rank is left, no MPI here, or a port
    cannot be used, 64 wrong usage or a setting is wrong.
    """
    import asyncio

    from node import mpi_rank
    from node.supervisor.doorway import open_door
    from node.supervisor.mpi_cluster import MpiCluster, Plan
    from node.supervisor.mpi_place import entries_of, mpiexec_of

    _check(nodes, discovery_port, monitor_port, base_port)
    stdout.refuse_closed("nothing was started")
    if exit_with_parent:
        from node.supervisor import lifeline

        lifeline.end_with_parent(signal.SIGTERM)
    url = f"http://127.0.0.1:{discovery_port}"
    timing = {
        "heartbeat_ms": str(heartbeat_interval),
        "election_timeout_ms": f"{min_election_timeout}-{max_election_timeout}",
        "discover": f"registry:{url}",
    }
    flags = mpi_rank.flags_of(0, nodes, base_port, Path(data_dir) / "rank-0")
    settings = mpi_rank.settings_of(flags | timing, os.environ, CALLED)  # a mistake is told once, not N times
    if settings.tokens_file:
        raise Failure(
            "The page of all nodes shows nobody's token, so the nodes would not answer it: unset RAFT_TOKENS_FILE (or "
            "tokens_file in the file of settings), or start the ranks with mpiexec and raft-node mpi.",
            USAGE,
        )
    mpiexec = mpiexec_of(os.environ)
    entries = entries_of([mpi_rank.name_of(rank) for rank in range(nodes)], base_port, data_dir)
    words = [f"--{key.replace('_', '-')}={value}" for key, value in timing.items()]
    plan = Plan(
        mpiexec=(mpiexec, "-n", str(nodes)),
        rank=(*PROGRAM, "mpi", f"--base-port={base_port}", f"--data-dir={data_dir}", *words),
        registry=(*PROGRAM, "registry", f"--port={discovery_port}", "--exit-with-parent"),
        registry_url=url,
        entries=entries,
        leave_seconds_max=settings.leave_ms_max / 1000,
    )
    _refuse_other_size(nodes, data_dir)
    seconds = settings.request_timeout_ms / 1000
    door = open_door(monitor_port, entries, settings.allowed_hosts, seconds, kept=(discovery_port,), without="")

    def say(text: str) -> None:
        if as_json:
            print_object({"kind": "line", "text": text})
        else:
            print(text, flush=True)

    if as_json:
        print_object({"kind": "monitor", "url": door.url if door else None, "registry": url})
    else:
        print(f"Watch it: {door.url if door else 'no port is free for a page of all nodes'}", flush=True)

    async def supervise() -> int:
        return await MpiCluster(plan, door, os.environ, say).run()

    try:
        code = asyncio.run(supervise())
    finally:
        if door is not None:
            door.close()
    say(f"All ranks have ended; the data stays in {data_dir}.")
    return code


def _refuse_other_size(nodes: int, data_dir: Path) -> None:
    """Members are what the data says: with fewer ranks than these there may be no majority, and nobody would say so."""
    from node.supervisor.mpi_keeper import is_keepers

    names = (path.name for path in data_dir.glob("rank-*") if any(not is_keepers(file.name) for file in path.glob("*")))
    ranks = sorted(int(name[5:]) for name in names if name[5:].isdecimal())
    beyond = [f"rank-{rank}" for rank in ranks if rank >= nodes]
    if beyond:
        raise Failure(
            f"{data_dir} holds the data of {ranks[-1] + 1} ranks and --nodes says {nodes}: go on with --nodes "
            f"{ranks[-1] + 1}, delete what is of no member any more ({', '.join(beyond)}), or name another --data-dir.",
            FAILED,
        )


def _check(nodes: int, discovery_port: int, monitor_port: int | None, base_port: int) -> None:
    for flag, value, low, high in (
        ("--nodes", nodes, 1, NODES_MAX),
        ("--discovery-port", discovery_port, 1, 65535),
        ("--monitor-port", monitor_port or 0, 0, 65535),
        ("--base-port", base_port, 1, BASE_PORT_MAX),
    ):
        if not low <= value <= high:
            raise Failure(f"{flag} {value} is out of bounds: it must be {low} to {high}.", USAGE)
    if discovery_port == monitor_port:
        raise Failure(f"--discovery-port and --monitor-port are both {monitor_port}: choose another for one.", USAGE)
    ports = range(base_port, base_port + nodes)
    if discovery_port in ports or monitor_port in ports:
        raise Failure(
            f"Ports {ports[0]} to {ports[-1]} are the ranks': choose another one for registry or page.", USAGE
        )
