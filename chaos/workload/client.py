"""One client: pinned to one node, one request under way at a time, everything that it was told written down.

Why it exists: a client that fails over by itself hides what a node does when it is cut off; the one that stays shows
it. It must not repeat a request: a value is written at most once, so that whoever reads it knows which write it saw.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Literal

import aiohttp
import msgspec

from chaos.clock import Clock
from chaos.observe.nodeapi import Reply
from chaos.systems.port import System
from chaos.workload.history import Op

REQUEST_TIMEOUT_SECONDS = 1.0
FAILURE_PAUSE_SECONDS = 0.1
"""After a request that was not answered with success, before the next one."""
FAILURE_CHARACTERS = 200


class Pinned(msgspec.Struct, frozen=True):
    """Who a client is, and whom it asks."""

    name: str
    node: str
    url: str
    every_s: float


class Client:
    """Asks until `run` is cancelled or `stop` was called; `keep` takes each `Op` when it is done."""

    def __init__(
        self,
        who: Pinned,
        system: System,
        session: aiohttp.ClientSession,
        clock: Clock,
        rng: Random,
        keep: Callable[[Op], None],
    ) -> None:
        self.who, self._system = who, system
        self._session, self._clock, self._rng, self._keep = session, clock, rng, keep
        self._number = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no other request."""
        self._stopping.set()

    async def write(self, key: str) -> None:
        """Write 1, 2, 3, ... to the key, which is this client's alone."""
        await self._paced(lambda number: self._once("write", key, number))

    async def read(self, keys: Sequence[str]) -> None:
        """Read one of the keys after the other, in random order."""
        await self._paced(lambda _: self._once("read", self._rng.choice(keys), None))

    async def _paced(self, ask: Callable[[int], Awaitable[bool]]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._rng.random() * self.who.every_s
        while not await self._stopped_by(due - loop.time()):
            self._number += 1
            good = await ask(self._number)
            now = loop.time()
            due = max(due + self.who.every_s, now) if good else max(due + self.who.every_s, now + FAILURE_PAUSE_SECONDS)

    async def _stopped_by(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopping.wait()
        except TimeoutError:
            return self._stopping.is_set()
        return True

    async def _once(self, kind: Literal["write", "read"], key: str, value: int | None) -> bool:
        number, sent_us = self._number, self._clock.now_us()
        reply = Reply("unknown" if kind == "write" else "fail", 0, "the run ended before the answer")
        try:
            if value is None:
                reply = await self._system.read(self._session, self.who.url, key, REQUEST_TIMEOUT_SECONDS)
            else:
                reply = await self._system.write(self._session, self.who.url, key, value, REQUEST_TIMEOUT_SECONDS)
        except Exception as error:  # a client that dies would leave a silence that looks like the cluster's
            reply = Reply(reply.outcome, 0, f"this client failed: {type(error).__name__}: {error}"[:FAILURE_CHARACTERS])
        finally:
            self._keep(
                Op(
                    client=self.who.name,
                    number=number,
                    kind=kind,
                    key=key,
                    value=reply.value if value is None else value,
                    via=self.who.node,
                    sent_us=sent_us,
                    done_us=self._clock.now_us(),
                    outcome=reply.outcome,
                    code=reply.code,
                    error=reply.error,
                    revision=reply.revision,
                )
            )
        return reply.outcome == "ok"
