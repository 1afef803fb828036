"""A process that still reads its log ends as soon as it is asked to, and changes nothing of what it read."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.cluster.harness import POLL_SECONDS
from tests.ports import free_base_port

pytestmark = pytest.mark.slow

READS_SECONDS = 30
END_SECONDS = 10


async def _opened_at_both_ends(fifo: Path) -> int:
    """Its end for writing, once the node reads from the other."""
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            await asyncio.sleep(POLL_SECONDS)


async def test_sigterm_during_the_recovery_of_a_very_long_log_does_not_wait_for_its_end(tmp_path: Path) -> None:
    base, folder = free_base_port(1), tmp_path / "n1"
    folder.mkdir()
    endless = folder / "segment-00000001.wal"
    os.mkfifo(endless)  # a file that is never read to its end
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", f"n1=127.0.0.1:{base + 1000}"),
        *("--data-dir", str(folder), "--port", str(base)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        writer = await asyncio.wait_for(_opened_at_both_ends(endless), READS_SECONDS)
        os.write(writer, bytes(4096))
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), END_SECONDS)
        os.close(writer)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    assert b"asked to stop" in said
    assert b'"kind":"started"' not in said
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "segment-00000001.wal"]
