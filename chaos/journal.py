"""The undo journal of a run: how to take back each act, on the disk before the act is done.

    {"format": "raft-chaos undo", "version": 1, "run": ..., "target": ..., "kind": ..., "cluster_id": ...}
    {"will_do": {"do": ..., "arguments": {...}}}
    {"undone": {"do": ..., "arguments": {...}}}

Why it exists: `kill -9` of the tool must not leave a partition behind that nobody knows of. Plain JSON, a line each;
a run that still goes on holds a lock of the kernel on its journal, which ends with the process. It must not act.
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from chaos.errors import ChaosError
from chaos.targets.port import UndoStep

VERSION = 1
LINES_NAMED_MAX = 3
LINE_BYTES_MAX = 64 * 1024
"""A longer line is not ours."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: whose steps these are. `cluster_id`: what the nodes called their cluster, empty if unknown."""

    format: Literal["raft-chaos undo"] = "raft-chaos undo"
    version: int = VERSION
    run: str
    target: str
    kind: str
    cluster_id: str = ""


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    will_do: UndoStep | None = None
    undone: UndoStep | None = None


class UndoJournal:
    """Satisfies `Journal`; safe to use from threads. Raises ChaosError where the disk refuses: then nothing is done."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.header = path, header
        self._lock = threading.Lock()
        self._open: list[UndoStep] = []
        self._announced: list[UndoStep] = []
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._append(header)
            _sync_folder(path.parent)
        except OSError as error:
            raise ChaosError(
                f"The undo journal {path} cannot be written ({error.strerror}), so nothing was done: "
                "name another folder with --out."
            ) from None

    @classmethod
    def reopen(cls, path: Path) -> "UndoJournal | None":
        """The journal of an earlier run, to note what is taken back; None while its run still goes on.

        One that may only be read will do: what cannot be noted is taken back once more another time.
        """
        journal = cls.__new__(cls)
        kept = read(path)
        journal.path, journal.header = path, kept.header
        journal._open, journal._announced = list(kept.open_steps), list(kept.open_steps)
        journal._lock = threading.Lock()
        try:
            journal._descriptor = _opened(path)
        except OSError as error:
            raise ChaosError(f"The undo journal {path} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(journal._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(journal._descriptor)
            return None
        with contextlib.suppress(OSError):  # a full disk must not keep anybody from healing
            journal._end_last_line(path.read_bytes())
        return journal

    @property
    def open_steps(self) -> tuple[UndoStep, ...]:
        """What is not taken back, in the order in which it was announced."""
        with self._lock:
            return tuple(self._open)

    @property
    def announced(self) -> tuple[UndoStep, ...]:
        """Everything that this run ever announced, or found open."""
        with self._lock:
            return tuple(self._announced)

    def will_do(self, step: UndoStep) -> None:
        """See Journal: on the disk when this returns."""
        self._note(_Record(will_do=step))
        with self._lock:
            self._open.append(step)
            self._announced.append(step)

    def undone(self, step: UndoStep) -> None:
        """See Journal. Every equal step counts as taken back. Never raises: where the disk refuses, the step is only
        taken back once more, and the healing of others must go on."""
        with contextlib.suppress(ChaosError):
            self._note(_Record(undone=step))
        with self._lock:
            self._open = [other for other in self._open if other != step]

    def close(self) -> None:
        """Let go of the file; its lock ends."""
        os.close(self._descriptor)

    def _end_last_line(self, content: bytes) -> None:
        """What was torn was never done, and must not spoil the line after it."""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            _, torn = _replay([content[whole:]])
            if torn:
                os.ftruncate(self._descriptor, whole)
            else:
                os.write(self._descriptor, b"\n")

    def _note(self, record: _Record) -> None:
        try:
            with self._lock:
                self._append(record)
        except OSError as error:
            raise ChaosError(f"The undo journal {self.path} cannot be written ({error.strerror}).") from None

    def _append(self, record: Header | _Record) -> None:
        """All of it or nothing: what is torn here would swallow the line after it."""
        line, size = msgspec.json.encode(record) + b"\n", os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        os.fsync(self._descriptor)


class Kept(msgspec.Struct, frozen=True):
    """A journal read back. `damaged`: numbers of lines that say nothing any more, and may have announced an act."""

    path: Path
    header: Header
    open_steps: tuple[UndoStep, ...]
    damaged: tuple[int, ...] = ()


def read(path: Path) -> Kept:
    """Read a journal; a last line that was torn by a crash stands for an act that was not done yet.

    Raises ChaosError where the file cannot be read or its first line is not a journal's.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ChaosError(f"The undo journal {path} cannot be read: {error.strerror}.") from None
    try:
        header = msgspec.json.decode(lines[0][:LINE_BYTES_MAX], type=Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChaosError(f"{path} is not an undo journal of raft-chaos: {error}.") from None
    if header.version > VERSION:
        raise ChaosError(f"{path} has version {header.version}, this raft-chaos knows {VERSION}: use the newer one.")
    steps, damaged = _replay(lines[1:])
    return Kept(path, header, steps, tuple(number for number in damaged if number < len(lines)))


def _replay(lines: Iterable[bytes]) -> tuple[tuple[UndoStep, ...], tuple[int, ...]]:
    """What is open, and the numbers of lines that are no records; the header's is 1."""
    steps: list[UndoStep] = []
    damaged: list[int] = []
    for number, line in enumerate(lines, 2):
        try:
            record = msgspec.json.decode(line, type=_Record)
        except (msgspec.MsgspecError, RecursionError):
            damaged += [number] if line.strip() else []
            continue
        if record.will_do is not None:
            steps.append(record.will_do)
        if record.undone is not None:
            steps = [step for step in steps if step != record.undone]
    return tuple(steps), tuple(damaged)


def find(out: Path, file_name: str) -> tuple[list[Kept], list[str]]:
    """The journals in the folders of `out`, oldest first, and why others could not be read.

    A file without even a whole first line announces nothing: its run ended before its first act.
    """
    found, troubles = [], []
    for path in sorted(out.glob(f"*/{file_name}")) if out.is_dir() else []:
        if path.parent.is_symlink():
            continue
        try:
            if b"\n" not in path.read_bytes():
                continue
            kept = read(path)
            found.append(kept)
            if kept.damaged:
                lines = ", ".join(map(str, kept.damaged[:LINES_NAMED_MAX]))
                troubles.append(
                    f"{path} is damaged (line {lines}), so what it announced there is not known: "
                    "raft-chaos heal --all also takes back what the cluster itself shows."
                )
        except (OSError, ChaosError) as error:
            troubles.append(str(error))
    return found, troubles


def _opened(path: Path) -> int:
    """To write, or where that is not allowed (another user's, a disk that went read-only) to read and lock."""
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
