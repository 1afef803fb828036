"""`raft-node demo-scenario`: the classic situations of Raft with real processes, prediction first."""

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import stdout
from node.cli.failure import USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object, print_table

if TYPE_CHECKING:
    from node.scenarios.catalogue import Scenario

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "node.cli")
"""What `raft-node` is started by, for the scenarios' nodes."""
EXIT_CODES = (
    "Exit codes: 0 all as predicted, 1 something was not, 64 wrong argument, "
    "70 a scenario could not be played (which says nothing about Raft)."
)


class Speed(StrEnum):
    """See `node.scenarios.outcome.SPEEDS`."""

    NORMAL = "normal"
    SLOW = "slow"


def register(app: typer.Typer) -> None:
    app.command("demo-scenario", epilog=EXIT_CODES)(for_programs(_demo_scenario))


def _demo_scenario(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="one of --list")] = None,
    play_all: Annotated[bool, typer.Option("--all", help="one after the other")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="what there is")] = False,
    speed: Annotated[Speed, typer.Option(help="slow: time to read, and to watch the nodes")] = Speed.NORMAL,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object a line")] = False,
) -> int:
    """Play a classic situation of Raft with five real processes.

    Says what happens, predicts what the cluster will do, and shows what it
    did. Each scenario has nodes of its own, on free ports and in a temporary
    folder; your cluster is not touched.

    [bold]Examples[/bold]
      raft-node demo-scenario --list
      raft-node demo-scenario leader-failure
      raft-node demo-scenario split-vote --speed slow
      raft-node demo-scenario --all --json
    """
    from node.scenarios.catalogue import BY_NAME

    if show_list and (play_all or name is not None):
        raise Failure(f"--list and {name or '--all'} exclude each other: give one of the two.", USAGE)
    if show_list or (name is None and not play_all):
        _print_list(as_json)
        return 0
    if name is not None and play_all:
        raise Failure(f"Name one scenario or say --all, not both: {name} --all.", USAGE)
    if name is not None and name not in BY_NAME:
        raise Failure(f"There is no scenario {name!r}; there are {', '.join(BY_NAME)}.", USAGE)
    return _play(_all() if name is None else (BY_NAME[name],), speed.value, as_json)


def _all() -> "tuple[Scenario, ...]":
    """Those that can be played here."""
    from node.scenarios.catalogue import SCENARIOS
    from node.scenarios.ranks import there_is_mpi

    if there_is_mpi(os.environ):
        return tuple(SCENARIOS)
    left_out = [scenario.name for scenario in SCENARIOS if scenario.nodes == "ranks"]
    print(f"Not played, for there is no MPI here (pip install '.[mpi]'): {', '.join(left_out)}.", file=sys.stderr)
    return tuple(scenario for scenario in SCENARIOS if scenario.name not in left_out)


def _play(scenarios: "tuple[Scenario, ...]", speed: str, as_json: bool) -> int:
    import asyncio

    from node.cli import wallclock
    from node.scenarios.narrator import Narrator
    from node.scenarios.nodes import Start
    from node.scenarios.outcome import SPEEDS
    from node.scenarios.run import Setting, play_all
    from node.supervisor.flags import flags_of

    stdout.done("The nodes of the scenario have ended")
    setting = Setting(SPEEDS[speed], Start(PROGRAM, flags_of, os.environ), wallclock.now_us)
    return asyncio.run(play_all(scenarios, setting, Narrator(as_json)))


def _print_list(as_json: bool) -> None:
    from node.scenarios.catalogue import SCENARIOS

    if as_json:
        for scenario in SCENARIOS:
            row = {"name": scenario.name, "title": scenario.title, "summary": scenario.summary}
            print_object(row)
        return
    rows = [(scenario.name, scenario.summary) for scenario in SCENARIOS]
    print_table(("scenario", "what happens"), rows, prose=1)
    print("Play one: raft-node demo-scenario leader-failure    All: raft-node demo-scenario --all")
