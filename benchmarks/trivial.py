"""A server that does nothing but answer 200: the load generator's own ceiling is measured against it.

Why it exists: a figure near this ceiling says more of the generator than of the server. `python -m benchmarks.trivial`
prints its port and serves until its standard input closes.
"""

import asyncio
import sys
from typing import cast

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"header":{}}'


class _Server(asyncio.Protocol):
    """One answer a request; every request of the generator arrives in one piece on loopback."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of asyncio's

    def data_received(self, _data: bytes) -> None:
        self._transport.write(ANSWER)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
