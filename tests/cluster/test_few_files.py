"""File descriptors run out for clients, never for the log or the peers."""

import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.bare import PATIENT, bare_nodes
from tests.ports import free_base_port

pytestmark = pytest.mark.slow

FILES = 60
IDLE_CLIENTS = 80


@pytest.mark.slowest
def test_idle_clients_take_no_descriptor_from_the_log_or_the_peers(tmp_path: Path) -> None:
    """Sixty descriptors, eighty idle clients on each node, and segments that begin all the while."""
    value = b"v" * 60_000
    with (
        bare_nodes(tmp_path, 3, "--segment-bytes", "262144", "--leave-wait-ms", "0", *PATIENT, files=FILES) as nodes,
        ExitStack() as stack,
    ):
        term = nodes.status(nodes.until(nodes.leader, "one leader"))["term"]
        for port in nodes.ports.values():
            for _ in range(IDLE_CLIENTS):
                idle = stack.enter_context(socket.socket())
                idle.settimeout(5)
                idle.connect(("127.0.0.1", port))
        segments = {name: _segments(tmp_path / name) for name in nodes.ports}
        for number in range(40):
            nodes.put(f"n{1 + number % 3}", f"key-{number}", value)
        assert all(process.poll() is None for process in nodes.processes.values())
        assert all(_segments(tmp_path / name) > segments[name] + 1 for name in nodes.ports), "new segments were made"
        for name in nodes.ports:
            peers = nodes.until(lambda: nodes.status(name).get("peers"), f"{name} answers")  # noqa: B023
            assert [peer["link_up"] for peer in peers] == [True, True], name
        assert nodes.status(nodes.until(nodes.leader, "one leader"))["term"] == term


def _segments(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if (path.is_file() and "segment" in path.name) or path.suffix == ".wal")


@pytest.mark.slowest
def test_a_client_that_was_idle_makes_room_for_one_that_comes(tmp_path: Path) -> None:
    with bare_nodes(tmp_path, 1, "--leave-wait-ms", "0", files=FILES) as nodes, ExitStack() as stack:
        clients = []
        for _ in range(IDLE_CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", nodes.ports["n1"]), 5))
            clients.append(client)
        nodes.put("n1", "k", b"v")
        ended = [client for client in clients if _has_ended(client)]
        assert 0 < len(ended) < IDLE_CLIENTS, "most were refused or closed, and some are held"


def _has_ended(client: socket.socket) -> bool:
    client.settimeout(0.02)
    try:
        while data := client.recv(4096):
            assert data.startswith(b"HTTP/1.1 503"), data
        return True
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.slowest
def test_strangers_at_the_peers_port_keep_no_peer_out(tmp_path: Path) -> None:
    with bare_nodes(tmp_path, 3, "--leave-wait-ms", "0", files=FILES) as nodes, ExitStack() as stack:
        for port in nodes.ports.values():
            for _ in range(IDLE_CLIENTS):
                stranger = stack.enter_context(socket.socket())
                stranger.settimeout(5)
                stranger.connect(("127.0.0.1", port + 1000))
        for number in range(10):
            nodes.put("n2", f"key-{number}", b"v")
        assert all(process.poll() is None for process in nodes.processes.values())


def test_a_soft_limit_is_raised_and_said(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 500))

    port = free_base_port(1)
    command = [sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", f"n1=127.0.0.1:{port + 1000}"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--data-dir", str(tmp_path / "n1"), "--leave-wait-ms", "0"],
        stderr=subprocess.PIPE,
        preexec_fn=limit,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert b"this process may open 500 files" in line
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_too_few_to_work_with_is_said_at_the_start(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    port = free_base_port(1)
    command = [sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", f"n1=127.0.0.1:{port + 1000}"]
    done = subprocess.run(
        [*command, "--port", str(port), "--data-dir", str(tmp_path / "n1")],
        stderr=subprocess.PIPE,
        preexec_fn=limit,
        timeout=30,
    )
    assert done.returncode == 2
    assert b"this process may open 24 files, and with 0 peers it needs" in done.stderr
    assert b"raise the limit on open files (ulimit -n)" in done.stderr
