"""Arms the dead man's switch of a run, and lets go of it.

Why it exists: it has to watch before the first act and until the last one is taken back; making it takes a moment, in
which clients write already. It must not know what kind of switch it is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from chaos.run.stop import Stop
from chaos.switch.port import Charge, NoSwitch
from chaos.targets.port import Target


@contextlib.asynccontextmanager
async def armed(
    target: Target, charge: Charge, wanted: bool, stop: Stop
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Await what this yields before the first act: it returns once the switch watches, and raises Refused where it
    cannot."""
    arming = asyncio.create_task(target.arm(charge) if wanted else _none(), name="arm the switch")

    async def until_armed() -> None:
        await asyncio.shield(arming)

    try:
        yield lambda: stop.while_working(until_armed())
    finally:
        arming.cancel()
        await asyncio.gather(arming, return_exceptions=True)
        if not arming.cancelled() and arming.exception() is None:
            switch = arming.result()
            await (switch.leave() if charge.open_steps() else switch.disarm())


async def _none() -> NoSwitch:
    return NoSwitch()
