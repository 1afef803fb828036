"""`raft-chaos kill-leader` and `partition`: plan, ask, run, show."""

import contextlib
import random
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import msgspec
import typer

from chaos import guard
from chaos.cli import show, stdout
from chaos.cli.execute import Interrupted, Progress, execute, print_json, spelled
from chaos.cli.junit import promised
from chaos.cli.options import SEED_MAX, Common, seconds, with_common
from chaos.clock import Clock
from chaos.errors import ChaosError, Refused, Usage
from chaos.evidence.record import RunRecord
from chaos.faults.groups import Isolate, Shape, parse_sizes
from chaos.faults.kill_leader import KillLeader
from chaos.faults.partition import Partition
from chaos.faults.port import Fault, Plan
from chaos.observe.nodeapi import new_session
from chaos.run import Options, RunResult, run
from chaos.run.order import look
from chaos.situation import Situation
from chaos.targets.port import Target

TIMES_MAX = 1000
DOWN_SECONDS, PARTITION_SECONDS = 2.0, 30.0
EVERY_TEXT, WITHIN_TEXT = "5s", "30s"
_FAULT = "The fault"
MakeFaults = Callable[[random.Random], Sequence[Fault]]

Within = Annotated[
    str, typer.Option(metavar="30s", help="how soon the cluster must be whole again", rich_help_panel="The run")
]
QuorumLoss = Annotated[
    bool,
    typer.Option("--allow-quorum-loss", help="also where nobody could decide any more", rich_help_panel="The run"),
]


def register(app: typer.Typer) -> None:
    app.command("kill-leader")(with_common(_kill_leader))
    app.command("partition")(with_common(_partition))


def _kill_leader(
    common: Common,
    times: Annotated[
        int, typer.Option(min=1, max=TIMES_MAX, metavar="N", help="how many leaders", rich_help_panel=_FAULT)
    ] = 1,
    every: Annotated[
        str, typer.Option(metavar="5s", help="pause after each recovery", rich_help_panel=_FAULT)
    ] = EVERY_TEXT,
    mode: Annotated[
        Literal["delete", "sigkill"],
        typer.Option(
            help="delete: it is asked to leave (SIGTERM) and hands its lead over; sigkill: it dies at once",
            rich_help_panel=_FAULT,
        ),
    ] = "delete",
    within: Within = WITHIN_TEXT,
    allow_quorum_loss: QuorumLoss = False,
) -> int:
    """Kill whoever leads, while clients write and read, and show the failover step by step.

    The leader is found in the instant before the act. The next kill waits until
    every voter has caught up. --duration: how long the node stays down (local
    clusters; in Kubernetes it is started again at once).

    [bold]Examples[/bold]
      raft-chaos kill-leader --mode sigkill
      raft-chaos kill-leader --times 5 --every 10s --yes
      raft-chaos kill-leader --dry-run
    """
    pause_s = seconds(every)
    down_s = common.duration_s(DOWN_SECONDS)

    def faults(_: random.Random) -> list[Fault]:
        return [KillLeader(mode, number, times) for number in range(1, times + 1)]

    return _break(common, "kill-leader", faults, down_s, pause_s, seconds(within), allow_quorum_loss)


def _partition(
    common: Common,
    isolate: Annotated[
        str | None, typer.Option(metavar="leader|follower|NODE", help="cut one node off", rich_help_panel=_FAULT)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="2,3", help="sizes of the groups, the leader's first", rich_help_panel=_FAULT),
    ] = None,
    within: Within = WITHIN_TEXT,
    allow_quorum_loss: QuorumLoss = False,
) -> int:
    """Cut the cluster in two (or more), prove that the cut holds, and show what each side did.

    Without options it isolates the leader for 30 s. The clock of the fault starts
    only when new connections fail and nobody hears the other side any more; a cut
    that cannot be proven is taken back, exit code 3.

    [bold]Examples[/bold]
      raft-chaos partition
      raft-chaos partition --isolate follower --duration 1m
      raft-chaos partition --split 2,3 --seed 7 --yes
      raft-chaos partition --dry-run
    """
    if isolate is not None and split is not None:
        raise Usage("--isolate and --split exclude each other: give one of the two.")
    shape: Shape = parse_sizes(split) if split is not None else Isolate(isolate or "leader")
    lasts_s = common.duration_s(PARTITION_SECONDS)

    def faults(rng: random.Random) -> list[Fault]:
        return [Partition(shape, rng, lasts_s)]

    return _break(common, "partition", faults, lasts_s, 0.0, seconds(within), allow_quorum_loss)


def _break(
    common: Common,
    name: str,
    make: MakeFaults,
    duration_s: float,
    every_s: float,
    within_s: float,
    allow_quorum_loss: bool,
) -> int:
    seed = common.seed if common.seed is not None else random.SystemRandom().randrange(SEED_MAX >> 31)
    options = Options(
        name=name,
        seed=seed,
        out=common.runs,
        command_line=spelled(shlex.join(["raft-chaos", *sys.argv[1:]])),
        heal_command=spelled(common.again("heal --all")),
        duration_s=duration_s,
        every_s=every_s,
        recovery_limit_s=within_s,
        allow_quorum_loss=allow_quorum_loss,
    )
    faults = make(random.Random(seed))
    with promised(None if common.dry_run else common.junit, name) as judged:
        return execute(common, lambda target: _plan_and_run(common, target, faults, options, judged))


async def _plan_and_run(
    common: Common, target: Target, faults: Sequence[Fault], options: Options, judged: Callable[[RunRecord], int]
) -> int:
    async with new_session() as session:
        situation = await look(target, session, Clock())
    if not situation.leader:
        await guard.refuse_leftovers(target)
        guard.refuse_leaderless(situation, target)
    plan = faults[0].plan(situation, target)
    if common.dry_run:
        await _dry_run(common, target, plan, situation, options)
        return 0
    if not common.yes:  # before somebody is asked in vain; the run itself looks again, under its lock
        await _guards(target, plan, situation, options)
        with _ctrl_c_while_asking():
            try:
                guard.confirm(plan, target, sys.stderr, sys.stdin)
            except (OSError, UnicodeDecodeError):
                raise Refused("Nobody can be asked here, so nothing was changed: add --yes.") from None
    result = await run(target, faults, options, Progress(common, show.announce(target.title, plan, options.seed)))
    stdout.done(f"The run is over (exit code {result.exit_code}) and its report is {result.folder / 'report.html'}")
    code = judged(result.record)
    _show(common, result)
    return code


async def _dry_run(common: Common, target: Target, plan: Plan, situation: Situation, options: Options) -> None:
    refusal = ""
    try:
        await _guards(target, plan, situation, options)
    except ChaosError as error:
        refusal = str(error)
    if common.json:
        told_of = {"title": plan.title, "acts": plan.acts, "predictions": plan.predictions}
        print_json({"dry_run": True, "target": target.title, "seed": options.seed, **told_of, "refusal": refusal})
    else:
        show.plan(target.title, plan, options.seed, refusal)


async def _guards(target: Target, plan: Plan, situation: Situation, options: Options) -> None:
    await guard.refuse_leftovers(target)
    guard.refuse_harm(plan, situation, target, options.allow_quorum_loss)
    await guard.refuse_objections(plan, target)


def _show(common: Common, result: RunResult) -> None:
    if common.json:
        print_json({**msgspec.to_builtins(result.record), "folder": str(result.folder), "trouble": result.trouble})
    else:
        show.run(result.record, result.record.failovers, result.folder, result.trouble)


@contextlib.contextmanager
def _ctrl_c_while_asking() -> Iterator[None]:
    """Reading an answer blocks the loop, so Ctrl-C must end it the plain way."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("Interrupted at the question; nothing was changed.") from None
    finally:
        signal.signal(signal.SIGINT, before)
