"""One command that breaks something: plan, ask, run, show.

Why it exists: every fault is asked about, run and shown the same way. It must not know any fault: see breaking.py.
"""

import contextlib
import random
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

import msgspec

from chaos import guard
from chaos.cli import show, stdout
from chaos.cli.execute import Interrupted, Progress, execute, print_json, spelled
from chaos.cli.junit import promised
from chaos.cli.options import SEED_MAX, Common
from chaos.clock import Clock
from chaos.errors import ChaosError, Refused
from chaos.evidence.record import RunRecord
from chaos.faults.port import Fault, Plan
from chaos.observe.nodeapi import new_session
from chaos.run import Options, RunResult, run
from chaos.run.order import look
from chaos.situation import Situation
from chaos.targets.port import Target

MakeFaults = Callable[[random.Random], Sequence[Fault]]


def attempt(
    common: Common,
    name: str,
    make: MakeFaults,
    duration_s: float,
    every_s: float,
    within_s: float,
    allow_quorum_loss: bool,
    switch: bool = True,
) -> int:
    """Its exit code. `make`: the faults, by chance. `switch`: whether a dead man's switch stands ready."""
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
        switch=switch,
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
    armed = target.arm_plan(plan.cut is not None) if options.switch else ""
    plan = msgspec.structs.replace(plan, acts=tuple(filter(None, (armed, *plan.acts))))
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
