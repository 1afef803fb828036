"""Clients that leave: their requests in every state, their connections ended in every way."""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator
from itertools import product

from aiohttp import web

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, so that close sends a reset."""


def requests_of(app: web.Application, port: int, names: str = "n1") -> Iterator[tuple[str, bytes]]:
    """(name, bytes) for every route of `app`: whole requests, and those whose body ends in the middle."""
    head = f"HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    for route in app.router.routes():
        path = getattr(route.resource, "canonical", "")
        for part, value in (("{key}", "k"), ("{name}", names), ("{command}", "check_timers"), ("{path}", "app.js")):
            path = path.replace(part, value)
        if route.method in ("GET", "HEAD", "DELETE"):
            yield f"{route.method} {path}", f"{route.method} {path} {head}\r\n".encode()
        else:
            line = f"{route.method} {path} {head}Content-Length: 10\r\n\r\n"
            yield f"{route.method} {path}, whole", f"{line}{{}}        ".encode()
            yield f"{route.method} {path}, half", f"{line}{{}}".encode()


async def leave_everywhere(app: web.Application, port: int, names: str = "n1") -> int:
    """Ask each route and leave: before the server saw the connection or after, at once or after two more turns of the
    loop, with a reset or without. How many clients that were."""
    left = 0
    for (_, request), known, turns, reset in product(
        requests_of(app, port, names), (False, True), (0, 2), (False, True)
    ):
        with socket.create_connection(("127.0.0.1", port)) as client:
            if known:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            client.sendall(request)
            for _ in range(turns):
                await asyncio.sleep(0)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        left += 1
        if left % 20 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # whatever would be logged is logged by then; the test that it can fail shows it
    return left


def complaints(records: list[logging.LogRecord]) -> list[str]:
    """What was logged as an error, or with a traceback."""
    return [
        f"{record.name}: {record.getMessage()} {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
        for record in records
        if record.exc_info or record.levelno >= logging.ERROR
    ]
