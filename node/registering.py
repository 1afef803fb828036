"""Says to the registry where this process is, and how it is, again and again; and says goodbye.

Why it exists: the registry forgets whoever does not repeat itself, and starts empty; so nothing but repetition is
needed for it to be full. It runs beside the node: no failure of the registry is one of the node's. It must not look
anybody up.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

from node.discovery.port import ResolutionError
from node.discovery.words import Registered, Registration
from node.raft.types import MemberAddress
from node.runtime.ports import Status
from node.settings.values import ANY_ADDRESS

REPEAT_S = 2.0
TTL_MS = 6000
"""Two repetitions may be lost."""
LOOK_S = 0.25
"""How often it is looked whether role, leader or term have changed, which is told at once."""
RIVALS_TOLD_MAX = 16
"""Processes of this node's name that are told of in the log."""

_LOG = logging.getLogger("node")


class Registry(Protocol):
    """Satisfied by `node.discovery.asking.RegistryClient`."""

    url: str

    async def register(self, said: Registration) -> Registered: ...
    async def withdraw(self, name: str, boot: str) -> None: ...


class Registrar:
    """`address`: how peers reach this node; None: it registers without. `status`: how it is now, asked often."""

    def __init__(self, registry: Registry, address: MemberAddress | None, status: Callable[[], Status]) -> None:
        self._registry, self._address, self._status = registry, address, status
        self._task: asyncio.Task[None] | None = None
        self._failing: str | None = None
        self._rivals: dict[str, None] = {}

    def start(self) -> None:
        """From now on it is said."""
        self._task = asyncio.create_task(self._run(), name="registrations")

    async def stop(self) -> None:
        """Say nothing any more, but goodbye, where the registry takes it at once."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        status = self._status()
        with suppress(ResolutionError):
            await self._registry.withdraw(status.core.name, status.boot)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        before: Registration | None = None
        due_s = 0.0
        while True:
            now = self._registration()
            if now != before or loop.time() >= due_s:
                await self._say(now)
                before, due_s = now, loop.time() + REPEAT_S
            await asyncio.sleep(LOOK_S)

    async def _say(self, said: Registration) -> None:
        try:
            answer = await self._registry.register(said)
        except ResolutionError as error:
            if self._failing != str(error):
                self._failing = str(error)
                _LOG.warning("not registered: %s; links go on, and this is tried again", error)
            return
        if self._failing is not None:
            _LOG.info("registered again at %s", self._registry.url)
            self._failing = None
        for rival in answer.rivals:
            self._tell(rival)

    def _tell(self, rival: Registration) -> None:
        if rival.boot in self._rivals or len(self._rivals) >= RIVALS_TOLD_MAX:
            return
        self._rivals[rival.boot] = None
        disk = "a copy of this disk" if rival.incarnation == self._status().core.incarnation else "another disk"
        _LOG.warning(
            "another process calls itself %s, at %s port %d, on %s (incarnation %s): end one of the two; peers dial "
            "the one first whose disk is a member's",
            rival.name,
            rival.host,
            rival.port,
            disk,
            rival.incarnation,
        )

    def _registration(self) -> Registration:
        status = self._status()
        core, address = status.core, self._address
        return Registration(
            name=core.name,
            boot=status.boot,
            incarnation=core.incarnation,
            host=address.host if address is not None else "",
            port=address.port if address is not None else 0,
            url=status.client_url if _leads_somewhere(status.client_url) else "",
            role=core.role.value,
            leader=core.leader,
            term=core.term,
            cluster=core.cluster_id,
            ttl_ms=TTL_MS,
        )


def _leads_somewhere(url: str) -> bool:
    """A node that listens at every address, or at whatever port is free, and does not know its URL has none to tell."""
    said = urlsplit(url)
    return bool(said.hostname) and said.hostname not in ANY_ADDRESS and said.port != 0
