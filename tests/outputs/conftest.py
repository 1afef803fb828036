"""A real cluster of three, a kept run of raft-chaos, and a warm interpreter to run commands with broken outputs."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from chaos.evidence.folder import RunFolder
from tests.chaos import sample_run
from tests.chaos.local_cluster import LocalCluster, local_cluster
from tests.cli.folders import backup_file, folder_of, puts
from tests.outputs.paths import OutputPath


class Ended(NamedTuple):
    """How a command ended; what is in a file is empty where output went elsewhere."""

    code: int
    out: bytes
    err: str


class Bench:
    """Where every output path can be walked."""

    def __init__(self, cluster: LocalCluster, folder: Path, warm: "subprocess.Popen[str]") -> None:
        self.cluster, self.folder, self._warm = cluster, folder, warm
        self.runs = folder / "runs"
        self.run = _kept_run(self.runs)
        self.backup = backup_file(folder / "a.snap", *puts(9))
        self._count = 0

    def words(self, path: OutputPath) -> list[str]:
        """The command's words, filled in."""
        port = self.cluster.base_port
        given = {
            "data": self.cluster.data_dir,
            "run": self.run,
            "runs": self.runs,
            "new": self._new(),
            "backup": self.backup,
            "survivor": folder_of(self._new(), "n1", *puts(9)) if "{survivor}" in path.words else "",
            "url1": f"http://127.0.0.1:{port}",
            "url2": f"http://127.0.0.1:{port + 1}",
            "url3": f"http://127.0.0.1:{port + 2}",
            "dead1": "http://127.0.0.1:1",
            "dead2": "http://127.0.0.1:2",
        }
        return [word.format(**given) for word in path.words.split()]

    def _new(self) -> Path:
        """A name that nothing has."""
        self._count += 1
        return self.folder / f"new-{self._count}"

    def ran(self, path: OutputPath, out: str = "", err: str = "", encoding: str = "utf-8", **environ: str) -> Ended:
        """Run it. `out`, `err`: "closed", "pipe" (nobody reads), "full"; otherwise into a file."""
        for key in ("schlüssel", "weg"):
            self._put(key)
        files = self.folder / "out", self.folder / "err"
        for file in files:
            file.write_bytes(b"")
        job = {
            "tool": path.tool,
            "arguments": self.words(path),
            "out": out or str(files[0]),
            "err": err or str(files[1]),
            "encoding": encoding,
            "environ": environ,
        }
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        print(json.dumps(job), file=self._warm.stdin, flush=True)
        code = int(self._warm.stdout.readline())
        return Ended(code, files[0].read_bytes(), files[1].read_text(errors="replace"))

    def _put(self, key: str) -> None:
        """So that it can be read and deleted."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.cluster.base_port}/kv/{quote(key)}", data="wört".encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


def _kept_run(runs: Path) -> Path:
    record = sample_run.record()
    folder = RunFolder(runs, "sample", record.began_wall_us)
    evidence = sample_run.evidence()
    folder.write_run(record)
    folder.write_evidence(evidence)
    return folder.path


CALM = ("--heartbeat-ms", "100", "--election-timeout-ms", "1000-2000")
"""What is asked here has one right answer as long as somebody leads: not on a laptop's timing, on a busy machine."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("outputs"), options=CALM) as made:
        yield made


@pytest.fixture(scope="session")
def bench(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    command = [sys.executable, "-m", "tests.outputs.warm"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as warm:
        yield Bench(cluster, tmp_path_factory.mktemp("bench"), warm)
        assert warm.stdin is not None
        warm.stdin.close()
        warm.wait(10)
