"""kill -9 at random moments of a process that writes, takes snapshots, compacts, and is sent others' snapshots."""

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from node.storage.files import OsFiles
from node.storage.recovery import Recovered
from node.storage.snapshot_files import snapshot_name
from tests.storage.logs import Log, snapshot_at
from tests.storage.snapshotting import SnapshotBench, base_at

ROUNDS = 6
AHEAD = 300
"""How far ahead of a node's log the snapshots are that it is sent."""

NODE = """
import itertools, os, queue, sys
from node.raft.effects import Persist
from node.raft.types import *
from node.storage.files import OsFiles
from node.storage.snapshots import Snapshots
from node.storage.wal import open_wal
from node.storage.worker import ThreadedWorker
from tests.storage.logs import CLUSTER_ID, FIRST
from tests.storage.snapshotting import base_at
from tests.storage.test_snapshot_kill import chunks_at

folder, sent = sys.argv[1:]
turns, tokens = queue.SimpleQueue(), itertools.count(1)
fatal = lambda error: sys.exit(str(error))
wal, recovered = open_wal(OsFiles(folder), "node-1", "a" * 32, fatal, deliver=turns.put, segment_bytes=8192)
snapshots = Snapshots(OsFiles(folder), ThreadedWorker(fatal, turns.put, "x"), latest=recovered.snapshot,
                      partial=recovered.partial, compact=wal.compact)
base = base_at
last = recovered.base.index + len(recovered.entries)

def tell(word):
    os.write(1, f"{word}\\n".encode())

def until(done):
    while not done:
        turns.get()()
    return done.pop()

def write(write):
    done = []
    wal.submit(write, done.append)
    wal.flush()
    until(done)

def put(count):
    global last
    if last == 0:
        write(Persist(next(tokens), None, None, (FIRST,), cluster_id=CLUSTER_ID))
        last = 1
    for _ in range(count):
        last += 1
        entry = Entry(last, 1, EntryKind.WRITE, b"%d " % last * (last % 60), 1_700_000_000_000_000 + last)
        write(Persist(next(tokens), HardState(1, "node-1", last - 1), None, (entry,)))
        tell(last)

def take():
    done = []
    writer = snapshots.begin(base(last))
    for chunk in chunks_at(last):
        writer.add(chunk)
    put(10)
    writer.finish(lambda info, problem: done.append((info, problem)))
    info, problem = until(done)
    assert info is not None, problem
    snapshots.compact(max(0, info.base.index - 20))

def install(source):
    global last
    info = SnapshotInfo(base(int(source.name[9:25])), source.stat().st_size, 3, int(source.suffix[1:], 16))
    receiver, data = snapshots.receive(info), source.read_bytes()
    for offset in range(receiver.offset, len(data), 3000):
        done = []
        receiver.write(offset, data[offset:offset + 3000], lambda at, problem: done.append(problem or at))
        assert isinstance(until(done), int)
    done = []
    receiver.finish(lambda info, problem: done.append((info, problem)))
    info, problem = until(done)
    assert info is not None, problem
    write(Persist(next(tokens), HardState(1, "", info.base.index), None, (), base=info.base))
    last = info.base.index
    tell(last)

import pathlib
tell(last)
sources = sorted(pathlib.Path(sent).iterdir())
while True:
    put(30)
    take()
    for source in sources:
        if int(source.name[9:25]) > last:
            install(source)
            break
"""


def chunks_at(index: int) -> tuple[bytes, ...]:
    """The state of the machine after the entry at `index`."""
    return b"%d " % index * 500, bytes(5000), b"end of %d" % index


def _one_life(folder: Path, sent: Path, acknowledgements: int) -> int:
    """Let a node run until it has told of that many entries, kill it, and return the last that it told of."""
    command = [sys.executable, "-c", NODE, str(folder), str(sent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        told = [node.stdout.readline() for _ in range(acknowledgements)]
        assert told[-1], "the node ended by itself"
        node.send_signal(signal.SIGKILL)
        rest = node.stdout.read().split(b"\n")
        assert node.wait() == -signal.SIGKILL
    return max(int(line) for line in (*told, *rest[:-1]))  # the last line may be cut short


def _check(folder: Path, highest: int) -> Recovered:
    files = OsFiles(folder)
    log = Log(files, segment_bytes=8192)
    log.close()
    recovered = log.recovered
    last = recovered.base.index + len(recovered.entries)
    assert last >= highest, f"entry {highest} was acknowledged and the log ends at {last}"
    for entry in recovered.entries:
        assert entry.index == 1 or entry.data == b"%d " % entry.index * (entry.index % 60)
    info = recovered.snapshot
    if info is not None:
        assert recovered.base.index <= info.base.index <= last
        found = tuple(SnapshotBench(files, recovered=recovered).snapshots.chunks(info))
        assert found == chunks_at(info.base.index)
    return recovered


@pytest.mark.slowest
def test_kill_9_at_any_moment_leaves_a_whole_state_and_every_acknowledged_entry(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    folder, sent = tmp_path / "node", tmp_path / "sent"
    folder.mkdir()
    sent.mkdir()
    for index in range(AHEAD, AHEAD * 40, AHEAD):
        _put_down(sent, index)
    highest, seen = 0, Counter[str]()
    for life in range(ROUNDS):
        least = 1 if life % 2 else 60  # by then there was a snapshot
        highest = max(highest, _one_life(folder, sent, rng.randint(least, 300)))
        recovered = _check(folder, highest)
        seen["compacted"] += recovered.base.index > 0
        seen["snapshot"] += recovered.snapshot is not None
        seen["part"] += recovered.partial is not None
    assert seen["compacted"] > 2
    assert seen["snapshot"] > 2
    assert len(list(folder.glob("*.snap"))) == 1
    assert len(list(folder.glob("*.wal"))) < 20


def _put_down(folder: Path, index: int) -> None:
    """A snapshot of another node, as a file whose name tells its index and checksum."""
    info = snapshot_at(OsFiles(folder), base_at(index), *chunks_at(index))
    (folder / snapshot_name(index)).rename(folder / f"snapshot-{index:016d}.{info.crc:08x}")
