"""kill -9 at random moments: every write whose acknowledgement left the process is in the log afterwards."""

import random
import signal
import subprocess
import sys
from pathlib import Path

from node.storage.files import OsFiles
from tests.storage.logs import Log

ROUNDS = 6
WRITER = """
import queue, sys
from node.raft.effects import Persist
from node.raft.types import *
from node.storage.files import OsFiles
from node.storage.wal import open_wal

def acknowledge(token):
    sys.stdout.write(f"{token}\\n")
    sys.stdout.flush()

reports = queue.SimpleQueue()
threaded = sys.argv[2] == "threaded"
wal, recovered = open_wal(
    OsFiles(sys.argv[1]), "node-1", "a" * 32, lambda error: sys.exit(str(error)),
    deliver=reports.put if threaded else None, segment_bytes=32768,
)
index = len(recovered.entries)
if index == 0:
    entry = Entry(1, 0, EntryKind.CONFIGURATION, Configuration((Member("node-1", "a" * 32),)).encode())
    wal.submit(Persist(1, None, None, (entry,), cluster_id=cluster_id_of(entry)), acknowledge)
    index = 1
while True:
    for _ in range(1 + index % 5):
        index += 1
        data = b"%d " % index * (index % 300)
        wal.submit(Persist(index, HardState(1, "node-1", index - 1), None,
                           (Entry(index, 1, EntryKind.WRITE, data),)), acknowledge)
    wal.flush()
    if threaded:
        reports.get()()
"""


def _one_life(folder: Path, mode: str, acknowledgements: int) -> int:
    """Let a writer run until it has acknowledged that many writes, kill it, and return the last it acknowledged."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder), mode], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(acknowledgements):
            assert writer.stdout.readline(), "the writer ended by itself"
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split(b"\n")
        assert writer.wait() == -signal.SIGKILL
    whole = [int(line) for line in rest[:-1]]  # the last line may be cut short
    return whole[-1] if whole else 0


def test_every_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    highest = 0
    for life in range(ROUNDS):
        last = _one_life(tmp_path, ("inline", "threaded")[life % 2], rng.randint(1, 600))
        highest = max(highest, last)
        log = Log(OsFiles(tmp_path), segment_bytes=32768)
        log.close()
        entries = log.recovered.entries
        assert len(entries) >= highest, f"write {highest} was acknowledged and the log ends at {len(entries)}"
        for entry in entries[1:]:
            assert entry.data == b"%d " % entry.index * (entry.index % 300)
        assert log.recovered.hard_state.commit == len(entries) - 1
    assert len(list(tmp_path.glob("segment-*.wal"))) > 2
