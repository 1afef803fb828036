"""What is overwritten and compacted takes no memory, as the operating system sees it: in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

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
for round in range(ROUNDS):
    for first in range(0, KEYS, 1_000):
        keys = [b"key-%06d" % (i * 7919 % KEYS) for i in range(first, first + 1_000)]
        write(*(Put(key, b"%02d-" % round + key + b"v" * 242) for key in keys))
        if COMPACTED and first % (KEYS // 10) == 0:
            write(Compact(store.revision))
    seen.append(resident() - before)
most = max(seen)
write(Compact(store.revision))
while not store.tidy(1_000):
    pass
assert store.key_count == KEYS
print(seen[0], most, resident() - before)
"""


def measured(keys: int, rounds: int, compacted: bool) -> tuple[int, int, int]:
    """Bytes after every key was written once, at most at the end of any round, and after a compaction of all."""
    program = PROGRAM.replace("COMPACTED", str(compacted)).replace("ROUNDS", str(rounds)).replace("KEYS", str(keys))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    once, most, after = map(int, run.stdout.split())
    assert once > keys * 255
    return once, most, after


@pytest.mark.slowest
@pytest.mark.parametrize("keys", [20_000, pytest.param(100_000, marks=pytest.mark.longest)])
def test_keys_overwritten_ten_times_with_compactions_take_little_more_than_written_once(keys: int) -> None:
    once, most, _ = measured(keys, 11, compacted=True)
    assert most <= 1.3 * once


@pytest.mark.slowest
@pytest.mark.parametrize(("keys", "times"), [(20_000, 2.0), pytest.param(100_000, 1.6, marks=pytest.mark.longest)])
def test_a_compaction_gives_back_the_memory_of_all_that_is_old(keys: int, times: float) -> None:
    # Of few keys, what the allocator keeps in its last arenas is a larger part: 1.58 to 1.61 times, of many 1.4
    once, most, after = measured(keys, 10, compacted=False)
    assert most > 5 * once, "every version was there"
    assert after <= times * once, "as objects they left 3.5"
