"""What is overwritten and compacted takes no memory, as the operating system sees it: in a process of its own."""

import subprocess
import sys

import pytest

PROGRAM = """
import os
from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Compact, Put, encode_write

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def write(*writes):
    store.apply([Entry(1, 1, EntryKind.WRITE, encode_write(each)) for each in writes])

store = KeyValueStore()
before, seen = resident(), []
for round in range(11):
    for first in range(0, KEYS, 1_000):
        keys = [b"key-%06d" % (i * 7919 % KEYS) for i in range(first, first + 1_000)]
        write(*(Put(key, b"%02d-" % round + key + b"v" * 242) for key in keys))
        if COMPACTED and first % (KEYS // 10) == 0:
            write(Compact(store.revision))
    seen.append(resident() - before)
assert store.key_count == KEYS
print(seen[0], max(seen))
"""


def once_and_at_most(keys: int, compacted: bool) -> tuple[int, int]:
    """Bytes after every key was written once, and at most at the end of ten more rounds."""
    program = PROGRAM.replace("COMPACTED", str(compacted)).replace("KEYS", str(keys))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    once, most = map(int, run.stdout.split())
    return once, most


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("keys", [20_000, pytest.param(100_000, marks=pytest.mark.slowest)])
def test_keys_overwritten_ten_times_with_compactions_take_little_more_than_written_once(keys: int) -> None:
    once, most = once_and_at_most(keys, compacted=True)
    assert once > keys * 255
    assert most <= 1.3 * once
