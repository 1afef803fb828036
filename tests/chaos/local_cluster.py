"""A real `raft-node cluster` of three real nodes for tests of the chaos tool; nothing of it survives the test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.ports import free_base_port
from tests.supervisor.conftest import alive, eventually

NODES = ("n1", "n2", "n3")
RAFT_NODE = ("node.cli",)


class LocalCluster:
    """`data_dir`: what `open_local` takes. `program`: what is run as `raft-node`, `options`: what it is told beside."""

    def __init__(
        self, folder: Path, nodes: int = 3, program: Sequence[str] = RAFT_NODE, options: Sequence[str] = ()
    ) -> None:
        self.folder, self.data_dir = folder, folder / "data"
        self.base_port = free_base_port(nodes)
        self._out = folder / "cluster.out"
        with self._out.open("wb") as out:
            arguments = ["cluster", "--nodes", str(nodes), "--base-port", str(self.base_port), "--no-monitor", *options]
            self.process = subprocess.Popen(
                [sys.executable, "-m", *program, *arguments, "--data-dir", str(self.data_dir)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={key: value for key, value in os.environ.items() if not key.startswith("RAFT_")},
            )

    def until_led(self) -> "LocalCluster":
        """Wait for the table, which comes when every node follows one leader."""
        eventually(lambda: "Ctrl-C ends all nodes" in self.output or self.process.poll() is not None, "the table")
        assert self.process.poll() is None, self.output
        return self

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data_dir / "cluster.json").read_text())
        return content

    def pid(self, name: str) -> int | None:
        pids: dict[str, int | None] = {node["name"]: node["pid"] for node in self.file["nodes"]}
        return pids[name]

    def end(self) -> None:
        known = []
        with contextlib.suppress(psutil.NoSuchProcess):
            known = [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20.0)
        end = time.monotonic() + 5.0
        while (left := alive(known)) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in left:
            psutil.Process(pid).kill()


@contextlib.contextmanager
def local_cluster(
    folder: Path, nodes: int = 3, program: Sequence[str] = RAFT_NODE, options: Sequence[str] = ()
) -> Iterator[LocalCluster]:
    """Running and led; ended on the way out."""
    made = LocalCluster(folder, nodes, program, options)
    try:
        yield made.until_led()
    finally:
        made.end()
