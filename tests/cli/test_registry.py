"""What is wrong with a registry's address is said in one sentence, which names the option to change."""

import signal
import socket
import subprocess
import sys

import pytest

from tests.cli.conftest import raft_node


@pytest.mark.parametrize(
    ("words", "code", "cure"),
    [
        (("--host", "192.0.2.1"), 1, "choose another --host."),
        (("--host", "nowhere.invalid"), 1, "choose another --host."),
        (("--port", "65536"), 64, "0 (any free one) to 65535."),
        (("--port", "-1"), 64, "0 (any free one) to 65535."),
    ],
)
def test_an_address_that_is_not_to_be_had(words: tuple[str, ...], code: int, cure: str) -> None:
    ran = raft_node("registry", *words)
    assert (ran.code, ran.err.count("\n")) == (code, 1), ran
    assert ran.err.endswith(f"{cure}\n")


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = raft_node("registry", "--port", str(taken.getsockname()[1]))
    assert ran.code == 1
    assert ran.err.endswith("choose another --port.\n")


def test_a_host_that_no_name_can_be_is_told() -> None:
    ran = raft_node("registry", "--host", "a..b", "--port", "0")
    assert ran.code == 1
    assert ran.err.endswith("Name or service not known; choose another --host.\n")


@pytest.mark.parametrize(("host", "where"), [("0.0.0.0", "ADDRESS-OF-THIS-MACHINE"), ("::1", "[::1]")])
def test_it_says_where_nodes_find_it_and_ends_when_it_is_asked_to(host: str, where: str) -> None:
    command = [sys.executable, "-m", "node.cli", "registry", "--port", "0", "--host", host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as registry:
        assert registry.stdout is not None
        said = registry.stdout.readline()
        registry.send_signal(signal.SIGTERM)
        _, err = registry.communicate(timeout=30)
    assert f"--discover registry:http://{where}:" in said
    assert (registry.returncode, err) == (0, "")
