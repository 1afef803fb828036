"""`raft-node simulate`: a whole cluster on virtual time, drawn from a seed, broken on purpose and judged."""

import contextlib
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.failure import FAILED, OK, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object, print_table

if TYPE_CHECKING:
    from node.simulation.playing import Played

NUMBER = re.compile(r"[fo][1-9]\d*")
SEED_MAX = 2**63 - 1
EXIT_CODES = "Exit codes: 0 every invariant held, 1 one did not, or the trace cannot be written, 64 wrong usage."


class Kind(StrEnum):
    """See `node.simulation.playing.KINDS`."""

    WORLD = "world"
    BIRTHS = "births"
    MEMBERS = "members"
    RETURNING = "returning"
    MACHINES = "machines"
    SESSIONS = "sessions"
    LEASES = "leases"
    LOCKS = "locks"
    WATCHES = "watches"
    SURVIVORS = "survivors"


def register(app: typer.Typer) -> None:
    app.command("simulate", epilog=EXIT_CODES)(for_programs(_simulate))


def _simulate(
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="which world: the same seed gives the same bytes")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="births: the first start alone; members: these change meanwhile; returning: those removed come back "
            "with their disks; machines: those given up speak again beside their successors; sessions: writes come "
            "again; leases: keys live by them; locks: clients take turns; watches: they follow what is written; "
            "survivors: a majority of disks is lost for good"
        ),
    ] = Kind.WORLD,
    trace: Annotated[Path | None, typer.Option(help="write everything that happened there, one line an event")] = None,
    without: Annotated[
        str, typer.Option(metavar="NUMBERS", help="leave out these faults and orders, as the trace numbers them: f3,o1")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> int:
    """Play a simulated cluster, drawn from a seed, and judge it.

    A few seconds of a cluster's life in one process: cuts, lost and late
    messages, kills, power failures, bad disks and clocks. What runs is the
    code of real nodes; time, network and disks are simulated. After every
    step the invariants of Raft must hold, and in the end every client must
    be served. Nothing real is touched.

    [bold]Examples[/bold]
      raft-node simulate --seed 7
      raft-node simulate --seed 7 --trace trace.txt
      raft-node simulate --seed 3 --kind births --json
    """
    from node.simulation.playing import play

    left_out = tuple(number.strip() for number in without.split(",") if number.strip())
    if not all(NUMBER.fullmatch(number) for number in left_out):
        raise Failure(f"--without {without}: numbers of faults and orders are as f3,o1, with commas between.", USAGE)
    with _trace(trace) as keep:
        played = play(kind.value, seed, keep, left_out)
    if as_json:
        print_object(played)
    else:
        _tell(played)
    return FAILED if played.violation else OK


@contextlib.contextmanager
def _trace(path: Path | None) -> Iterator[Callable[[bytes], None] | None]:
    """Where the lines of the trace go; None: nowhere."""
    if path is None:
        yield None
        return
    try:
        with path.open("wb") as file:
            yield lambda line: file.writelines((line, b"\n"))
    except OSError as error:
        raise Failure(f"The trace cannot be written to {path}: {error.strerror}; name another --trace.") from error


def _tell(played: "Played") -> None:
    happened = [(name, str(count)) for name, count in played.outcomes.items() if count]
    faults = [(name, str(count)) for name, count in played.faults.items()]
    print(
        f"{played.kind} {played.seed}: {played.servers} servers, {played.committed} entries committed, "
        f"{played.terms} terms in {played.at_us / 1e6:.1f} s of virtual time; trace {played.digest[:16]}"
    )
    print()
    print_table(("what happened", "times"), happened)
    print()
    print_table(("what was done to it", "times"), faults)
    print()
    if played.violation:
        print(f"VIOLATED after {played.at_us / 1e6:.3f} s: {played.violation}")
    else:
        print("Every invariant held after every step, and every client was served once it was left in peace.")
