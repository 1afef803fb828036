"""A folder where backups are kept: a disk, a claim, a file server.

Why it exists: the place that needs nothing else. A file gets its name once all of it is there and durable.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from node.keeping.port import PlaceError

PART_SUFFIX = ".part"
NOTE_BYTES_MAX = 4096


class Folder:
    """Satisfies `node.keeping.port.Place`. It must be there: a folder that is made where a disk should have been
    mounted would be a backup on the wrong disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        part = self._path / f"raft-backup{PART_SUFFIX}"
        with contextlib.ExitStack() as stack:
            with self._told("write", part.name):
                held = stack.enter_context(part.open("ab"))
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of a run that was killed nothing is held
                except BlockingIOError:
                    raise PlaceError(f"another backup is being written to {self._path} at this moment") from None
                held.truncate(0)
            stack.callback(part.unlink, missing_ok=True)
            yield part

    def keep(self, file: Path, name: str) -> None:
        with self._told("write", name):
            with file.open("rb") as written:
                os.fsync(written.fileno())
            os.link(file, self._path / name)  # unlike a rename it takes nobody's place
            self._sync()

    def names(self) -> list[str]:
        with self._told("list", ""):
            return [path.name for path in self._path.iterdir() if path.is_file()]

    def remove(self, name: str) -> None:
        with self._told("remove", name):
            (self._path / name).unlink(missing_ok=True)

    def fetch(self, name: str, to: Path) -> None:
        with self._told("read", name):
            shutil.copyfile(self._path / name, to)

    def note(self, name: str, text: str) -> str:
        with self._told("write", name):
            made, path = tempfile.mkstemp(PART_SUFFIX, f"{name}-", self._path)
            part = Path(path)
            try:
                with open(made, "w") as out:
                    out.write(text)
                    out.flush()
                    os.fsync(out.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(part, self._path / name)
            finally:
                part.unlink(missing_ok=True)
            self._sync()
            with (self._path / name).open() as there:
                return there.read(NOTE_BYTES_MAX)

    def shown(self, name: str) -> str:
        return str(self._path / name)

    def _sync(self) -> None:
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _told(self, doing: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PlaceError(f"cannot {doing} {self.shown(name)} ({error.strerror or error})") from error
