"""`raft-node elect NAME PROPOSAL`: lead, or hear who leads, among those who campaign under one name."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import stdout
from node.cli.failure import USAGE, Failure
from node.cli.group import for_programs
from node.cli.kv import Json, Url
from node.cli.lock import TTL_SECONDS, Name, Ttl
from node.cli.targets import DataDirOption, targets

if TYPE_CHECKING:
    from node.cli.holding import Told
    from raftclient import RaftClient

_EXIT_CODES = (
    "Exit codes: 0 resigned, or told enough, 1 a node refused, 4 unavailable: nobody leads by this command, 7 the lead "
    "was lost, 64 wrong usage, 74 the output could not be written, 129, 130 or 143 told to end (SIGHUP, Ctrl-C, "
    "SIGTERM) before it led."
)


def register(app: typer.Typer) -> None:
    app.command("elect", epilog=_EXIT_CODES)(for_programs(_elect))


def _elect(
    name: Name,
    proposal: Annotated[
        str | None, typer.Argument(metavar="[PROPOSAL]", help="what is told of it once it leads, as its address")
    ] = None,
    listen: Annotated[bool, typer.Option("--listen", "-l", help="tell who leads; do not campaign")] = False,
    url: Url = None,
    data_dir: DataDirOption = None,
    ttl: Ttl = TTL_SECONDS,
    count: Annotated[int, typer.Option(metavar="N", min=0, help="of --listen: end after so many; 0: never")] = 0,
    as_json: Json = False,
) -> int:
    """Campaign under NAME; once it leads, print key and PROPOSAL, and lead until Ctrl-C.

    One of all who campaign leads, those who came first before others; they
    may use etcdctl elect. This is not the election of the cluster's leader.

    [bold]Examples[/bold]
      raft-node elect chief http://10.0.0.7:80    lead; Ctrl-C resigns
      raft-node elect chief --listen              who leads, and who follows
      raft-node elect chief -l --count 1 --json   who leads now
    """
    addresses = list(targets(url or [], data_dir))
    if not name:
        raise Failure("An election has a name of at least one byte.", USAGE)
    if listen == (proposal is not None):
        raise Failure("Give either a PROPOSAL to campaign with, or --listen to hear who leads.", USAGE)
    if count and not listen:
        raise Failure("--count is of --listen: who campaigns leads until it is told to end.", USAGE)
    stdout.refuse_closed("nobody could ever read who leads")
    from node.cli import holding, telling

    async def lead(client: "RaftClient", _told: "Told") -> int:
        async with client.election(os.fsencode(name), ttl_s=ttl) as election:
            value = os.fsencode(proposal or "")
            await election.campaign(value)
            stdout.done(f"{name} was led (token {election.token}) and is resigned")
            telling.tell_lead(election.key, value, election.token, as_json)
            if await holding.until_told(election.lost.wait()):
                return 0
            election.check()
        return 0

    async def observe(client: "RaftClient", _told: "Told") -> int:
        async def tell() -> None:
            left = count
            async for leader in client.election(os.fsencode(name)).observe():
                telling.tell_lead(leader.key, leader.value, leader.token, as_json)
                left -= 1
                if not left:
                    return

        await holding.until_told(tell())
        return 0

    return holding.held(observe if listen else lead, addresses)
