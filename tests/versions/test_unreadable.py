"""Files of a later release: a node, and every command, says so in one sentence, with an exit code, and changes nothing.

Why it exists: whoever goes back further than one release must learn it from one line, not from a cluster that has lost
something.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node import cures
from node.exits import EXIT_STORAGE
from tests.cluster.bare import bare_nodes
from tests.cluster.harness import WAIT_SECONDS
from tests.versions.later import of_a_later_format
from tests.versions.previous import ROOT, previous_source

FLAGS = ("--snapshot-entries", "10", "--snapshot-tail", "0")
SENTENCES = {
    ".wal": "the log has format version 3, and this program reads versions 1 to 2 only",
    ".snap": "the snapshot has format version 2, and this program reads version 1 only",
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a node that has taken a snapshot has stopped."""
    home = tmp_path_factory.mktemp("stopped")
    with bare_nodes(home, 1, *FLAGS) as nodes:
        for number in range(30):
            nodes.put("n1", f"k{number}", b"v")
        nodes.until(lambda: nodes.metric("n1", "raft_snapshot_index") > 0, "a snapshot")
    return home / "n1"


def started(folder: Path, source: Path) -> tuple[int, str]:
    """Exit code and the last line of standard error of a node that is started on it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", "n1=127.0.0.1:1", "--port", "0"),
            *("--data-dir", str(folder), "--peer-port", "0"),
        ],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    return done.returncode, done.stderr.strip().split("\n")[-1]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


@pytest.mark.parametrize("release", ["this", "the one before"])
@pytest.mark.parametrize("suffix", SENTENCES)
def test_a_log_or_snapshot_of_a_later_format_is_refused_with_a_sentence(
    stopped: Path, suffix: str, release: str
) -> None:
    file = sorted(stopped.glob(f"*{suffix}"))[-1]
    good = file.read_bytes()
    of_a_later_format(file)
    before = content(stopped)
    try:
        code, said = started(stopped, ROOT if release == "this" else previous_source())
        assert code == EXIT_STORAGE, said
        assert said.startswith(f"raft-node n1: {file}, byte 0: {SENTENCES[suffix]}: ")
        if release == "this":
            assert said.endswith(cures.LATER_RELEASE)
        assert content(stopped) == before, "nothing is changed"
    finally:
        file.write_bytes(good)
