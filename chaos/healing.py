"""Takes back what earlier runs left: by their undo journals, and by what the cluster itself shows.

Why it exists: a tool that was killed cannot heal; the next one can. Undoing twice is harmless, so it can be repeated
until it says that nothing was there. A run that still goes on heals itself. It must not break anything.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from chaos import journal
from chaos.errors import ChaosError, NotRecovered, Refused
from chaos.evidence.folder import UNDO_FILE
from chaos.guard import describe
from chaos.journal import Kept, UndoJournal
from chaos.targets.port import Target, UndoStep

TRIES = 3
PAUSE_SECONDS = 1.0


class Healed(msgspec.Struct, frozen=True):
    """`undone`: what was taken back, a sentence each. `failed`: what could not be. `left`: what the cluster shows of
    other runs and was not asked for. `notes`: journals that could not be read or belong to another cluster."""

    undone: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """What there is to take back: `journals` of earlier runs against this cluster that have something open, and what
    the cluster shows. `runs`: the names of all runs that are kept here."""

    journals: tuple[Kept, ...]
    leftovers: tuple[UndoStep, ...]
    notes: tuple[str, ...]
    runs: frozenset[str] = frozenset()


async def find(target: Target, out: Path, cluster_id: str) -> Found:
    """Look, and change nothing. `cluster_id`: what the nodes call their cluster, empty if nobody answered.

    Raises ChaosError where the cluster cannot be looked at and no journal says what there is to do either.
    """
    kept, notes = journal.find(out, UNDO_FILE)
    ours = tuple(one for one in kept if _is_ours(one, target, cluster_id))
    leftovers: tuple[UndoStep, ...] = ()
    try:
        leftovers = tuple(await target.leftovers())
    except ChaosError as error:
        if not any(one.open_steps for one in ours):
            raise
        notes.append(f"What the cluster itself shows could not be looked at: {error}")
    runs = frozenset(one.header.run for one in ours)
    shown = {step.arguments.get("run") for step in leftovers}
    due = tuple(one for one in ours if one.open_steps or one.header.run in shown)
    foreign = [one for one in kept if one not in ours and one.open_steps]
    notes += [f"{one.path} belongs to another cluster: {one.header.target}" for one in foreign]
    return Found(due, leftovers, tuple(notes), runs)


async def heal(target: Target, found: Found, everything: bool, say: Callable[[str], None]) -> Healed:
    """Undo all that journals say, and what the cluster shows of the same runs; with `everything`, of any run.

    Raises Refused, nothing done, where any run still goes on here, whoever keeps its journal.
    """
    opened = _open(found.journals)
    seen = {step.arguments.get("run") for step in found.leftovers}
    """Of runs that were there before anybody made sure that none is alive: what begins later is not ours to undo."""
    undone: list[str] = []
    failed: list[str] = []
    noted: list[tuple[UndoJournal, list[UndoStep]]] = []
    try:
        if opened or (everything and found.leftovers):
            await target.refuse_living({one.header.run for one in opened}, say)
        for one in opened:
            if one.open_steps:
                say(f"{one.header.run} left {acts(len(one.open_steps))} to take back")
            done = [step for step in reversed(one.open_steps) if await undo(target, step, undone, failed, say)]
            noted.append((one, done))
        left = []
        for step in await _shown(target, failed):
            run = step.arguments.get("run")
            if run in found.runs or (everything and run in seen):
                await undo(target, step, undone, failed, say)
            else:
                left.append(describe(step))
    finally:
        for one, done in noted:  # last: a disk that hangs must not stand between two steps
            for step in done:
                one.undone(step)
        for one in opened:
            one.close()
    return Healed(tuple(undone), tuple(failed), tuple(left), found.notes)


async def _shown(target: Target, failed: list[str]) -> Sequence[UndoStep]:
    """What the cluster shows; where it cannot be looked at nobody may be told that nothing is left."""
    try:
        return await target.leftovers()
    except ChaosError as error:
        failed.append(f"Could not see whether anything is left: {error}")
        return ()


def acts(number: int) -> str:
    """ "1 act", "2 acts"."""
    return f"{number} act{'' if number == 1 else 's'}"


def raise_unless_healed(healed: Healed, command: str) -> None:
    """NotRecovered where something could not be taken back; `command`: what people type to try again."""
    if healed.failed:
        more = f" (and {len(healed.failed) - 1} more)" if len(healed.failed) > 1 else ""
        raise NotRecovered(f"{healed.failed[0].rstrip('.')}{more}: try again with {command}.")


def _is_ours(kept: Kept, target: Target, cluster_id: str) -> bool:
    if kept.header.kind != target.kind:
        return False
    if cluster_id and kept.header.cluster_id:
        return cluster_id == kept.header.cluster_id
    return kept.header.target == target.title


def _open(journals: Sequence[Kept]) -> list[UndoJournal]:
    opened: list[UndoJournal] = []
    try:
        for kept in journals:
            one = UndoJournal.reopen(kept.path)
            if one is None:
                raise Refused(
                    f"The run {kept.header.run} still goes on, or is just being healed: end it with Ctrl-C, or try "
                    "again in a minute; nothing was changed."
                )
            opened.append(one)
    except ChaosError:
        for other in opened:
            other.close()
        raise
    return opened


async def undo(
    target: Target, step: UndoStep, undone: list[str], failed: list[str], say: Callable[[str], None]
) -> bool:
    """One step, tried some times; whether it was taken back, which `undone` or `failed` tells. Never raises."""
    why = ""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE_SECONDS)
        try:
            done = (await target.undo(step)).rstrip(".")
        except Exception as error:  # the next step must be tried whatever became of this one
            why = str(error) or type(error).__name__
            continue
        undone.append(done)
        say(done)
        return True
    failed.append(f"Could not {describe(step)}: {why}")
    say(f"could not {describe(step)}: {why.rstrip('.')}")
    return False
