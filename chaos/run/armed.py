"""Arms the dead man's switch of a run, and lets go of it.

Why it exists: it has to watch before the first act and until the last one is taken back; making it takes a moment, in
which clients write already. It must not know what kind of switch it is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from chaos.journal import UndoJournal
from chaos.run.stop import Stop
from chaos.switch.port import Charge, Switch
from chaos.targets.port import Target


@contextlib.asynccontextmanager
async def armed(
    target: Target, run: str, journal: UndoJournal, seconds_max: float, cuts: bool, stop: Stop
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Await what this yields before the first act: it returns once the switch watches, and raises Refused where it
    cannot."""
    charge = Charge(run, journal.path, seconds_max, cuts, stop.request)
    arming = asyncio.create_task(target.arm(charge), name="arm the switch")

    async def until_armed() -> None:
        await asyncio.shield(arming)

    try:
        yield lambda: stop.while_working(until_armed())
    finally:
        arming.cancel()
        await asyncio.gather(arming, return_exceptions=True)
        if not arming.cancelled() and arming.exception() is None:
            await _let_go(arming.result(), journal)


async def _let_go(switch: Switch, journal: UndoJournal) -> None:
    if journal.open_steps:
        await switch.leave()
    else:
        await switch.disarm()
