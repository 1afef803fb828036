"""Ends a server of asyncio so that no connection is forgotten.

Why it exists: `Server.close()` drops what was accepted a moment ago and has no handler yet. Its socket stays open until
the garbage collector comes by, and who dialled waits for an answer from nobody. It must not know what is spoken.
"""

import asyncio

HANDED_OVER_TURNS = 3
"""Turns of the loop from an accepted connection to the first step of its handler: one makes the transport, one tells
the protocol, which makes a task, and one begins it."""


async def listen_no_more(*servers: asyncio.Server) -> None:
    """Close the servers. Whoever was accepted has a handler that runs, which the caller can end; the rest is reset by
    the kernel. Harmless for one that is closed."""
    loop = asyncio.get_running_loop()
    for server in servers:
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
    for _ in range(HANDED_OVER_TURNS):
        await asyncio.sleep(0)
    for server in servers:
        server.close()
