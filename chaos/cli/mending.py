"""`raft-chaos heal` and `report`: take back what earlier runs left, and judge a kept run again."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chaos import healing
from chaos.cli import show, stdout
from chaos.cli.execute import Interrupted, Progress, execute, print_json
from chaos.cli.junit import promised
from chaos.cli.options import Common, with_common
from chaos.clock import Clock
from chaos.errors import NOT_RECOVERED, PASSED, ChaosError, Usage
from chaos.evidence.folder import reopen
from chaos.evidence.loading import load_run
from chaos.guard import describe
from chaos.observe.nodeapi import new_session
from chaos.report import html
from chaos.run.order import look
from chaos.run.outcome import judged_again
from chaos.targets.port import Target


def register(app: typer.Typer) -> None:
    app.command("heal")(with_common(_heal))
    app.command("report")(with_common(_report))


def _heal(
    common: Common,
    everything: Annotated[
        bool, typer.Option("--all", help="also what the cluster shows of runs whose journals are not here")
    ] = False,
) -> int:
    """Take back what earlier runs left behind, for example after the tool was killed.

    It reads the undo journals of the runs in --out, and looks at the cluster
    itself. Healing twice is harmless. Exit code 2 where something could not be
    taken back, or where the cluster shows what runs left whose journals are not
    here, or cannot be read.

    [bold]Examples[/bold]
      raft-chaos heal
      raft-chaos heal --all
      raft-chaos heal --all --dry-run
    """
    common.refuse_junit()
    try:
        return execute(common, lambda target: _do_heal(common, target, everything))
    except Interrupted:
        again = common.again("heal --all" if everything else "heal")
        raise Interrupted(f"Interrupted; what was taken back stays so. For the rest, try again with {again}.") from None


async def _do_heal(common: Common, target: Target, everything: bool) -> int:
    cluster_id = ""
    with suppress(ChaosError):  # what was done is taken back, whether or not a node can be asked who it is
        async with new_session() as session:
            cluster_id = (await look(target, session, Clock())).cluster_id
    found = await healing.find(target, common.runs, cluster_id)
    if common.dry_run:
        _show_found(common, target, found)
        return 0
    healed = await healing.heal(target, found, everything, Progress(common))
    if healed.undone:
        stdout.done(f"Healed: took back {healing.acts(len(healed.undone))} in {target.title}")
    if common.json:
        healing.raise_unless_healed(healed, common.again("heal --all"))
        print_json({"target": target.title, **msgspec.to_builtins(healed)})
        return NOT_RECOVERED if healed.left else PASSED
    for note in healed.notes:
        show.print_rich(f"[yellow]note[/yellow]: {note}")
    healing.raise_unless_healed(healed, common.again("heal --all"))
    if healed.left:
        print(
            f"Of other runs there is still: {'; '.join(healed.left)}. Take it back with {common.again('heal --all')}."
        )
        return NOT_RECOVERED
    if healed.undone:
        print(f"Healed: took back {healing.acts(len(healed.undone))} in {target.title}.")
    else:
        print(f"Nothing to heal: no run left anything behind in {target.title}.")
    return PASSED


def _show_found(common: Common, target: Target, found: healing.Found) -> None:
    steps = [*(step for one in found.journals for step in one.open_steps), *found.leftovers]
    acts = list(dict.fromkeys(describe(step) for step in steps))
    if common.json:
        print_json({"dry_run": True, "target": target.title, "acts": acts, "notes": found.notes})
    elif acts:
        print(f"In {target.title} it would (dry run: nothing is changed)")
        print("\n".join(f"  {number}. {act}" for number, act in enumerate(acts, 1)))
    else:
        print(f"Nothing to heal: no run left anything behind in {target.title}.")


def _report(
    common: Common,
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="a folder in chaos-runs; without it the newest run in --out")
    ] = None,
) -> int:
    """Judge a kept run again by the checks of this version, and write its report anew.

    Needs no cluster. Exit code: that of the verdicts.

    [bold]Examples[/bold]
      raft-chaos report
      raft-chaos report chaos-runs/20260131T120000Z-partition
    """
    if run is not None and common.out is not None:
        raise Usage(f"The folder {run} and --out {common.out} exclude each other: give one of the two.")
    with promised(None if common.dry_run else common.junit, "report") as judged:
        kept = load_run(run or common.runs)
        folder = reopen(run or common.runs)
        record = judged_again(kept)
        if not common.dry_run:
            folder.write_run(record)
            evidence = kept.evidence
            folder.write_report(html.render(record, evidence.history, evidence.views, evidence.events))
            stdout.done(
                f"The run was judged again (exit code {record.exit_code}) and its report is "
                f"{folder.path / 'report.html'}"
            )
        code = judged(record)
    if common.json:
        print_json({**msgspec.to_builtins(record), "folder": str(folder.path)})
    else:
        show.run(record, record.failovers, folder.path, "; ".join(record.notes))
    return code
