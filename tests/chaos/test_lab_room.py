"""The folder of a lab's socket: gone with the lab, swept up after one that was killed, never taken from the living."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from chaos.lab.room import PREFIX, YOUNG_SECONDS, room

HOLD = (
    "import sys, tempfile, time\nfrom chaos.lab.room import room\ntempfile.tempdir = sys.argv[1]\n"
    "with room() as path:\n    (path / 'control.sock').touch()\n    print(path, flush=True)\n    time.sleep(60)\n"
)


def age(path: Path) -> None:
    long_ago = time.time() - YOUNG_SECONDS - 10
    os.utime(path, (long_ago, long_ago))


def test_what_a_killed_lab_left_is_removed_when_the_next_one_starts_and_a_living_one_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, dead = (
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    try:
        assert living.stdout is not None
        assert dead.stdout is not None
        kept, left = Path(living.stdout.readline().strip()), Path(dead.stdout.readline().strip())
        dead.send_signal(signal.SIGKILL)
        dead.wait(10.0)
        another = tmp_path / "of-somebody-else"
        another.mkdir()
        for path in (kept, left, another):
            age(path)
        young = Path(tempfile.mkdtemp(prefix=PREFIX))  # of a lab that is about to lock it
        with room() as own:
            assert set(tmp_path.iterdir()) == {kept, another, young, own}
        assert set(tmp_path.iterdir()) == {kept, another, young}
    finally:
        for process in (living, dead):
            process.kill()
            process.wait(10.0)
            if process.stdout is not None:
                process.stdout.close()
