"""The health command against servers that are well, unwell, and nothing of the kind. Needs no container."""

import asyncio
import os
import resource
import socket
import subprocess
import sys

import pytest

from node import healthcheck
from tests.client.breaking import Breaking, answer, breaking, refusing


def settings(url: str, **more: str) -> dict[str, str]:
    return {"RAFT_PORT": url.rpartition(":")[2], **more}


async def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of the command, in a process of its own: it must not know this one's loop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.healthcheck", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, output.decode().strip()


async def test_a_node_that_is_well_is_0_and_it_was_asked_at_its_own_port() -> None:
    async with breaking(answer(200, {"ok": True})) as node:
        assert await run(settings(node.url)) == (0, "well")
        assert await run(settings(node.url, RAFT_HOST="0.0.0.0"), "readyz") == (0, "well")
        assert node.requests == ["GET /livez", "GET /readyz"]
        assert all("Host: localhost" in head for head in node.heads)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (answer(503, {"ok": False, "reason": "no leader is known"}), "no leader is known"),
        (b"HTTP/1.1 2000 OK\r\n\r\nCUT", "CUT"),
        (b"200 OK", "200 OK"),
        (b"", "an empty answer"),
        (None, "no answer"),
    ],
)
async def test_everything_else_is_1_with_the_reason(what: object, reason: str) -> None:
    node: Breaking
    async with breaking(what) as node:
        code, said = await run(settings(node.url))
    assert (code, reason in said) == (1, True), said


async def test_nobody_there_and_a_wrong_port_are_sentences() -> None:
    code, said = await run(settings(refusing()))
    assert (code, "no answer from 127.0.0.1" in said) == (1, True), said
    assert await run({"RAFT_PORT": "web"}) == (1, "RAFT_PORT is 'web', which is no port")


@pytest.mark.parametrize("port", ["0", "65536", "99999999999999999999", "-1", "8001.0"])
def test_a_port_that_is_none_is_a_sentence(port: str) -> None:
    assert healthcheck.check("livez", {"RAFT_PORT": port}) == f"RAFT_PORT is {port!r}, which is no port"


def test_what_is_set_and_empty_is_not_set_as_for_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def nobody(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", nobody)
    for environment in ({"RAFT_PORT": "", "RAFT_HOST": ""}, {"RAFT_PORT": " "}, {}):
        assert "no answer from 127.0.0.1 port 8001" in healthcheck.check("livez", environment)
    assert set(asked) == {("127.0.0.1", 8001)}


def test_a_host_that_cannot_be_one_is_a_sentence() -> None:
    assert "no answer from" in healthcheck.check("livez", {"RAFT_HOST": "n" * 70, "RAFT_PORT": "1"})


def test_silence_ends_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        wrong = healthcheck.check("livez", {"RAFT_PORT": str(silent.getsockname()[1])})
    assert "no answer" in wrong
    assert "timed out" in wrong


def test_an_address_of_all_is_asked_at_the_loopback_of_its_kind() -> None:
    with socket.socket(socket.AF_INET6) as nobody:
        nobody.bind(("::1", 0))
        wrong = healthcheck.check("livez", {"RAFT_HOST": "::", "RAFT_PORT": str(nobody.getsockname()[1])})
    assert "no answer from ::1 " in wrong


def test_it_costs_next_to_nothing() -> None:
    """It runs every few seconds for ever: what it imports is what it costs."""
    dear = {"http", "email", "ssl", "asyncio", "aiohttp"}
    code = f"import sys, node.healthcheck; sys.exit(' '.join({dear} & set(sys.modules)) or None)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=os.getcwd())
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.5
