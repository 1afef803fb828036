"""The folder of a lab's control socket: short of path, gone with the lab, and swept up where a killed one left it.

Why it exists: the path of a unix socket may have some hundred characters at most, so it cannot lie in the data folder.
It must not touch the folder of a lab that lives.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "raft-chaos-lab-"
YOUNG_SECONDS = 60.0
"""A folder that is younger may be one whose lab has not locked it yet."""


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A folder of its own, locked as long as it is in use: the kernel lets go when the lab dies, however it dies."""
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(held)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders that no process owns."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, locked, or gone in this instant
            held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(held).st_mtime > YOUNG_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)
