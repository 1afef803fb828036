"""`raft-node members force-new`: go on without a majority that is lost for good.

Why it exists: it is the one command that can lose what was acknowledged, so it says what, changes nothing without being
told so twice, and cannot make two clusters that talk to each other.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import stdout
from node.cli.chance import chance
from node.cli.failure import FAILED, STORAGE, USAGE, Failure
from node.cli.show import print_object

if TYPE_CHECKING:
    from node.storage.files import OsFiles
    from node.survivors import GoneOn, Position, Survivor

_NUMBER = r"(\d{1,18})"
_SURVIVOR = re.compile(rf"([^=\s]+)(?:={_NUMBER}/{_NUMBER}:{_NUMBER}/{_NUMBER})?")


def force_new(
    survivor: Annotated[
        list[str], typer.Option(metavar="NAME[=POSITION]", help="who goes on; where several do, each with its position")
    ],
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="this survivor's data folder; its node is stopped")],
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only say what would be lost")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Make a new cluster of the survivors, when a majority of the disks is lost
    FOR GOOD. What only the lost ones had is lost, acknowledged or not.

    Where a majority can come back, start it instead. First see to it that the
    lost ones stay off, and stop the survivors. Then run this on each survivor
    without --yes: it changes nothing, and says its position, which is where
    its log ends and up to where it knew that all was committed. Run it again
    on each with all positions: those that end last are told that they can go
    on; there, name these alone, and add --yes. Start them, and let the others
    in on empty folders (members add, members promote).

    [bold]Examples[/bold]
      raft-node members force-new --survivor n1 --data-dir /var/lib/raft
      raft-node members force-new --data-dir /var/lib/raft --yes \\
        --survivor n1=7/1204:7/1200 --survivor n2=7/1204:7/1204
    """
    from node.storage import swapping
    from node.storage.errors import StorageError
    from node.storage.opening import lock
    from node.survivors import go_on, read_survivor

    named = _named(survivor)
    files = _files(data_dir)
    try:
        lock(files)
        try:
            if swapping.begun(files):
                return _finished(files, as_json)
            found = read_survivor(files)
            going_on = _going_on(found, named)
            _say(found, going_on, yes, as_json)
            if not yes:
                raise Failure("Nothing was changed; add --yes to do it.", FAILED)
            made = go_on(files, found, going_on, _chance(going_on))
        finally:
            files.unlock()
    except StorageError as error:
        raise Failure(f"{error}.", STORAGE) from None
    _print(found, made, as_json)
    return 0


def _named(given: list[str]) -> "dict[str, Position | None]":
    from node.survivors import Point, Position

    named: dict[str, Position | None] = {}
    for text in given:
        match = _SURVIVOR.fullmatch(text)
        if match is None:
            raise Failure(f"--survivor {text} is neither NAME nor NAME=POSITION, as in n1=7/1204:7/1200.", USAGE)
        name, *numbers = match.groups()
        if name in named:
            raise Failure(f"--survivor names {name} twice.", USAGE)
        if numbers[0] is None:
            named[name] = None
        else:
            end_term, end, commit_term, commit = map(int, numbers)
            named[name] = Position(Point(end_term, end), Point(commit_term, commit))
    return named


def _files(folder: Path) -> "OsFiles":
    from node.storage.files import OsFiles

    if (folder / "data").is_dir() and (folder / "node.log").exists():  # raft-node cluster keeps the log one deeper
        folder = folder / "data"
    if not folder.is_dir():
        raise Failure(f"There is no folder {folder}: name this survivor's data folder.", USAGE)
    return OsFiles(folder)


def _going_on(found: "Survivor", named: "dict[str, Position | None]") -> list[str]:
    """The names of those that go on, this one among them. Raises Failure where that cannot be."""
    from node.survivors import CannotGoOn, going_on

    name, position = found.member.name, found.position
    if name not in named:
        raise Failure(f"This is the folder of {name}, which no --survivor names. Nothing was changed.", USAGE)
    if found.configuration.member(name) != found.member:
        raise Failure(f"{name} is no member of its cluster with this disk: choose another survivor.", FAILED)
    for other in named:
        if found.configuration.member(other) is None:
            names = ", ".join(member.name for member in found.configuration.members)
            raise Failure(f"--survivor {other} is no member: they are {names}. Nothing was changed.", USAGE)
    if named[name] not in (None, position):
        raise Failure(
            f"{name} is at {position}, not at {named[name]}: ask each anew, without --yes. Nothing was changed.",
            FAILED,
        )
    if len(named) > 1 and None in named.values():
        raise Failure(
            f"{name} is at {position}: where several go on, name each with its position, here --survivor "
            f"{name}={position}; this command says the others' on their folders. Nothing was changed.",
            FAILED,
        )
    try:
        return going_on(found, {other: at or position for other, at in named.items()})
    except CannotGoOn as why:
        raise Failure(f"{why} Nothing was changed.", FAILED) from None


def _sentences(found: "Survivor", going_on: list[str]) -> list[str]:
    """What it comes to."""
    name, position = found.member.name, found.position
    lost = [member.name for member in found.configuration.members if member.name not in going_on]
    many = len(going_on) > 1
    says = [
        f"{', '.join(sorted(going_on))} will be the only member{'s' if many else ''} of a new cluster, with everything "
        f"up to entry {position.end.index}.",
        f"LOST: every write that the log of {name} does not hold, also where its client was told that it is done. "
        f"{name} cannot know whether there is any.",
    ]
    if position.end.index > position.committed.index:
        says.append(
            f"KEPT: entries {position.committed.index + 1} to {position.end.index}, though {name} does not know that "
            "they were committed: the clients of some may have heard that the outcome is unknown."
        )
    if lost:
        says.append(
            f"SHUT OUT: {', '.join(lost)}, with the disks that they have. They must stay off: where a majority of them "
            "runs, it goes on as the old cluster. On empty folders they can be let in anew."
        )
    return says


def _say(found: "Survivor", going_on: list[str], yes: bool, as_json: bool) -> None:
    name, position = found.member.name, found.position
    says = _sentences(found, going_on)
    if not as_json:
        print(f"{name} is at {position}: --survivor {name}={position}", *says, sep="\n", flush=True)
    elif not yes:
        told = {"name": name, "position": str(position), "goes_on": going_on, "says": says}
        print_object({**told, "cluster_id": found.recovered.cluster_id})


def _chance(going_on: list[str]) -> str:
    """Where one goes on alone no other folder has to agree, so not even a copy of this one makes the same cluster."""
    return "" if len(going_on) > 1 else chance()


def _print(found: "Survivor", made: "GoneOn", as_json: bool) -> None:
    base = made.info.base
    names = [member.name for member in base.configuration.voters]
    stdout.done(f"{found.member.name} is a member of the new cluster {base.cluster_id}: that is done")
    if as_json:
        print_object({"name": found.member.name, "cluster_id": base.cluster_id, "members": names, "index": base.index,
                      "revision": made.revision, "keys": made.keys, "kept": made.kept})  # fmt: skip
        return
    print(f"Done: {found.member.name} is of the new cluster {base.cluster_id}, with {', '.join(names)} alone.")
    print(f"It begins with {made.keys} keys at revision {made.revision}; the old files are in {made.kept}.")


def _finished(files: "OsFiles", as_json: bool) -> int:
    """An earlier run was broken off when all had been decided."""
    from node.storage import swapping

    kept = swapping.finish(files)
    stdout.done("What an earlier run began is finished")
    if as_json:
        print_object({"finished": True, "kept": kept})
    else:
        print(f"What an earlier run began is finished; the old files are in {kept}.")
    return 0
