"""The monitor's clients may leave at any moment, whatever its nodes do: it logs no traceback and goes on."""

import pytest
from aiohttp import web

from node.api.server import ApiRunner
from node.supervisor import monitor
from tests.api.leaving import complaints, leave_everywhere
from tests.supervisor.test_monitor_parts import Node, hang_up, monitored, never_answer, say_hello


@pytest.mark.parametrize("behave", [say_hello, hang_up, never_answer])
async def test_clients_of_every_route_leave_at_any_moment_and_nothing_is_logged(
    behave: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[web.Application] = []

    class Remembering(ApiRunner):
        def __init__(self, app: web.Application) -> None:
            made.append(app)
            super().__init__(app)

    monkeypatch.setattr("node.supervisor.monitor.ApiRunner", Remembering)
    monkeypatch.setattr(monitor, "REQUESTS_MAX", 10_000)  # those who left still count while their node is waited for
    async with monitored(Node("n1", behave)) as (base, http):  # type: ignore[arg-type]
        assert await leave_everywhere(made[0], int(base.rpartition(":")[2])) > 100
        async with http.get(f"{base}/source.json") as answer:
            assert answer.status == 200
        assert complaints(caplog.records) == []
