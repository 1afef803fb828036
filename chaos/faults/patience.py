"""Asking a target again where asking failed: one request that is lost must not end a run that holds.

Why it exists: API servers restart, and connections to them break; whoever only looks may look again. It must not be
used for acts, and not hide an answer: what stays wrong is raised.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chaos.errors import ChaosError, Refused
from chaos.faults.port import Scene

TRIES_MAX = 4
PAUSE_SECONDS = 1.0
POLL_SECONDS = 0.05
T = TypeVar("T")


async def patiently(look: Callable[[], Awaitable[T]]) -> T:
    """What `look` returns; tried again, so often at most, while it fails. A refusal stays one."""
    for _ in range(TRIES_MAX - 1):
        try:
            return await look()
        except Refused:
            raise
        except ChaosError:
            await asyncio.sleep(PAUSE_SECONDS)
    return await look()


async def until_said(scene: Scene, limit_s: float, look: Callable[[], Awaitable[str]]) -> str:
    """The first word that `look` has, empty where it has none in time."""
    end_s = scene.ran_s() + limit_s
    while True:
        seen = await look()
        if seen or scene.ran_s() >= end_s:
            return seen
        await asyncio.sleep(POLL_SECONDS)
