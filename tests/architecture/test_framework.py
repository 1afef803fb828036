"""aiohttp's private names stand in two modules, and a version that lacks one is told by what breaks."""

import ast
import asyncio
import inspect
import re
import tomllib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from node.api import framework
from node.api.framework import FrameworkConnection
from node.transport.framework import DialledSocket

ROOT = Path(__file__).parents[2]
ALLOWED = {ROOT / "node/api/framework.py", ROOT / "node/transport/framework.py"}


def missing(where: object, names: dict[str, str], what: str) -> list[str]:
    """A sentence for each name that is not there."""
    return [f"aiohttp has no {what}.{name} any more: {why}" for name, why in names.items() if not hasattr(where, name)]


async def test_every_private_name_that_is_leant_on_is_there() -> None:
    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    app = web.Application()
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        server = web.Server(handle)
        connection = web.RequestHandler(server, loop=asyncio.get_running_loop())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        lost = [
            *missing(connection, framework.CONNECTION_NAMES, "web.RequestHandler"),
            *missing(connection, framework.CONNECTION_METHODS, "web.RequestHandler"),
            *missing(server, framework.SERVER_NAMES, "web.Server"),
            *missing(runner, framework.RUNNER_NAMES, "web.AppRunner"),
            *missing(runner, framework.RUNNER_METHODS, "web.AppRunner"),
            *missing(site, framework.SITE_NAMES, "web.BaseSite"),
            *missing(make_mocked_request("GET", "/"), framework.REQUEST_NAMES, "web.BaseRequest"),
        ]
        assert not lost, "\n".join(lost)
    finally:
        await runner.cleanup()


def test_the_list_of_names_is_what_the_module_uses() -> None:
    listed = set()
    for name in ("CONNECTION_NAMES", "CONNECTION_METHODS", "SERVER_NAMES", "RUNNER_NAMES", "RUNNER_METHODS"):
        listed |= set(getattr(framework, name))
    listed |= set(framework.SITE_NAMES) | set(framework.REQUEST_NAMES)
    own = {"_held_back", "_own_name", "_listen", "_runner"}
    tree = ast.parse(Path(inspect.getfile(framework)).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_private(node.attr)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and _is_private(node.name)}
    assert used - own == listed


def test_a_hold_of_ours_is_stronger_than_the_framework_that_would_read_on() -> None:
    assert "_resume_transport_reading" in inspect.getsource(aiohttp.base_protocol.BaseProtocol.resume_reading)
    assert "_resume_transport_reading" in inspect.getsource(
        aiohttp.base_protocol.BaseProtocol._resume_reading_for_buffer
    )
    assert FrameworkConnection._resume_transport_reading is not web.RequestHandler._resume_transport_reading


def test_the_constructor_of_a_client_websocket_is_handed_the_writer_that_has_the_transport() -> None:
    names = list(inspect.signature(aiohttp.ClientWebSocketResponse.__init__).parameters)[:5]
    assert names == ["self", "reader", "writer", "protocol", "response"], "DialledSocket takes the transport from it"
    assert "transport" in inspect.getsource(aiohttp.http_websocket.WebSocketWriter.__init__)
    assert issubclass(DialledSocket, aiohttp.ClientWebSocketResponse)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


PRIVATE = {
    *framework.CONNECTION_NAMES,
    *framework.CONNECTION_METHODS,
    *framework.RUNNER_NAMES,
    *framework.RUNNER_METHODS,
    *framework.REQUEST_NAMES,
    "_kwargs",
} - {"_loop", "_server", "_close", "_messages", "_paused"}
"""Those that are no name of anything of ours."""


@pytest.mark.parametrize("package", ["api", "transport", "dashboard", "supervisor"])
def test_no_other_module_knows_a_private_name_of_the_framework(package: str) -> None:
    found = []
    for path in sorted((ROOT / "node" / package).rglob("*.py")):
        if path in ALLOWED:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
            if own and path.name not in ("connection.py", "server.py"):
                continue
            if isinstance(node, ast.Attribute) and node.attr in PRIVATE:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}")
    assert not found


def test_the_installed_version_is_one_that_is_allowed_and_the_next_minor_is_not() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (wanted,) = [each for each in project["project"]["dependencies"] if each.startswith("aiohttp")]
    found = re.fullmatch(r"aiohttp>=(\d+)\.(\d+),<(\d+)\.(\d+)", wanted)
    assert found is not None, f"{wanted!r} must have both bounds"
    low, high = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    installed = tuple(int(part) for part in aiohttp.__version__.split(".")[:2])
    assert low <= installed < high
    assert high == (installed[0], installed[1] + 1), "a minor version that was not tried"
