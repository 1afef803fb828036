"""`raft-node restore`: the data folder of one member of a new cluster, which begins with the state of a backup.

Why it exists: a person does it once, and an init step (`--once`) whenever its pod starts; what keeps the second from
doing harm is `node.keeping.once`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import identity, stdout
from node.cli.chance import chance
from node.cli.failure import EXIT_CODES, STORAGE, UNAVAILABLE, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object

if TYPE_CHECKING:
    from node.backups import Made
    from node.settings.values import Seed


def register(app: typer.Typer) -> None:
    app.command("restore", epilog=EXIT_CODES)(for_programs(_restore, identity.use_later, asks=True))


def _restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="what raft-node backup made, or its s3:// URL")],
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="the member's data folder: empty, or not there yet")],
    name: Annotated[str, typer.Option(metavar="NAME", help="the member's name")],
    members: Annotated[str, typer.Option(metavar="TEXT", help="all members: n1=HOST:PEERPORT,n2=...")],
    token: Annotated[
        str, typer.Option(metavar="TEXT", help="any word; the same for all members, another for each restore")
    ] = "",
    once: Annotated[
        bool,
        typer.Option("--once", help="for an init step: at most once for each member and token, noted beside FILE"),
    ] = False,
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
    from node.keeping.port import PlaceError

    seeds = _seeds(members, name)
    if len(seeds) > 1 and not token:
        raise Failure(
            "--token is missing: give all members the same word, and each restore another, so that two clusters "
            "from one backup are never taken for one.",
            USAGE,
        )
    try:
        if once:
            return _restore_once(file, data_dir, name, seeds, token)
        made = _made(file, data_dir, name, seeds, token or chance())
    except PlaceError as error:
        raise Failure(f"{str(error)[0].upper()}{str(error)[1:]}.", STORAGE) from None
    return _told(made, data_dir, name, as_json)


def _told(made: "Made", data_dir: Path, name: str, as_json: bool) -> int:
    from node.cli.backup import described, words

    base = made.info.base
    stdout.done(f"The folder {data_dir} is made")
    if as_json:
        restored = {"data_dir": str(data_dir), "name": name, "cluster_id": base.cluster_id}
        print_object({**restored, "backup": described(made.state)})
    else:
        print(f"{data_dir}: {name} of the new cluster {base.cluster_id}")
        print(f"with {words(made.state)}")
    return 0


def _made(file: str, data_dir: Path, name: str, seeds: "tuple[Seed, ...]", token: str) -> "Made":
    """Raises PlaceError."""
    from node.backups import restore
    from node.storage.errors import StorageError

    try:
        with _at_hand(file, data_dir) as local:
            return restore(local, data_dir, name, seeds, token)
    except StorageError as error:
        raise Failure(f"{error}.", STORAGE) from None


@contextlib.contextmanager
def _at_hand(file: str, data_dir: Path) -> Iterator[Path]:
    """A file that can be read twice. What lies in a bucket is fetched to the disk that has room for it, the node's."""
    from node.keeping.places import S3, file_in
    from node.keeping.port import PlaceError

    if not file.startswith(S3):
        yield Path(file)
        return
    place, name = file_in(file)
    part = data_dir / "backup.part"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
    except OSError as error:
        raise PlaceError(f"cannot write {part} ({error.strerror or error})") from error
    try:
        place.fetch(name, part)
        yield part
    finally:
        part.unlink(missing_ok=True)


def _restore_once(file: str, data_dir: Path, name: str, seeds: "tuple[Seed, ...]", token: str) -> int:
    """Raises PlaceError."""
    from node.backups import has_run
    from node.keeping.once import TOKEN, Chance, Once
    from node.keeping.places import file_in

    if not TOKEN.fullmatch(token):
        raise Failure("--once needs a --token of at most 64 letters, digits, dots and dashes.", USAGE)
    place, backup = file_in(file)
    once = Once(place, backup, data_dir, name, token, chance())
    match once.chance(lambda: has_run(data_dir, name)):
        case Chance.DONE:
            print(f"{data_dir}: {name} was restored before, with the token {token}: left as it is")
        case Chance.GONE:
            _let_in_anew(once.note, name, token)
        case Chance.RESTORE:
            made = _made(file, data_dir, name, seeds, token)
            once.made()
            _told(made, data_dir, name, False)
    return 0


def _let_in_anew(note: str, name: str, token: str) -> None:
    """Where a cluster lives, its leader gives the empty disk a place; where none does, an empty one would be born. Of
    nodes that ask for tokens `/readyz` is open to all, and who is ready knows a leader."""
    import asyncio
    import os

    from node.cli.command import ask
    from node.cli.targets import targets
    from node.settings import URLS_ENV

    identity.use_now()  # not before: at a first install there may be nothing of it yet, and nobody to ask

    async def lives(url: str) -> bool:
        try:
            status, _ = await ask("GET", f"{url}/readyz", None)
        except Failure:
            return False
        return status == 200

    urls = targets((), None) if os.environ.get(URLS_ENV) else {}
    if any(asyncio.run(lives(url)) for url in urls):
        print(f"{name} was restored once ({note}), and this disk is another: its node asks to be let in")
        return
    raise Failure(
        f"{name} was restored once with the token {token} ({note}), this disk is another, and no member of the cluster "
        "answers that could let it in: for a new restore take another token.",
        UNAVAILABLE,
    )


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
