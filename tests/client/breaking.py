"""A server that breaks in every way that a client can meet, and counts what reached it.

Why it exists: "sent at most once" can only be judged at the other end. It is written on bare streams, so that it can
do what no HTTP server does.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chaos.listeners import listen_no_more
from tests.ports import free_port

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset."""


def answer(status: int, body: object = None, *headers: str) -> bytes:
    """A whole answer with a JSON body."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def problem(status: int, code: str, message: str = "a sentence", *headers: str, **more: object) -> bytes:
    """An error as a node answers it."""
    return answer(status, {"error": code, "message": message, **more}, *headers)


DONE = answer(200, {"revision": 7}, 'ETag: "7"')
AGAIN = problem(503, "no-leader", "an election may be under way", "Retry-After: 1", leader=None)


@dataclass
class Breaking:
    """`script`: what happens to each request for a key, the last one for all that follow. Bytes are the answer; empty
    bytes close the connection, `None` resets it, `...` keeps silent, and half an answer is cut off after it."""

    script: list[object] = field(default_factory=lambda: [DONE])
    status: object = None
    """What `/status` says; None: 404."""
    requests: list[str] = field(default_factory=list)
    """Method and path of every request for a key that arrived whole."""
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    sessions: list[object] = field(default_factory=list)
    """What happens to requests for a session, as in `script`; afterwards each gets one. `registered`: how many came."""
    registered: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        if lengths:
            await reader.readexactly(int(lengths[0].partition(":")[2]))
        method, path, _ = head.split("\r\n")[0].split(" ")
        if path == "/status":
            writer.write(answer(200, self.status) if self.status else problem(404, "not-found"))
            return True
        if path.startswith("/sessions"):
            self.registered += 1
            given = answer(200, {"session": f"c1-{self.registered}", "idle_ms": 1000})
            return await self._do(self.sessions.pop(0) if self.sessions else given, head, reader, writer)
        self.requests.append(f"{method} {path.partition('?')[0]}")
        self.heads.append(head)
        return await self._do(self.script[min(len(self.requests), len(self.script)) - 1], head, reader, writer)

    async def _do(self, what: object, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if what is ...:
            await reader.read()  # until the client gives up
        elif what is None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        else:
            assert isinstance(what, bytes)
            writer.write(what)
            await writer.drain()
            if "connection: close" in head.lower():
                return False
            return what.startswith(b"HTTP/1.1") and b"connection: close" not in what.lower() and b"CUT" not in what
        return False


@asynccontextmanager
async def breaking(*script: object, status: object = None) -> AsyncIterator[Breaking]:
    """One such server on a free port."""
    server = Breaking(list(script) or [DONE], status)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    before = asyncio.all_tasks()
    try:
        yield server
    finally:
        await listen_no_more(listening)
        running = [task for task in asyncio.all_tasks() - before if "Breaking.serve" in repr(task.get_coro())]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def full() -> AsyncIterator[str]:
    """A server that never accepts, its queue full: an attempt to connect hangs. The URL."""
    loop = asyncio.get_running_loop()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        waiting = []
        try:
            for _ in range(3):
                one = socket.socket()
                waiting.append(one)
                one.setblocking(False)
                try:
                    await asyncio.wait_for(loop.sock_connect(one, address), 0.2)
                except TimeoutError:
                    break
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for one in waiting:
                one.close()


def refusing() -> str:
    """A URL where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def leading(term: int, role: str = "leader") -> dict[str, object]:
    """What `/status` says, as far as a client looks at it."""
    return {"name": "n", "role": role, "term": term}
