"""The next segment is made ahead: rotation takes no space, no descriptor and no time that it could lack then."""

import errno
import os
import resource
import time
from pathlib import Path

import pytest

from node.simulation.disk import SimulatedDisk
from node.storage.files import OsFiles
from node.storage.inspect import verify
from tests.storage.logs import Log, append, birth, command, read_back

SEGMENT_BYTES = 4096
NEXT = "segment-00000002.wal.tmp"


def _half_full(log: Log) -> int:
    """Fill the first segment to its half; the next index."""
    log.write(birth())
    log.write(append(2, command(2, 1, b"h" * 2200)))
    return 3


@pytest.mark.parametrize("threaded", [False, True])
def test_the_next_segment_is_made_when_this_one_is_half_full(threaded: bool) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=threaded, segment_bytes=SEGMENT_BYTES)
    log.write(birth())
    log.write(append(2, command(2)))
    assert NEXT not in disk.content()
    created, end = disk.operations["create"], time.monotonic() + 10
    log.write(append(3, command(3, 1, b"h" * 2000)))
    while disk.operations["create"] == created:  # a worker makes it after it has told of the write
        assert time.monotonic() < end, "the next segment was not made"
        time.sleep(0.001)
    log.write(append(4, command(4)))
    assert disk.content()[NEXT] == bytes(SEGMENT_BYTES)
    created = disk.operations["create"]
    log.write(append(5, command(5, 1, b"h" * 1200)))
    assert disk.operations["create"] == created, "rotation takes what is there"
    assert "segment-00000002.wal" in disk.content()
    log.close()
    assert [entry.index for entry in read_back(disk).entries] == [1, 2, 3, 4, 5]


def test_what_was_made_ahead_is_gone_after_a_stop_and_after_a_crash() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=SEGMENT_BYTES)
    _half_full(log)
    assert NEXT in disk.content()
    log.close()
    assert NEXT not in disk.content()
    log = Log(disk, segment_bytes=SEGMENT_BYTES)
    log.write(append(1, command(3)))
    assert NEXT in disk.content()
    assert verify(disk).damage == ""
    disk.kill()
    log = Log(disk, segment_bytes=SEGMENT_BYTES)
    assert NEXT not in disk.content()
    log.close()


def test_a_frame_that_needs_a_larger_segment_does_not_take_the_one_made_ahead() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=SEGMENT_BYTES)
    index = _half_full(log)
    log.write(append(3, command(index, 1, b"L" * 20_000)))
    assert len(disk.content()["segment-00000002.wal"]) > 20_000
    assert NEXT not in disk.content()
    log.close()
    assert len(read_back(disk).entries) == 3


@pytest.mark.parametrize("operation", ["create", "sync"])
def test_what_fails_ahead_fails_nobody_and_is_tried_again_later(operation: str) -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=SEGMENT_BYTES)
    log.write(birth())
    disk.fail(operation, errno.EMFILE, after_calls=1 if operation == "sync" else 0)
    log.write(append(2, command(2, 1, b"h" * 2200)))
    assert not log.fatal
    disk.heal()
    tries = disk.operations["create"]
    log.write(append(3, command(3)))
    assert disk.operations["create"] == tries, "not at every write"
    log.write(append(4, command(4, 1, b"h" * (SEGMENT_BYTES // 8))))
    assert NEXT in disk.content()
    log.close()


def test_a_node_out_of_descriptors_goes_on_in_the_next_segment(tmp_path: Path) -> None:
    log = Log(OsFiles(tmp_path), segment_bytes=SEGMENT_BYTES)
    index = _half_full(log)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # no open can succeed, whatever is closed meanwhile
        with pytest.raises(OSError, match="Too many open files"):
            os.open(tmp_path, os.O_RDONLY)
        log.write(append(3, command(index, 1, b"h" * 3000)))
        log.write(append(4, command(index + 1)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert log.fatal == []
    assert log.done == [1, 2, 3, 4]
    log.close()
    assert len(read_back(OsFiles(tmp_path)).entries) == 4


def test_a_log_that_was_there_needs_no_descriptor_for_its_first_write(tmp_path: Path) -> None:
    log = Log(OsFiles(tmp_path), segment_bytes=SEGMENT_BYTES)
    index = _half_full(log)
    log.close()
    log = Log(OsFiles(tmp_path), segment_bytes=SEGMENT_BYTES)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        log.write(append(3, command(index)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (log.done, log.fatal) == ([3], [])
    log.close()
