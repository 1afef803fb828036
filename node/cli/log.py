"""`raft-node log dump|verify`: what a node's log on disk holds, and whether it is whole. Changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.failure import STORAGE, USAGE, Failure
from node.cli.group import Group, for_programs
from node.cli.show import print_object

if TYPE_CHECKING:
    from node.storage.files import OsFiles
    from node.storage.inspect import FrameLine, Line

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="a node's folder: --data-dir of serve, or raft-data/n1")]
Json = Annotated[bool, typer.Option("--json", help="for programs: one JSON object a line, bytes in base64")]
_EXIT_CODES = (
    "Exit codes: 0 whole, 3 damaged: a start would be refused, 64 no such folder, 74 the output could not be written."
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Look into a node's log on disk; changes nothing.")
    group.command("dump", epilog=_EXIT_CODES)(for_programs(_dump))
    group.command("verify", epilog=_EXIT_CODES)(for_programs(_verify))
    app.add_typer(group, name="log")


def _dump(folder: Folder, as_json: Json = False) -> int:
    """Print every segment, frame and entry, up to the damage if there is any.

    [bold]Examples[/bold]
      raft-node log dump raft-data/n1
      raft-node log dump raft-data/n1 --json | head
    """
    from node.storage.inspect import DamageLine, dump

    damage = ""
    for line in dump(_files(folder)):
        if as_json:
            print_object(line)
        elif not isinstance(line, DamageLine):
            print("\n".join(_lines(line)))
        if isinstance(line, DamageLine):
            damage = line.sentence
    if damage:
        raise Failure(damage, STORAGE)
    return 0


def _verify(folder: Folder, as_json: Json = False) -> int:
    """Read the whole log as a start would, and say what it would find.

    [bold]Example[/bold]
      raft-node log verify raft-data/n1
    """
    from node.storage.inspect import verify

    found = verify(_files(folder))
    if as_json:
        print_object(found)
    elif not found.damage:
        hard = found.hard_state
        print(f"whole: {found.segments} segments, {found.frames} frames, {found.bytes_used} bytes")
        entries = f"{found.first_index} to {found.last_index}" if found.last_index >= found.first_index else "none"
        print(f"entries {entries}, commit {hard.commit}")
        print(f"term {hard.term}, voted for {hard.vote or 'nobody'}")
        print(f"node {found.name or '?'} {found.incarnation}, cluster {found.cluster_id or 'not born yet'}")
        if found.cluster_id:
            members = ", ".join(member.name for member in found.configuration.voters)
            print(f"members before entry {found.first_index}: {members}")
        if found.torn_bytes:
            print(f"the last write was never finished: the next start cuts off {found.torn_bytes} bytes")
    if found.damage:
        raise Failure(found.damage, STORAGE)
    return 0


def _files(folder: Path) -> "OsFiles":
    from node.storage.files import OsFiles

    if (folder / "data").is_dir() and (folder / "node.log").exists():  # raft-node cluster keeps the log one deeper
        folder = folder / "data"
    if not folder.is_dir():
        raise Failure(f"There is no folder {folder}: name a node's data folder, for example raft-data/n1.", USAGE)
    files = OsFiles(folder)
    if not any(name.endswith(".wal") for name in files.names()):
        raise Failure(f"{folder} holds no log: name a node's data folder, for example raft-data/n1.", USAGE)
    return files


def _lines(line: "Line") -> Iterator[str]:
    from node.storage.inspect import FrameLine, SegmentLine, TornLine

    if isinstance(line, SegmentLine):
        cluster = f"cluster {line.cluster_id}" if line.cluster_id else "not born yet"
        node = f"node {line.name} {line.incarnation}"
        yield f"{line.file}: segment {line.number}, {line.size_bytes} bytes, {node}, {cluster}"
    elif isinstance(line, FrameLine):
        yield from _frame(line)
    elif isinstance(line, TornLine):
        yield f"{line.offset:>10}  torn: {line.size_bytes} bytes of a write that was never finished"


def _frame(frame: "FrameLine") -> Iterator[str]:
    parts = [f"{frame.offset:>10}  frame {frame.sequence}, {frame.size_bytes} bytes"]
    if frame.truncate_from is not None:
        parts.append(f"truncate from {frame.truncate_from}")
    if frame.hard_state is not None:
        hard = frame.hard_state
        parts.append(f"term {hard.term}, vote {hard.vote or '-'}, commit {hard.commit}")
    yield "; ".join(parts)
    for entry in frame.entries:
        yield f"{'':>12}entry {entry.index}, term {entry.term}, {entry.kind.name.lower()}, {len(entry.data)} bytes"
