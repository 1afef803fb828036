"""Who may ask this node for what, put together from its settings.

Why it exists: the rooms that ask do not know `Settings`, and app.py has the order of start and end. It must not decide
anything.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from node.access.audit import Audit
from node.access.counts import AccessCounts
from node.access.entrance import Access
from node.access.tokens import TokenFile
from node.observe.trace import Trace
from node.settings import Settings

USERS_LOOK_S = 1.0
"""How often it is looked whether the cluster's users are the same, for whom something stands open."""

_LOG = logging.getLogger("node.audit")


class Admitted(NamedTuple):
    """`tokens` None: there is no file of them, and nothing to look at."""

    access: Access
    counts: AccessCounts
    tokens: TokenFile | None


def admit(settings: Settings, trace: Trace) -> Admitted:
    """Read the file; nobody watches it yet. Raises TokensError."""

    def tell(kind: str, detail: dict[str, str | int | bool]) -> None:
        trace.transition(kind, trace.term, trace.role, detail)

    def line(detail: dict[str, str | int | bool]) -> None:
        _LOG.info("audit %s", detail, extra={"fields": {"kind": "audit", "detail": detail}})

    now = asyncio.get_running_loop().time
    counts = AccessCounts(tell, now)
    audit = Audit(lambda detail: tell("audit", detail), line, now, counts.audited, writes=settings.audit == "writes")
    tokens = TokenFile(settings.tokens_file, counts) if settings.tokens_file else None
    access = Access([tokens] if tokens is not None else [], counts, audit, asyncio.get_running_loop().call_soon)
    if tokens is not None:
        tokens.changed = access.changed
    return Admitted(access, counts, tokens)


def look_at_users(access: Access, later: Callable[[float, Callable[[], None]], None]) -> None:
    """From now on, again and again. `later(seconds, action)`: the loop's timer."""

    def look() -> None:
        access.look_at_users()
        later(USERS_LOOK_S, look)

    later(USERS_LOOK_S, look)
