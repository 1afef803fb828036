"""`raft-node restore`: the data folder of one member of a new cluster, which begins with the state of a backup."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import stdout
from node.cli.chance import chance
from node.cli.failure import EXIT_CODES, STORAGE, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object

if TYPE_CHECKING:
    from node.settings.values import Seed


def register(app: typer.Typer) -> None:
    app.command("restore", epilog=EXIT_CODES)(for_programs(_restore))


def _restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="what raft-node backup made")],
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="the member's data folder: empty, or not there yet")],
    name: Annotated[str, typer.Option(metavar="NAME", help="the member's name")],
    members: Annotated[str, typer.Option(metavar="TEXT", help="all members: n1=HOST:PEERPORT,n2=...")],
    token: Annotated[
        str, typer.Option(metavar="TEXT", help="any word; the same for all members, another for each restore")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Make the data folder of one member of a new cluster, with the state of a
    backup: keys, revisions and versions as they were.

    Run it once for each member, with the same FILE, --members and --token;
    then start them, with these members as their seeds. Nodes of the old
    cluster cannot join the new one. Never run it again for a member of a
    cluster that has been started: let a lost disk in anew (members replace).

    [bold]Example[/bold] (likewise n2 and n3)
      raft-node restore monday.snap --data-dir ./n1 --name n1 --token t1 \\
        --members n1=h1:9001,n2=h2:9001,n3=h3:9001
    """
    from node.backups import restore
    from node.cli.backup import described, words
    from node.storage.errors import StorageError

    seeds = _seeds(members, name)
    if len(seeds) > 1 and not token:
        raise Failure(
            "--token is missing: give all members the same word, and each restore another, so that two clusters "
            "from one backup are never taken for one.",
            USAGE,
        )
    try:
        made = restore(file, data_dir, name, seeds, token or chance())
    except StorageError as error:
        raise Failure(f"{error}.", STORAGE) from None
    base = made.info.base
    stdout.done(f"The folder {data_dir} is made")
    if as_json:
        restored = {"data_dir": str(data_dir), "name": name, "cluster_id": base.cluster_id}
        print_object({**restored, "backup": described(made.state)})
    else:
        print(f"{data_dir}: {name} of the new cluster {base.cluster_id}")
        print(f"with {words(made.state)}")
    return 0


def _seeds(members: str, name: str) -> "tuple[Seed, ...]":
    from node.raft.types import MEMBERS_MAX
    from node.settings.values import seeds_of

    try:
        seeds = seeds_of(members)
    except ValueError as error:
        raise Failure(f"--members {error}.", USAGE) from None
    if name not in [seed.name for seed in seeds]:
        raise Failure(f"--name {name} is none of --members {members}: name every member, this one too.", USAGE)
    if len(seeds) > MEMBERS_MAX:
        raise Failure(f"--members names {len(seeds)}, and a cluster has at most {MEMBERS_MAX}.", USAGE)
    return seeds
