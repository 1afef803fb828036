"""`raft-node lock NAME -- COMMAND`: run something while a lock of the cluster is held."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import stdout
from node.cli.failure import USAGE, Failure
from node.cli.group import for_programs
from node.cli.kv import Json, Url
from node.cli.targets import DataDirOption, targets

if TYPE_CHECKING:
    from node.cli.holding import Told
    from raftclient import RaftClient

_EXIT_CODES = (
    "Exit codes: that of COMMAND (128 and the number where a signal ended it, 127 no such program, 126 it cannot be "
    "run); without one 0 released when it was told to end. 1 others held it for --wait seconds, or a node refused, "
    "4 unavailable: nothing is held, 7 the lock was lost, 64 wrong usage, 74 the output could not be written, "
    "129, 130 or 143 told to end (SIGHUP, Ctrl-C, SIGTERM) while it waited."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="what it is called, taken as UTF-8")]
Ttl = Annotated[
    int, typer.Option(metavar="SECONDS", min=1, max=9_000_000_000, help="how long it outlives a holder that dies")
]
TTL_SECONDS = 10
"""As `etcdctl lock`."""


def register(app: typer.Typer) -> None:
    app.command("lock", epilog=_EXIT_CODES)(for_programs(_lock))


def _lock(
    name: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND [ARGS]...]", help="what to run while it is held")
    ] = None,
    url: Url = None,
    data_dir: DataDirOption = None,
    ttl: Ttl = TTL_SECONDS,
    wait: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="give up after so long; 0: do not wait")
    ] = None,
    as_json: Json = False,
) -> int:
    """Wait for the lock NAME, alone among all who ask for it, run COMMAND, release it.

    COMMAND finds RAFT_LOCK_KEY and RAFT_LOCK_TOKEN in its environment (and
    ETCD_LOCK_KEY and ETCD_LOCK_REV): the token grows with every holder, so
    whatever COMMAND writes to can refuse one that is older than it has seen.
    If the lock is lost while COMMAND runs, COMMAND gets SIGTERM, and SIGKILL
    5 seconds later. etcdctl lock NAME waits in the same queue.

    Without COMMAND it prints its key and holds the lock until Ctrl-C.

    [bold]Examples[/bold]
      raft-node lock deploy -- ./deploy.sh --all
      raft-node lock backup --wait 0 -- sh -c 'echo $RAFT_LOCK_TOKEN'
      raft-node lock deploy --json           key and token; until Ctrl-C
    """
    addresses = list(targets(url or [], data_dir))
    if not name:
        raise Failure("A lock has a name of at least one byte.", USAGE)
    if command and as_json:
        raise Failure("--json says what is held, and standard output is COMMAND's: give one of the two.", USAGE)
    if not command:
        stdout.refuse_closed("nobody could ever read which key is held")
    from node.cli import holding, running, telling

    program = running.program_of(command) if command else ""

    async def hold(client: "RaftClient", told: "Told") -> int:
        async with client.lock(os.fsencode(name), ttl_s=ttl, wait_s=wait) as lock:
            if command:
                return await running.run(program, command, lock, told)
            telling.tell_lock(lock, as_json)
            if await holding.until_told(lock.lost.wait()):
                return 0
            lock.check()
        return 0

    return holding.held(hold, addresses)
