"""`raft-chaos` as people run it: here in this process, or as a process of its own that can be killed."""

import contextlib
import functools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.cli import attempt, main
from chaos.run import Options, recording
from tests.chaos.local_cluster import LocalCluster
from tests.supervisor.conftest import eventually


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process record a little less before and after the fault."""
    monkeypatch.setattr(attempt, "Options", functools.partial(Options, baseline_s=1.0, after_s=0.3))
    monkeypatch.setattr(recording, "WARM_UP_SECONDS", 0.3)


class Said:
    """How a command ended, and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Tool:
    """The command against one local cluster; runs are kept in `runs`."""

    def __init__(self, cluster: LocalCluster, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.cluster, self.runs, self._capsys = cluster, runs, capsys

    def where(self) -> list[str]:
        return ["--data-dir", str(self.cluster.data_dir), "--out", str(self.runs)]

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        where = self.where() if arguments[:1] != ("report",) or len(arguments) == 1 else []  # a folder says where
        code = main([*arguments, *where])
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)

    def status(self) -> Any:
        return self("status", "-o", "json").json

    def start(self, node: str) -> None:
        """`raft-node start NODE`."""
        command = [sys.executable, "-m", "node.cli", "start", node, "--data-dir", str(self.cluster.data_dir)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def until_healthy(self) -> None:
        eventually(lambda: self.status()["healthy"], "a healthy cluster")

    @contextlib.contextmanager
    def process(self, *arguments: str) -> Iterator["Process"]:
        """The command as a process of its own; it has ended when this is left."""
        made = Process([*arguments, *self.where()], self.runs.parent / f"{arguments[0]}.out")
        try:
            yield made
        finally:
            made.end()


class Process:
    """A running `raft-chaos`."""

    def __init__(self, arguments: list[str], out: Path) -> None:
        self._out = out
        with out.open("wb") as stream:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "chaos.cli", *arguments], stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
            )

    @property
    def output(self) -> str:
        return self._out.read_text()

    def until_says(self, text: str, seconds: float = 30.0) -> None:
        """Wait for a line; an early end of the process is told with all that it said."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self.popen.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def kill_with_its_switch(self) -> None:
        """As a machine that goes down: nobody is left who would take anything back."""
        self.popen.send_signal(signal.SIGSTOP)
        for child in psutil.Process(self.popen.pid).children():
            child.kill()
        self.popen.kill()
        self.popen.wait(10.0)

    def ends(self, seconds: float = 60.0) -> int:
        return self.popen.wait(seconds)

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(10.0)
