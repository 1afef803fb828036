"""Running `raft-node demo-scenario`, as a program or in this process, and looking at what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

RUN_SECONDS = 110.0


class Played(NamedTuple):
    """How a scenario ended: exit code, the JSON lines, standard error."""

    code: int
    lines: list[dict[str, Any]]
    err: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["kind"] == kind]

    def texts(self, kind: str) -> str:
        return "\n".join(line["text"] for line in self.of(kind))


class Stage:
    """A folder for the scenarios' temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "TMPDIR": str(folder), "COLUMNS": "100"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "node.cli", "demo-scenario", *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def play(self, *arguments: str) -> Played:
        """The real command, with --json."""
        process = self.start(*arguments, "--json")
        try:
            out, err = process.communicate(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            raise AssertionError(f"not over after {RUN_SECONDS:.0f} s: {out[-2000:]} {err}") from None
        return Played(process.returncode, [json.loads(line) for line in out.splitlines()], err)

    @property
    def left(self) -> list[str]:
        """What lies in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def processes(self) -> list[int]:
        """Nodes that run with data in this folder, whosever children they are by now."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in part for part in process.info["cmdline"] or ()):
                found.append(process.pid)
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)
