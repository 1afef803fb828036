"""`raft-node backup`: the whole state of the cluster, from any node, as one file.

Why it exists: what a cluster must not lose is copied to somewhere else, while it runs. A backup gets its name once all
of it is there, has been read back as a whole, and is durable; only then is the cluster told, and do older ones go. What
a place is, and which ones go, is `node.keeping`'s.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from node.cli import stdout
from node.cli.command import url_of
from node.cli.failure import EXIT_CODES, FAILED, UNAVAILABLE, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object
from node.cli.targets import DataDirOption

if TYPE_CHECKING:
    from node.backups import Backup
    from node.keeping.port import Place

SILENCE_SECONDS_MAX = 330.0
"""Beyond the node's own limit for the snapshot that it takes first."""
TELL_SECONDS_MAX = 10.0
KEPT_MAX = 10_000


def register(app: typer.Typer) -> None:
    app.command("backup", epilog=EXIT_CODES)(for_programs(_backup))


def _backup(
    node: Annotated[
        str,
        typer.Argument(metavar="URL", help="any node, or its name in the local cluster; A,B: the first that can"),
    ],
    to: Annotated[
        str, typer.Argument(metavar="TO", help="a file that is not there yet, a folder, or s3://BUCKET/FOLDER/")
    ],
    keep: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=KEPT_MAX, help="in a folder: remove all but the N newest of this cluster"),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Copy the whole state of the cluster, while it runs.

    Any node will do: the copy holds every write that was acknowledged before
    this command began. raft-node restore makes a new cluster of it. In a
    folder, or with a slash at the end, it gets a name that tells cluster,
    time and entry. S3 takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION and AWS_ENDPOINT_URL from the environment.

    [bold]Examples[/bold]
      raft-node backup n1 monday.snap
      raft-node backup http://127.0.0.1:8001 /backups/ --keep 14
      raft-node backup http://127.0.0.1:8001 s3://bucket/raft/ --keep 14
    """
    from node.keeping.places import is_place
    from node.keeping.port import PlaceError

    urls = [url_of(one, data_dir) for one in node.split(",")]
    many = is_place(to)
    if keep is not None and not many:
        raise Failure(f"--keep is for a folder, and {to} is one file: end it with a slash, or leave --keep out.", USAGE)
    try:
        place, name, found, url = _kept(urls, to, many, keep is not None)
    except PlaceError as error:
        raise Failure(f"{str(error)[0].upper()}{str(error)[1:]}; no backup was made.", FAILED) from None
    shown = place.shown(name)
    stdout.done(f"The backup {shown} is made")
    _tell(url)
    removed = _removed(place, name, keep) if keep is not None else []
    if as_json:
        print_object({"file": shown, **described(found), "removed": removed})
        return 0
    print(f"{shown}: {words(found)}")
    if removed:
        print(f"removed as older than the {keep} newest: {', '.join(removed)}")
    return 0


def _kept(urls: list[str], to: str, many: bool, limited: bool) -> "tuple[Place, str, Backup, str]":
    """Where and under which name it is kept, what it is, and the node that gave it; `limited`: whether older ones go
    afterwards. Raises PlaceError."""
    from node.cli.wallclock import utc_text
    from node.keeping.names import name_of
    from node.keeping.places import file_in, place_of

    place, name = (place_of(to), "") if many else file_in(to)
    # Asked first where it will be asked anyway: no node takes a snapshot for a place that cannot be used
    if (name or limited) and name in place.names():
        raise Failure(f"{to} is there already, and a backup overwrites nothing: choose another name.", USAGE)
    with place.scratch() as part:
        url = _fetched(urls, part)
        found = _checked(part, url)
        base = found.info.base
        name = name or name_of(base.cluster_id, utc_text(), base.index)
        place.keep(part, name)
    return place, name, found, url


def _removed(place: "Place", newest: str, keep: int) -> list[str]:
    """Those that `keep` leaves no room for, which are gone."""
    from node.keeping.names import too_many
    from node.keeping.port import PlaceError

    try:
        older = too_many(place.names(), newest, keep)
        for name in older:
            place.remove(name)
    except PlaceError as error:
        made = f"The backup {place.shown(newest)} is made"
        raise Failure(f"{made}, but older ones may be left: {error}.", FAILED) from None
    return older


def described(found: "Backup") -> dict[str, object]:
    """For programs."""
    base = found.info.base
    return {
        "cluster_id": base.cluster_id,
        "index": base.index,
        "term": base.term,
        "revision": found.revision,
        "keys": found.keys,
        "bytes": found.info.size_bytes,
        "crc": f"{found.info.crc:08x}",
        "made_by": found.made_by,
        "members": [member.name for member in base.configuration.voters],
    }


def words(found: "Backup") -> str:
    """For people."""
    base = found.info.base
    keys = f"{found.keys} key{'s' if found.keys != 1 else ''}"
    return (
        f"{keys} at revision {found.revision}, entry {base.index} of cluster {base.cluster_id},"
        f" {found.info.size_bytes} bytes"
    )


def _fetched(urls: list[str], part: Path) -> str:
    """The node that gave it: the first that could. Raises what the last one said."""
    import asyncio

    for at, url in enumerate(urls):
        try:
            with part.open("wb") as out:
                asyncio.run(_fetch(url, out))
        except Failure as failure:
            if at == len(urls) - 1 or failure.code != UNAVAILABLE:
                raise
            stdout.complain(f"{failure} The next is asked.")
        except OSError as error:
            raise Failure(f"Cannot write {part}: {error.strerror}; no backup was made.", FAILED) from None
        else:
            return url
    raise Failure("No node was named.", USAGE)


def _checked(part: Path, url: str) -> "Backup":
    from node.backups import read_backup
    from node.storage.errors import StorageError

    try:
        return read_backup(part)
    except StorageError as error:
        raise Failure(f"What {url} sent is no whole backup, so it was not kept: {error}.", FAILED) from None


async def _fetch(url: str, out: BinaryIO) -> None:
    import aiohttp
    import msgspec

    from node.cli.identity import asking_session, trouble
    from node.supervisor.watch import UNREACHABLE, read_bounded

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=2.0, sock_read=SILENCE_SECONDS_MAX)
    try:
        async with asking_session() as session, session.get(f"{url}/backup", timeout=timeout) as answer:
            if answer.status != 200:
                body = await read_bounded(answer, 64 * 1024)
                said = msgspec.json.decode(body, type=dict[str, object]).get("message", f"status {answer.status}")
                code = FAILED if answer.status in (401, 403) else UNAVAILABLE
                raise Failure(f"{url} gives no backup: {str(said).rstrip('.')}.", code)
            async for piece in answer.content.iter_any():
                try:
                    out.write(piece)
                except OSError as error:  # the disk's, not the node's
                    raise Failure(f"Cannot write {out.name}: {error.strerror}; no backup was made.", FAILED) from None
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        said = trouble(error) or "cannot be reached; is the node running?"
        raise Failure(f"{url} {said.removesuffix('.')}{'' if said.endswith('?') else '.'}", UNAVAILABLE) from None
    except (*UNREACHABLE, ValueError, RecursionError) as error:
        said = trouble(error) or f"broke off ({type(error).__name__})"
        raise Failure(f"{url} {said}; no backup was made.", UNAVAILABLE) from None


def _tell(url: str) -> None:
    """Let the cluster know that there is a backup, for its metric. The backup is made whether it hears or not."""
    import asyncio

    from node.cli.command import ask

    said = ""
    try:
        status, body = asyncio.run(asyncio.wait_for(ask("POST", f"{url}/commands/backup_done", {}), TELL_SECONDS_MAX))
        said = "" if status == 200 else str(body.get("message", f"status {status}"))
    except (Failure, TimeoutError) as error:
        said = str(error) or "it did not answer"
    if said:
        stdout.complain(f"{url} was not told that there is a backup ({said.rstrip('.')}): its metric is late.")
