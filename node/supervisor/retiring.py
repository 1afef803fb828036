"""Whether a node of this machine still belongs to the cluster: only who does not may be ended for good.

Why it exists: ending the process of a member is a failure, ending that of a removed one is tidy, and only the leader's
word tells them apart. It must not end anything.
"""

import asyncio
from collections.abc import Callable

import aiohttp

from node.supervisor.layout import NodeEntry
from node.supervisor.watch import fetch_status

ASK_SECONDS_MAX = 5.0
"""Who was removed as leader hands over first: so long is a leader looked for that knows of the removal."""
ASK_AGAIN_SECONDS = 0.1


async def why_not_retire(
    session: aiohttp.ClientSession, entries: Callable[[], tuple[NodeEntry, ...]], name: str
) -> str:
    """Why `name` must go on, one sentence; empty: a leader leads without it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ASK_SECONDS_MAX
    while why := await _why(session, entries(), name):
        if loop.time() > deadline:
            return why
        await asyncio.sleep(ASK_AGAIN_SECONDS)
    return ""


async def _why(session: aiohttp.ClientSession, entries: tuple[NodeEntry, ...], name: str) -> str:
    answers = await asyncio.gather(*(fetch_status(session, entry.url) for entry in entries))
    leading = [answer for answer in answers if answer is not None and answer.role == "leader"]
    if not leading:
        return f"Nobody leads, so nobody knows whether {name} is a member: it goes on."
    lead = max(leading, key=lambda status: status.term)
    if name in {member.name for member in (*lead.voters, *lead.learners)}:
        return f"{name} is a member still: raft-node members remove {name} first."
    return ""
