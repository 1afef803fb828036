"""The nodes of this project, as a `System`: their `/status`, `/log`, `/kv`, `/events` and commands.

Why it exists: they are the first system; all that they are asked is in chaos/observe/nodeapi.py and past.py. It must
not import them.
"""

from collections.abc import Collection, Sequence

import aiohttp

from chaos.clock import Clock
from chaos.model import LogLine, View
from chaos.observe import nodeapi, past
from chaos.observe.nodeapi import STATUS_TIMEOUT_SECONDS, CommandAnswer, Reply
from chaos.systems.port import Feature


class RaftNode:
    """See `System`."""

    name = "raft-node"
    lacks: Collection[Feature] = ()

    async def view(
        self,
        session: aiohttp.ClientSession,
        node: str,  # noqa: ARG002 - the answer names the node
        url: str,
        clock: Clock,
        timeout_s: float = STATUS_TIMEOUT_SECONDS,
    ) -> View | None:
        """See `System`."""
        return await nodeapi.fetch_view(session, url, clock, timeout_s)

    async def log(self, session: aiohttp.ClientSession, url: str) -> tuple[LogLine, ...]:
        """See `System`."""
        return await nodeapi.fetch_log(session, url)

    async def write(self, session: aiohttp.ClientSession, url: str, key: str, value: int, timeout_s: float) -> Reply:
        """See `System`."""
        return await nodeapi.put_value(session, url, key, value, timeout_s)

    async def read(self, session: aiohttp.ClientSession, url: str, key: str, timeout_s: float) -> Reply:
        """See `System`."""
        return await nodeapi.get_value(session, url, key, timeout_s)

    async def versions(self, session: aiohttp.ClientSession, url: str, prefix: str) -> dict[str, int]:
        """See `System`."""
        return await past.fetch_versions(session, url, prefix)

    async def past(
        self, session: aiohttp.ClientSession, url: str, wanted: Sequence[tuple[str, int]]
    ) -> list[past.Found]:
        """See `System`."""
        return await past.fetch_past(session, url, wanted)

    async def reset_links(
        self,
        session: aiohttp.ClientSession,
        node: str,  # noqa: ARG002 - as above
        url: str,
        peer: str,
    ) -> CommandAnswer:
        """See `System`."""
        return await nodeapi.command(session, url, "reset_links", {"peer": peer})

    def events(self, session: aiohttp.ClientSession, node: str, url: str) -> None:  # noqa: ARG002
        """See `System`: by `/events`."""
        return


RAFT_NODE = RaftNode()
