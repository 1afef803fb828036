"""The end of the server, on the loop that a node runs on: a request sent before it is answered, never reset."""

import asyncio
import socket

import pytest
import uvloop
from aiohttp import web

from node.api.server import ApiRunner

CLIENTS = 20
REQUEST = b"PUT /kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv"


LONG_SECONDS = 30.0


async def _answers() -> list[bytes]:
    """Clients connect and send while the loop does not turn, then the server ends; what each is answered."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_put("/kv/k", handle)
    runner = ApiRunner(app, drain_seconds_max=LONG_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=CLIENTS).start()
    port = runner.addresses[0][1]
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
    try:
        for client in clients:
            client.sendall(REQUEST)
        began = asyncio.get_running_loop().time()
        await runner.cleanup()
        assert asyncio.get_running_loop().time() - began < LONG_SECONDS / 2, "it waits for nobody who is not there"
        return [_status(client) for client in clients]
    finally:
        for client in clients:
            client.close()


def _status(client: socket.socket) -> bytes:
    client.settimeout(5)
    try:
        return client.recv(12)
    except ConnectionResetError:
        return b"reset"


def test_a_request_on_a_connection_that_waits_to_be_accepted_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.api.server.ACCEPTING_SECONDS_MAX", LONG_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_answers()) == [b"HTTP/1.1 200"] * CLIENTS


async def test_clients_that_come_without_end_do_not_keep_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.api.server.ACCEPTING_SECONDS_MAX", 0.1)
    runner = ApiRunner(web.Application())
    await runner.setup()
    server = runner.server
    assert server is not None

    async def come() -> None:
        while True:
            server.accepted += 1  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    coming = asyncio.create_task(come())
    async with asyncio.timeout(5):
        await runner.cleanup()
    coming.cancel()
    await asyncio.wait([coming])
