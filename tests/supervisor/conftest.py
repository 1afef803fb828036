"""Real supervisors as processes, with stand-ins for nodes; whatever a test does, nothing of it survives."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.cli import main
from node.supervisor import layout
from tests.ports import free_base_port

PROGRAM = Path(__file__).with_name("raft_node_with_stand_ins.py")
WAIT_SECONDS = 60.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`, looked at again and again; fails after a bounded wait."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT_SECONDS} s for: {what}")


def alive(pids: list[int]) -> list[int]:
    """Those that still run (a zombie does not)."""

    def runs(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    return [pid for pid in pids if runs(pid)]


class Cluster:
    """`raft-node cluster` as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data_dir = folder, folder / "data"
        self.base_port = free_base_port(3)
        self.process: subprocess.Popen[bytes] | None = None
        self.pids: list[int] = []

    def start(self, *flags: str, environ: dict[str, str] | None = None, nodes: int = 3) -> "Cluster":
        self.out = (self.folder / "out").open("wb")
        arguments = ["cluster", "--nodes", str(nodes), "--base-port", str(self.base_port)]
        if "--monitor-port" not in flags:
            arguments.append("--no-monitor")
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments, "--data-dir", str(self.data_dir), *flags],
            stdout=self.out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
        self.out.close()
        return self

    def until_table(self) -> "Cluster":
        eventually(lambda: "Ctrl-C ends all nodes" in self.output or self.poll() is not None, "the table")
        assert self.poll() is None, self.output
        self.pids = [node["pid"] for node in self.file["nodes"] if node["pid"]]
        return self

    def poll(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    @property
    def output(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data_dir / "cluster.json").read_text())
        return content

    def pid(self, name: str) -> int | None:
        pids: dict[str, int | None] = {node["name"]: node["pid"] for node in self.file["nodes"]}
        return pids[name]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(WAIT_SECONDS)

    def raft_node(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of the command, run in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*arguments, "--data-dir", str(self.data_dir)])
        return code, out.getvalue(), err.getvalue()

    def end(self) -> None:
        known = list(self.pids)
        if self.process is not None:
            known += [child.pid for child in self._children()]
            self.process.kill()
            self.process.wait(WAIT_SECONDS)
        for pid in alive(known):
            psutil.Process(pid).kill()
        found = layout.read(self.data_dir)
        if found and found.control:  # a killed supervisor leaves its socket to the next; here nobody comes
            layout._remove_stale_control(Path(found.control))

    def _children(self) -> list[psutil.Process]:
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()
