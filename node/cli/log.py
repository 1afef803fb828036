"""`raft-node log dump|verify`: what a node's log and snapshots on disk hold, and whether they are whole. Changes
nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.failure import STORAGE, USAGE, Failure
from node.cli.group import Group, for_programs
from node.cli.show import print_object

if TYPE_CHECKING:
    from node.raft.types import Configuration
    from node.storage.files import OsFiles
    from node.storage.inspect_lines import FrameLine, Line, SnapshotLine, Verdict

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="a node's folder: --data-dir of serve, or raft-data/n1")]
Json = Annotated[bool, typer.Option("--json", help="for programs: one JSON object a line, bytes in base64")]
_EXIT_CODES = (
    "Exit codes: 0 whole, 3 damaged: a start would be refused, 64 no such folder, 74 the output could not be written."
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        cls=Group, no_args_is_help=True, help="Look into a node's log and snapshots on disk; changes nothing."
    )
    group.command("dump", epilog=_EXIT_CODES)(for_programs(_dump))
    group.command("verify", epilog=_EXIT_CODES)(for_programs(_verify))
    app.add_typer(group, name="log")


def _dump(folder: Folder, as_json: Json = False) -> int:
    """Print every segment, frame and entry with what it does, then the snapshot, up to the damage if there is any.

    [bold]Examples[/bold]
      raft-node log dump raft-data/n1
      raft-node log dump raft-data/n1 --json | head
    """
    from node.storage.inspect import dump
    from node.storage.inspect_lines import DamageLine, FrameLine

    damage = ""
    for line in dump(_files(folder)):
        if isinstance(line, FrameLine):
            line = _described(line)
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
    """Read the whole log and the snapshot as a start would, and say what it would find.

    [bold]Example[/bold]
      raft-node log verify raft-data/n1
    """
    from node.storage.inspect import verify

    found = verify(_files(folder))
    if as_json:
        print_object(found)
    elif not found.damage:
        print("\n".join(_verdict(found)))
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
    from node.storage.inspect_lines import FrameLine, LeftoverLine, PartLine, SegmentLine, SnapshotLine, TornLine

    if isinstance(line, SegmentLine):
        cluster = f"cluster {line.cluster_id}" if line.cluster_id else "not born yet"
        node = f"node {line.name} {line.incarnation}"
        yield f"{line.file}: segment {line.number}, {line.size_bytes} bytes, {node}, {cluster}"
    elif isinstance(line, FrameLine):
        yield from _frame(line)
    elif isinstance(line, TornLine):
        yield f"{line.offset:>10}  torn: {line.size_bytes} bytes of a write that was never finished"
    elif isinstance(line, SnapshotLine):
        yield f"{line.file}: {_snapshot(line)}"
    elif isinstance(line, PartLine):
        yield f"{line.file}: {line.size_bytes} bytes of a snapshot that was being received"
    elif isinstance(line, LeftoverLine):
        yield f"{line.file}: means nothing any more, the next start removes it"


def _verdict(found: "Verdict") -> Iterator[str]:
    hard = found.hard_state
    yield f"whole: {found.segments} segments, {found.frames} frames, {found.bytes_used} bytes"
    yield _snapshot(found.snapshot) if found.snapshot is not None else "no snapshot: the log holds everything"
    entries = f"{found.first_index} to {found.last_index}" if found.last_index >= found.first_index else "none"
    yield f"entries {entries}, commit {hard.commit}"
    yield f"term {hard.term}, voted for {hard.vote or 'nobody'}"
    yield f"node {found.name or '?'} {found.incarnation}, cluster {found.cluster_id or 'not born yet'}"
    if found.cluster_id:
        yield f"members before entry {found.first_index}: {_members(found.configuration)}"
    if found.torn_bytes:
        yield f"the last write was never finished: the next start cuts off {found.torn_bytes} bytes"
    if found.discarded:
        yield "the snapshot holds more than the log: the next start begins a new log after it"
    if found.part is not None:
        yield f"another snapshot was being received: {found.part.size_bytes} bytes of it are there"
    if found.leftovers:
        yield f"{found.leftovers} files mean nothing any more: the next start removes them"


def _snapshot(line: "SnapshotLine") -> str:
    made_by = f", made by {line.made_by}" if line.made_by else ""
    return (
        f"snapshot of entry {line.base.index}, term {line.base.term}: {line.chunks} chunks, {line.size_bytes} bytes,"
        f" checksum {line.crc:08x}{made_by}; members {_members(line.base.configuration)}"
    )


def _members(configuration: "Configuration") -> str:
    return ", ".join(member.name for member in configuration.voters)


def _described(frame: "FrameLine") -> "FrameLine":
    import msgspec

    from node.statemachine.describe import describe

    return msgspec.structs.replace(frame, does=tuple(map(describe, frame.entries)))


def _frame(frame: "FrameLine") -> Iterator[str]:
    parts = [f"{frame.offset:>10}  frame {frame.sequence}, {frame.size_bytes} bytes"]
    if frame.start is not None:
        parts.append(f"goes on after entry {frame.start.index}, term {frame.start.term}")
    if frame.base is not None:
        parts.append(f"begins anew after entry {frame.base.index}, term {frame.base.term}")
    if frame.truncate_from is not None:
        parts.append(f"truncate from {frame.truncate_from}")
    if frame.hard_state is not None:
        hard = frame.hard_state
        parts.append(f"term {hard.term}, vote {hard.vote or '-'}, commit {hard.commit}")
    yield "; ".join(parts)
    for entry, does in zip(frame.entries, frame.does, strict=True):
        size = f"{entry.kind.name.lower()}, {len(entry.data)} bytes"
        yield f"{'':>12}entry {entry.index}, term {entry.term}, {size}: {does}"
