"""Carries what the nodes of a lab say to each other, and cuts it: a proxy before the peer port of each.

Every node names the proxy's port as its own, so all connections come here. Who dialled is told by the first request
that names its sender, as a member of etcd does in all that it says of Raft. A link that is cut both ways is closed, and
every new dial with it. Of one that is cut one way only what is said that way is swallowed: a dial still gets through,
and so does the question of a member that dials to hear the other one, as it belongs to the way that is open. A
connection of which something was swallowed is closed at the first word after the cut is healed: its middle is missing.

Why it exists: a system that has no faults of its own is cut from outside, as a network would. It must not
change what it carries.
"""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from typing import Literal

from chaos.listeners import listen_no_more

Direction = Literal["out", "in"]
CHUNK_BYTES = 64 * 1024
CONNECTIONS_MAX = 1000
DIAL_SECONDS = 5.0
_ASKS_TO_HEAR = re.compile(rb"GET /raft/stream/")
_SENDER = re.compile(rb"\r\nX-Server-From: ([0-9a-f]+)\r\n", re.IGNORECASE)


class Connection:
    """One that was opened to `node`. `dialer`: by whom; empty: it did not say yet. `torn`: something was swallowed."""

    def __init__(self, node: str, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.dialer, self.node, self.torn = "", node, False
        self._ends = ends

    def is_between(self, a: str, b: str) -> bool:
        return {self.dialer or a, self.node} == {a, b} or {self.dialer or b, self.node} == {a, b}

    def close(self) -> None:
        """At once, at both ends."""
        for end in self._ends:
            end.transport.abort()


class Links:
    """`ports`: by node, where it really listens. `names`: of nodes, by what they call themselves in a request."""

    def __init__(self, ports: Mapping[str, int], names: Mapping[str, str]) -> None:
        self._ports, self._names = ports, names
        self._cuts: dict[tuple[str, str, Direction], float] = {}
        """Until when, on the loop's clock: (node, peer, direction) as that node's end of the link."""
        self._open: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._carrying: set[asyncio.Task[None]] = set()

    async def listen(self, node: str, port: int) -> None:
        """Carry what comes to that port to the node. Raises OSError where the port is taken."""

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if (task := asyncio.current_task()) is not None:
                self._carrying.add(task)
                task.add_done_callback(self._carrying.discard)
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await self._carry(node, reader, writer)
            writer.transport.abort()

        self._servers.append(await asyncio.start_server(carry, "127.0.0.1", port))

    async def end(self) -> None:
        """Listen no more, and close everything."""
        await listen_no_more(*self._servers)
        for connection in list(self._open):
            connection.close()
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=DIAL_SECONDS)

    def cut(self, node: str, peer: str, directions: tuple[Direction, ...], seconds: float) -> None:
        """At that node's end, for so long at most."""
        until = asyncio.get_running_loop().time() + seconds
        self._cuts |= {(node, peer, direction): until for direction in directions}
        if self._is_cut(node, peer) and self._is_cut(peer, node):
            self.reset(node, peer)

    def heal(self, node: str, peer: str, directions: tuple[Direction, ...]) -> None:
        """Take back what was cut at that node's end; harmless where nothing was."""
        for direction in directions:
            self._cuts.pop((node, peer, direction), None)

    def reset(self, node: str, peer: str) -> None:
        """Close all connections between the two."""
        for connection in list(self._open):
            if connection.is_between(node, peer):
                connection.close()

    def cuts_of(self, node: str) -> list[tuple[str, Direction, float]]:
        """(peer, direction, seconds left) of what is cut at that node's end."""
        now = asyncio.get_running_loop().time()
        return [(peer, way, until - now) for (at, peer, way), until in self._cuts.items() if at == node and until > now]

    def _is_cut(self, source: str, to: str) -> bool:
        now = asyncio.get_running_loop().time()
        return self._cuts.get((source, to, "out"), 0) > now or self._cuts.get((to, source, "in"), 0) > now

    async def _carry(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            return
        async with asyncio.timeout(DIAL_SECONDS):
            back, onward = await asyncio.open_connection("127.0.0.1", self._ports[node])
        connection = Connection(node, (writer, onward))
        self._open.add(connection)
        ways = [
            asyncio.create_task(self._there(connection, reader, onward), name=f"to {node}"),
            asyncio.create_task(self._back(connection, back, writer), name=f"from {node}"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(connection)
            connection.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _there(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the dialer says. As long as it is unknown, nothing gets to a node that anybody is cut off from."""
        while piece := await reader.read(CHUNK_BYTES):
            if not connection.dialer and (found := _SENDER.search(piece)):
                connection.dialer = self._names.get(found[1].decode(), "")
            others = (connection.dialer,) if connection.dialer else tuple(self._ports)
            if any(self._is_cut(other, connection.node) and self._is_cut(connection.node, other) for other in others):
                return
            if connection.dialer and _ASKS_TO_HEAR.match(piece):
                writer.write(piece)  # a member dials to hear the other one: the question is of that way, not of its own
                await writer.drain()
            elif not await self._pass_on(connection, connection.dialer, connection.node, piece, writer):
                return

    async def _back(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What is answered."""
        while piece := await reader.read(CHUNK_BYTES):
            if not await self._pass_on(connection, connection.node, connection.dialer, piece, writer):
                return

    async def _pass_on(
        self, connection: Connection, source: str, to: str, piece: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        """False: the connection is of no use any more."""
        if self._is_cut(source, to):
            connection.torn = True
            return True
        if connection.torn:
            return False
        writer.write(piece)
        await writer.drain()
        return True
