"""`raft-node backup`: the whole state of the cluster, from any node, as one file.

Why it exists: what a cluster must not lose is copied to somewhere else, while it runs. The file gets its name once all
of it is there, has been read back as a whole, and is durable.
"""

import contextlib
import os
from collections.abc import Iterator
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

SILENCE_SECONDS_MAX = 330.0
"""Beyond the node's own limit for the snapshot that it takes first."""
PART_SUFFIX = ".part"


def register(app: typer.Typer) -> None:
    app.command("backup", epilog=EXIT_CODES)(for_programs(_backup))


def _backup(
    node: Annotated[str, typer.Argument(metavar="URL", help="any node, or its name in the local cluster")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="where to; must not be there yet")],
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Copy the whole state of the cluster to FILE, while it runs.

    Any node will do: the copy holds every write that was acknowledged before
    this command began. raft-node restore makes a new cluster of it.

    [bold]Examples[/bold]
      raft-node backup n1 monday.snap
      raft-node backup http://127.0.0.1:8001 monday.snap
    """
    import asyncio

    from node.backups import read_backup
    from node.storage.errors import StorageError

    if file.exists():
        raise Failure(f"{file} is there already, and a backup overwrites nothing: choose another name.", USAGE)
    url = url_of(node, data_dir)
    part = file.with_name(file.name + PART_SUFFIX)
    with _written(part, file) as out:
        asyncio.run(_fetch(url, out))
        out.flush()
        os.fsync(out.fileno())
        try:
            found = read_backup(part)
        except StorageError as error:
            raise Failure(f"What {url} sent is no whole backup, so it was not kept: {error}.", FAILED) from None
    stdout.done(f"The backup {file} is made")
    if as_json:
        print_object({"file": str(file), **described(found)})
    else:
        print(f"{file}: {words(found)}")
    return 0


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


@contextlib.contextmanager
def _written(part: Path, file: Path) -> Iterator[BinaryIO]:
    """`part`, open; once all went well it is called `file`, durably, else it is gone."""
    try:
        with part.open("xb") as out:
            try:
                yield out
                os.link(part, file)  # unlike a rename it takes nobody's place
            finally:
                part.unlink()
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        raise Failure(
            f"{error.filename2 or error.filename} is there already: remove it, or choose another name.", USAGE
        ) from None
    except OSError as error:
        raise Failure(f"Cannot write {file}: {error.strerror}; no backup was made.", FAILED) from None


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
                raise Failure(f"{url} gives no backup: {str(said).rstrip('.')}.", UNAVAILABLE)
            async for piece in answer.content.iter_any():
                out.write(piece)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        said = trouble(error) or "cannot be reached; is the node running?"
        raise Failure(f"{url} {said.removesuffix('.')}{'' if said.endswith('?') else '.'}", UNAVAILABLE) from None
    except (*UNREACHABLE, ValueError) as error:
        raise Failure(f"{url} broke off ({type(error).__name__}); no backup was made.", UNAVAILABLE) from None
