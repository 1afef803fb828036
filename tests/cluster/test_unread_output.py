"""Who stops reading what a program says stops nothing else: a node leads on, a supervisor looks after its nodes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.bare import PATIENT, bare_nodes, full_pipe
from tests.cluster.harness import WAIT_SECONDS
from tests.ports import free_base_port

pytestmark = pytest.mark.slow


@pytest.mark.slowest
def test_nodes_whose_standard_error_is_full_elect_write_and_leave(tmp_path: Path) -> None:
    with full_pipe() as writer, bare_nodes(tmp_path, 3, "--leave-wait-ms", "0", *PATIENT, stderr=writer) as nodes:
        leader = nodes.until(nodes.leader, "one leader")
        term = nodes.status(leader)["term"]
        for number in range(50):
            nodes.put("n1", f"key-{number}", b"v")
        assert nodes.ask(leader, "/livez")[0] == 200
        assert (nodes.until(nodes.leader, "one leader"), nodes.status(leader)["term"]) == (leader, term)
        for process in nodes.processes.values():
            process.send_signal(signal.SIGTERM)
        for name, process in nodes.processes.items():
            assert process.wait(WAIT_SECONDS) == 0, name


@pytest.mark.slowest
def test_a_supervisor_in_a_paused_terminal_serves_and_ends(tmp_path: Path) -> None:
    """Its output fills while it runs: that of a terminal under Ctrl-S does, too."""
    base_port = free_base_port(3)
    command = [*(sys.executable, "-m", "node.cli", "cluster", "--nodes", "3", "--base-port", str(base_port))]
    with full_pipe() as writer:
        process = subprocess.Popen(
            [*command, "--no-monitor", "--data-dir", str(tmp_path / "data")], stdout=writer, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + WAIT_SECONDS
            while not _has_a_leader(tmp_path):
                assert process.poll() is None
                assert time.monotonic() < end, "nodes were started although nobody reads"
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _has_a_leader(folder: Path) -> bool:
    logs = list(folder.glob("data/**/node.log"))
    return len(logs) == 3 and any(b" INFO won " in log.read_bytes() for log in logs)


def test_the_last_words_of_a_node_are_whole_lines(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with bare_nodes(tmp_path, 1, "--leave-wait-ms", "0", "--log-level", "debug", stderr=writer) as nodes:
            os.close(writer)
            writer = -1
            nodes.put("n1", "k", b"v")
            nodes.processes["n1"].send_signal(signal.SIGTERM)
            assert nodes.processes["n1"].wait(WAIT_SECONDS) == 0
        said = b""
        while part := os.read(reader, 1 << 16):
            said += part
        assert said.endswith(b"\n")
        assert b'"kind":"stopping"' in said.splitlines()[-1]
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
