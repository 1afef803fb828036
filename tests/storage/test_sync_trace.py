"""fdatasync before answer, seen from outside: the system calls of a real writer, in the order the kernel saw them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRITES = 20
CHILD = """
import os, queue, sys
from node.raft.effects import Persist
from node.raft.types import *
from node.storage import files
from node.storage.wal import open_wal

class LazyFiles(files.OsFiles):
    def open(self, name):
        file = super().open(name)
        file.sync = lambda: None
        return file
    def create(self, name, size_bytes):
        file = super().create(name, size_bytes)
        file.sync()
        file.sync = lambda: None
        return file

folder, mode, build = sys.argv[1:]
reports = queue.SimpleQueue()
threaded = mode == "threaded"
port = LazyFiles(folder) if build == "lazy" else files.OsFiles(folder)
wal, _ = open_wal(port, "node-1", "a" * 32, print, deliver=reports.put if threaded else None, segment_bytes=8192)
entry = Entry(1, 0, EntryKind.CONFIGURATION, Configuration((Member("seed", "a" * 32),)).encode())
writes = [Persist(1, None, None, (entry,), cluster_id=cluster_id_of(entry))]
writes += [Persist(i, None, None, (Entry(i, 1, EntryKind.WRITE, b"marker-%05d" % i + b"." * 700),))
           for i in range(2, WRITES + 1)]
for write in writes:
    wal.submit(write, lambda token: os.write(1, b"ack-%05d\\n" % token))
    wal.flush()
    if threaded:
        reports.get()()
wal.close()
""".replace("WRITES", str(WRITES))

_CALL = re.compile(r"^(?P<pid>\d+) +(?P<call>\w+)\((?P<arguments>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>")


def _strace_or_skip(tmp_path: Path) -> str:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([strace, "-o", str(tmp_path / "probe"), "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"strace cannot trace here: {probe.stderr.decode(errors='replace').strip()}")
    return strace


def _trace(tmp_path: Path, mode: str, build: str) -> list[str]:
    strace = _strace_or_skip(tmp_path)
    folder, out = tmp_path / "data", tmp_path / "trace"
    folder.mkdir()
    calls = "trace=write,pwrite64,fdatasync,fsync,rename"
    command = [strace, "-f", "-qq", "-s", "2000", "-e", calls, "-e", "signal=none", "-o", str(out)]
    ran = subprocess.run(
        [*command, sys.executable, "-c", CHILD, str(folder), mode, build], capture_output=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout.count(b"ack-") == WRITES
    return out.read_text(errors="replace").splitlines()


def unsynced_acknowledgements(trace: list[str]) -> tuple[int, list[str]]:
    """(acknowledgements seen, those that left before a sync of their file completed after their write)."""
    written: dict[str, str] = {}  # token -> descriptor of the file that holds its frame, until synced
    syncing: dict[str, tuple[str, list[str]]] = {}  # pid -> (descriptor, tokens its running sync covers)
    durable: set[str] = set()
    acknowledged, early = 0, []

    def begin_sync(pid: str, descriptor: str) -> None:
        syncing[pid] = (descriptor, [token for token, file in written.items() if file == descriptor])

    def end_sync(pid: str) -> None:
        durable.update(syncing.pop(pid, ("", []))[1])

    for line in trace:
        resumed = _RESUMED.match(line)
        if resumed and resumed["call"] in ("fdatasync", "fsync") and line.rstrip().endswith("= 0"):
            end_sync(resumed["pid"])
        match = _CALL.match(line)
        if not match:
            continue
        pid, call, arguments = match["pid"], match["call"], match["arguments"]
        descriptor = re.match(r"\d+", arguments)
        if call == "pwrite64" and descriptor:
            for token in re.findall(r"marker-(\d{5})", arguments) or re.findall(r"seed", arguments):
                written["00001" if token == "seed" else token] = descriptor[0]
        elif call in ("fdatasync", "fsync") and descriptor:
            begin_sync(pid, descriptor[0])
            if line.rstrip().endswith("= 0"):
                end_sync(pid)
        elif call == "write" and arguments.startswith("1,"):
            for token in re.findall(r"ack-(\d{5})", arguments):
                acknowledged += 1
                if token not in durable:
                    early.append(token)
    return acknowledged, early


@pytest.mark.parametrize("mode", ["inline", "threaded"])
def test_every_acknowledgement_leaves_after_the_sync_of_its_frame(tmp_path: Path, mode: str) -> None:
    assert unsynced_acknowledgements(_trace(tmp_path, mode, "real")) == (WRITES, [])


@pytest.mark.parametrize("mode", ["inline", "threaded"])
def test_a_build_that_skips_the_sync_is_caught(tmp_path: Path, mode: str) -> None:
    acknowledged, early = unsynced_acknowledgements(_trace(tmp_path, mode, "lazy"))
    assert acknowledged == WRITES
    assert len(early) >= WRITES - 2, "only what a file's creation synced may pass"


def test_pitfall_33_a_segment_is_named_after_its_sync_and_used_after_the_folders(tmp_path: Path) -> None:
    trace = _trace(tmp_path, "inline", "real")
    renames = [i for i, line in enumerate(trace) if " rename(" in line]
    assert len(renames) > 2
    for at in renames:
        assert "fsync(" in trace[at - 1] or "fdatasync(" in trace[at - 1]
        assert " fsync(" in trace[at + 1]
