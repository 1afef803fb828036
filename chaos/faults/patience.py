"""Asking a target again where asking failed: one request that is lost must not end a run that holds.

Why it exists: API servers restart, and connections to them break; whoever only looks may look again. It must not be
used for acts, and not hide an answer: what stays wrong is raised.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chaos.errors import ChaosError, Refused

TRIES_MAX = 4
PAUSE_SECONDS = 1.0
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
