"""A way to a node that loses answers: the request arrives and is done, and its client never hears of it.

Why it exists: what a client does about an answer that was lost can only be judged where the write certainly happened.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from chaos.listeners import listen_no_more

Lost = Callable[[str], Awaitable[None]]
"""Called with the node's URL when it has answered a write, before its client notices anything."""


class Losing:
    """Connections to one node. `loses`: how many of the next answers to PUTs are lost, by all that share the list."""

    def __init__(self, target: str, loses: list[Lost]) -> None:
        self.url = ""
        self._target, self._loses = target, loses
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._pass_on(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.removeprefix("http://").partition(":")
        inward, outward = await asyncio.open_connection(host, int(port))
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                outward.write(head + await _body(head, reader))
                answer = await inward.readuntil(b"\r\n\r\n")
                answer += await _body(answer, inward)
                if head.startswith(b"PUT") and answer.startswith(b"HTTP/1.1 200") and self._loses:
                    await self._loses.pop(0)(self._target)
                    return
                writer.write(answer)
                await writer.drain()
        finally:
            outward.close()

    async def stop(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return await reader.readexactly(int(line.partition(b":")[2]))
    return b""


@asynccontextmanager
async def losing(targets: Sequence[str], loses: list[Lost]) -> AsyncIterator[list[str]]:
    """URLs that lead to those; whoever puts something into `loses` has so many answers lost."""
    ways = [Losing(target, loses) for target in targets]
    servers = []
    try:
        for way in ways:
            server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
            servers.append(server)
            way.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield [way.url for way in ways]
    finally:
        await listen_no_more(*servers)
        for way in ways:
            await way.stop()


async def nothing(_node: str) -> None:
    """The answer is lost, and that is all."""
