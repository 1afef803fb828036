"""The way out of a node that is asked to stop, each step with its bound, so that no client notices.

Why it exists: whoever sends requests to a node learns late that it leaves (a load balancer's list of ready nodes lags,
clients keep connections open), and writes under way must get their answer while the lead moves. In order: not ready;
the lead is handed over; for `wait_s` everything is served and forwarded as before, and every answer retires its
connection; the lead is handed over again, should nobody have taken it or should it have come back. A node that was
never ready does not wait: nobody sends it anything. What follows (no new connections, requests under
way answered, links closed with goodbye, files closed) is app.py's, in the opposite order of the start. All of it ends
within `Settings.leave_ms_max`. It must not decide when to leave.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from node.raft.types import Role
from node.runtime.ports import CommandOutcome, Readiness, Status

HAND_OVER_US_MAX = 1_000_000
"""How long one hand-over is waited for; the core itself blocks proposals for one election timeout at most."""

_LOG = logging.getLogger("node")


class Leaver(Protocol):
    """What leaving needs of the shell."""

    def leave(self) -> None: ...
    def status(self) -> Status: ...
    def readiness(self) -> Readiness: ...
    async def command(
        self, name: str, arguments: dict[str, object], timeout_us: int, node: str = ""
    ) -> CommandOutcome: ...


class StopSignals:
    """SIGTERM and SIGINT: the first asks to leave, a second one ends the wait."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        """A signal came."""
        (self.hurried if self.asked.is_set() else self.asked).set()

    def fail(self) -> None:
        """Nothing is left to be waited for."""
        self.asked.set()
        self.hurried.set()


async def leave(shell: Leaver, retire_connections: Callable[[], None], signals: StopSignals, wait_s: float) -> None:
    """From ready to ready to close; see the module."""
    shell.leave()
    retire_connections()
    await hand_over(shell)
    if shell.readiness().caught_up:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await signals.hurried.wait()
    await hand_over(shell)


async def hand_over(shell: Leaver) -> None:
    """A leader that leaves gives the lead away first: the others need not wait for its silence (decision 8)."""
    status = shell.status()
    if status.core.role is Role.LEADER and status.links_up:
        outcome = await shell.command("transfer_leadership", {}, HAND_OVER_US_MAX)
        _LOG.info("hand-over before leaving: %s", outcome.message)
