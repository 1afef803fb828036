"""Takes the fault of a run back, insisting, and proves that it is gone.

Why it exists: a fault that stays is the worst thing that this tool can leave behind. Whatever fails is tried again, in
bounds, and what an act that was broken off brought about only afterwards is looked for too. It must not raise: what
cannot be healed is told.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chaos.errors import NotRecovered
from chaos.faults.port import Fault, Scene
from chaos.journal import UndoJournal

INSIST_SECONDS_MAX = 300.0
"""So long each step of the healing is begun again: API servers restart, and laptops lose their network."""
TRY_SECONDS = 60.0
"""Of taking back, once. Proofs have bounds of their own."""
PAUSE_SECONDS = 1.0
"""Between tries, twice as long each time."""
PAUSE_SECONDS_MAX = 10.0
T = TypeVar("T")


async def take_back(fault: Fault, scene: Scene, journal: UndoJournal) -> str:
    """Revert, prove, clear; why it is not healed, a sentence without its end; empty: it is."""

    async def revert() -> None:
        async with asyncio.timeout(TRY_SECONDS):
            await fault.revert(scene)

    try:
        await _insist(revert, scene)
    except Exception as error:
        return f"The fault could not be taken back: {_said(error)}"
    try:
        await _prove(fault, scene, journal)
    except Exception as error:
        return _said(error)
    for step in journal.open_steps:
        journal.undone(step)
    return ""


async def _prove(fault: Fault, scene: Scene, journal: UndoJournal) -> None:
    """A second time where the first one failed for something that came late."""
    try:
        await _insist(lambda: fault.prove_healed(scene), scene)
    except NotRecovered:
        if not await _insist(lambda: _clear(scene, journal), scene):
            raise
        await _insist(lambda: fault.prove_healed(scene), scene)
    await _insist(lambda: _clear(scene, journal), scene)


async def _clear(scene: Scene, journal: UndoJournal) -> bool:
    """Undo what an act that was broken off brought about only after it had been taken back; whether there was any."""
    found = [
        step
        for step in await scene.target.leftovers()
        if step.arguments.get("run") == scene.run or step in journal.announced
    ]
    for step in found:
        scene.say((await scene.target.undo(step)).rstrip("."))
    return bool(found)


async def _insist(act: Callable[[], Awaitable[T]], scene: Scene) -> T:
    """`act`, begun again while it fails; what was looked at to the end of its time (NotRecovered) is not."""
    loop = asyncio.get_running_loop()
    until, pause_s, told = loop.time() + INSIST_SECONDS_MAX, PAUSE_SECONDS, False
    while True:
        try:
            return await act()
        except NotRecovered:
            raise
        except Exception as error:
            if loop.time() + pause_s > until:
                raise
            if not told:
                told = True
                why = _said(error).partition(";")[0]
                scene.say(f"healing is tried again, for {INSIST_SECONDS_MAX:.0f} s at most: {why}")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_SECONDS_MAX)


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
