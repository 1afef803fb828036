"""`raft-node watch PREFIX`: changes as they happen, from one node after another."""

import os
from typing import Annotated

import typer

from node.cli import stdout
from node.cli.failure import EXIT_CODES, USAGE, Failure
from node.cli.group import for_programs
from node.cli.kv import Json, Url
from node.cli.targets import DataDirOption, targets


def register(app: typer.Typer) -> None:
    app.command("watch", epilog=EXIT_CODES)(for_programs(_watch))


def _watch(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="how the keys begin; '' for all of them")],
    url: Url = None,
    data_dir: DataDirOption = None,
    revision: Annotated[int, typer.Option(metavar="N", min=0, help="the first one to tell of; 0: from now on")] = 0,
    count: Annotated[int, typer.Option(metavar="N", min=0, help="end after so many changes; 0: never")] = 0,
    as_json: Json = False,
) -> int:
    """Print every change of keys that begin with PREFIX, in order and each once.

    It goes on at another node by itself where one fails, or is cut off. Ctrl-C ends it.

    [bold]Examples[/bold]
      raft-node watch ''                     all keys
      raft-node watch jobs/ --revision 1     all that is still known, then what comes
      raft-node watch leader --count 1 --json
    """
    import asyncio

    from node.cli.following import follow

    stdout.refuse_closed("nobody could ever read what is watched")
    addresses = list(targets(url or [], data_dir))
    if count < 0 or revision < 0:
        raise Failure("--revision and --count are 0 or more.", USAGE)
    try:
        asyncio.run(follow(os.fsencode(prefix), addresses, revision, count, as_json))
    except KeyboardInterrupt:
        return 0
    return 0
