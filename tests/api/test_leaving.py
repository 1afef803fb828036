"""A client may leave at any moment: no route logs a traceback, and the server goes on."""

import pytest
from aiohttp import web

from node.api.server import ApiRunner
from tests.api.double import client_of, serving
from tests.api.leaving import complaints, leave_everywhere


@pytest.mark.slowest
async def test_clients_of_every_route_leave_at_any_moment_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[web.Application] = []
    init = ApiRunner.__init__

    def remember(self: ApiRunner, app: web.Application, *rest: object, **more: object) -> None:
        made.append(app)
        init(self, app, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ApiRunner, "__init__", remember)
    async with serving() as server, client_of(server) as client:
        assert await leave_everywhere(made[0], server.port) > 200
        async with client.get("/livez") as answer:
            assert answer.status == 200
        assert complaints(caplog.records) == []


async def test_a_mistake_of_the_server_is_logged_still(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server, client_of(server) as client:

        def broken(*_: object) -> object:
            raise ConnectionResetError("not the client's")

        server.node.status = broken  # type: ignore[method-assign, assignment]
        async with client.get("/status") as answer:
            assert answer.status == 500
        assert any("not the client's" in line for line in complaints(caplog.records))
