"""Keeps the lock of a run for as long as it lasts.

Why it exists: a second run must be refused while the first one goes on, and must not wait for ever for one that died.
It must not decide what happens when the lock is lost: it asks for the end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from chaos.errors import TOOL_FAILED, Refused
from chaos.run.stop import Stop
from chaos.targets.port import Target

LEASE_SECONDS = 15.0
"""Also how long `heal --all` waits at most to see whether a run elsewhere is still alive."""
RENEW_SECONDS = 3.0
LATE_SECONDS = 1.0


@contextlib.asynccontextmanager
async def locked(target: Target, run: str, stop: Stop) -> AsyncIterator[None]:
    """Be the only run against this cluster; `Refused` names who else is."""
    renewal: asyncio.Task[None] | None = None
    try:
        await stop.while_working(target.lock(run, LEASE_SECONDS))
        renewal = asyncio.create_task(_renew(target, run, stop), name="renew the lock")
        yield
    finally:
        if renewal is not None:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        with contextlib.suppress(Exception):  # it can be let go by others, and must not cost a run its folder
            await target.unlock()


class _End:
    """When `lost` is called, unless it is put off before. One that comes too late itself shows that this process stood
    still: then there is time to ask for the lock once more, and whoever has it by now says so."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._timer: asyncio.TimerHandle | None = None

    def put_off(self, due: float) -> None:
        """Until then, on the loop's clock."""
        self.never()
        self._timer = self._loop.call_at(due, self._comes, due)

    def never(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _comes(self, due: float) -> None:
        now = self._loop.time()
        if now > due + LATE_SECONDS:
            self.put_off(now + 2 * RENEW_SECONDS)
        else:
            self._lost()


async def _renew(target: Target, run: str, stop: Stop) -> None:
    """Again and again. The end is asked for by a timer: it must come before the lock ends, however long a renewal that
    fails takes."""
    loop = asyncio.get_running_loop()
    why = "no answer"
    end = _End(lambda: stop.request(f"The lock of this run could not be renewed, so it ends: {why}", TOOL_FAILED))
    end.put_off(loop.time() + LEASE_SECONDS - RENEW_SECONDS)
    try:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            asked = loop.time()
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await target.lock(run, LEASE_SECONDS)
            except Refused as error:
                stop.request(f"The lock of this run was lost, so it ends: {error}", TOOL_FAILED)
                return
            except Exception as error:
                why = str(error) or "no answer"
            else:
                end.put_off(asked + LEASE_SECONDS - RENEW_SECONDS)
    finally:
        end.never()
