"""What a folder holds stays within what docs/operations.md says under *Sizes*."""

import urllib.request
from pathlib import Path

import pytest

from tests.cluster.bare import Bare, bare_nodes
from tests.cluster.harness import WAIT_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 1024 * 1024
SNAPSHOT_MIB, SEGMENT_MIB = 1, 1
SPARE_BYTES = (200 * SNAPSHOT_MIB // 64 + 4 * SEGMENT_MIB) * MIB
"""The guide's 200 MiB are for snapshots after 64 MiB of log; and a segment is never less than whole."""
VALUE = bytes(range(256)) * 1024
KEYS, WRITES = 4, 128


def folder_bytes(folder: Path) -> int:
    """Of files that may go while they are looked at."""
    total = 0
    for file in folder.iterdir():
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


@pytest.mark.slowest
def test_a_folder_takes_no_more_than_four_times_the_store_and_what_is_spare(tmp_path: Path) -> None:
    sizes = ("--snapshot-bytes", f"{SNAPSHOT_MIB}MiB", "--segment-bytes", f"{SEGMENT_MIB}MiB", "--snapshot-tail", "2")
    with bare_nodes(tmp_path, 1, *sizes) as nodes:
        for number in range(WRITES):
            nodes.put("n1", f"key-{number % KEYS}", VALUE)
            if number % KEYS == KEYS - 1:
                compact(nodes, number)
            store = nodes.metric("n1", "raft_store_bytes")
            assert folder_bytes(tmp_path / "n1") <= 4 * store + SPARE_BYTES, (number, store)
        assert 4 * store + SPARE_BYTES < WRITES * len(VALUE), "else a log that never ends would be within it"


def compact(nodes: Bare, number: int) -> None:
    """Old versions go: the store stays as long as its keys."""
    url = f"http://127.0.0.1:{nodes.ports['n1']}/v3/kv/compaction"
    request = urllib.request.Request(url, b'{"revision":"%d"}' % number, method="POST")
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        assert answer.status == 200
