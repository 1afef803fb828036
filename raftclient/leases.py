"""A lease that is kept alive: keys that are put with it go when it ends.

Why it exists: whoever holds something by a lease must know when it may hold it no more, although nobody can tell it:
it may be cut off. So it counts by its own clock from before it asked, and never believes that a lease lives longer than
the cluster does. It must not decide what follows from a loss.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from raftclient.asking import Send, ask
from raftclient.errors import ClientError, LeaseLost, NotDone

BEATS_PER_TTL = 3
"""A lease is kept alive so often in its time: two may get lost."""

TTL_SECONDS_MAX = 9_000_000_000


class Lease:
    """`async with client.lease(10) as lease:` grants it, keeps it alive and revokes it at the end.

    `id`: its number, for other clients of the cluster. `ttl_s`: how long it lives after the last keep-alive, in whole
    seconds. `lost` is set once it may have ended: wait for it, or ask `alive` before what must not be done without the
    lease, or call `check`, which raises `LeaseLost`. It lives at least as long as `alive` says; one that was lost here
    may still live for a while. A process that is stopped, or a machine that sleeps, finds out late: who must not be
    deceived is to be handed the revision of the key (a fencing token), and to refuse an older one.
    """

    def __init__(self, send: Send, ttl_s: int, timeout_s: float) -> None:
        self.id = 0
        self.ttl_s = ttl_s
        self.lost = asyncio.Event()
        self._send = send
        self._timeout_s = timeout_s
        self._ends_at = 0.0
        self._time: Callable[[], float] = lambda: 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it certainly lives at this moment. Any thread may ask."""
        return not self.lost.is_set() and self._time() < self._ends_at

    def check(self) -> None:
        """Raises `LeaseLost` unless it certainly lives."""
        if not self.alive:
            raise LeaseLost(self.id)

    async def __aenter__(self) -> Self:
        """Raises `NotDone` where no node grants it in time."""
        self._time = asyncio.get_running_loop().time
        began = self._time()
        answer = await self._ask("grant", {"TTL": self.ttl_s}, began + self._timeout_s)
        self.id, self.ttl_s = int(answer["ID"]), int(answer["TTL"])
        self._lives_on(began)
        self._beating = asyncio.create_task(self._beat(), name=f"keep lease {self.id} alive")
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """It is revoked where that can be done in time; else it ends by itself."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        if self._alarm is not None:
            self._alarm.cancel()
        until = min(self._ends_at, asyncio.get_running_loop().time() + self._timeout_s)
        self.lost.set()
        with contextlib.suppress(ClientError):
            await self._ask("revoke", {"ID": self.id}, until)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.lost.is_set():
            await asyncio.sleep(self.ttl_s / BEATS_PER_TTL)
            began = loop.time()
            with contextlib.suppress(NotDone):
                answer = await self._ask("keepalive", {"ID": self.id}, self._ends_at)
                if int(answer.get("TTL", 0)):
                    self._lives_on(began)
                else:
                    self.lost.set()

    def _lives_on(self, asked_at: float) -> None:
        """A node granted it, or kept it alive, some time after `asked_at`."""
        loop = asyncio.get_running_loop()
        if self.lost.is_set() or loop.time() >= asked_at + self.ttl_s:
            self.lost.set()
            return
        self._ends_at = asked_at + self.ttl_s
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(self._ends_at, self.lost.set)

    async def _ask(self, verb: str, message: dict[str, int], until: float) -> dict[str, Any]:
        """All of it may be asked twice: a lease that was granted in vain ends by itself. Raises `NotDone`."""
        return await ask(self._send, f"/v3/lease/{verb}", message, until, ("lease", b"%d" % self.id))
