"""One node's process: start it, signal it, say how it ended, keep its log file within bounds.

Why it exists: the supervisor's loop should read as what happens to a cluster, not as process handling. It must not
wait: the loop asks with `poll`.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from node.supervisor import lifeline
from node.supervisor.layout import NodeEntry, SupervisorError

LOG_BYTES_MAX = 8 * 1024 * 1024
"""A longer node.log is moved to node.log.1, which replaces the one before: twice this a node, at most."""
TAIL_LINES = 4
TAIL_BYTES = 64 * 1024
"""Several of the longest lines that a node logs."""


class ProcessView(msgspec.Struct, frozen=True):
    """What its parent knows of a node's process: no guess, unlike what other nodes say. `exit`: return code, negative
    the signal; `how`: the same for people; both only of one that ended."""

    pid: int | None
    state: Literal["running", "ended"]
    exit: int | None = None
    how: str = ""


class Child:
    """The process of one node, once started. All methods return at once."""

    def __init__(self, entry: NodeEntry, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self.entry = entry
        self._command = command
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def view(self) -> ProcessView:
        """What is known of it now."""
        if self._process is None:
            return ProcessView(None, "ended", how="was not started")
        code = self._process.returncode
        if code is None:
            return ProcessView(self._process.pid, "running")
        return ProcessView(None, "ended", code, describe_end(code))

    def start(self) -> int:
        """Start the process in a session of its own, so that a terminal's Ctrl-C reaches only the supervisor."""
        Path(self.entry.log_file).parent.mkdir(parents=True, exist_ok=True)
        rotate_at_start(Path(self.entry.log_file))
        with Path(self.entry.log_file).open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ,
                    start_new_session=True,
                    preexec_fn=lifeline.before_exec(os.getpid()),
                )
            except OSError as error:
                raise SupervisorError(f"{self.entry.name} cannot be started: {error.strerror}.") from None
        return self._process.pid

    def poll(self) -> int | None:
        """The return code (negative: the signal) once, when the process has ended since the last call."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to leave; a stopped process is continued, so that it can."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it now."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def bound_log(self) -> None:
        """Keep a running process's log within LOG_BYTES_MAX."""
        bound_log(Path(self.entry.log_file))

    def log_tail(self) -> list[str]:
        """What its log says about its end: the last warnings, errors and bare lines, then where the log is."""
        return [*last_words(Path(self.entry.log_file)), f"log: {os.path.relpath(self.entry.log_file)}"]


def rotate_at_start(log: Path) -> None:
    """Of a process that will append to it."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name(log.name + ".1"))


def bound_log(log: Path) -> None:
    """Of one that runs: it appends to the very file, so copy and cut."""
    with contextlib.suppress(OSError):  # a full disk is the node's to report
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def last_words(log: Path) -> list[str]:
    """The last warnings, errors and bare lines; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(begin)
            piece = file.read()
    except OSError:
        return []
    if begin:  # the first line began before: half a line says nothing, or something else
        piece = piece.partition(b"\n")[2]
    lines = piece.decode(errors="replace").split("\n")
    return [words for line in lines if (words := _readable(line))][-TAIL_LINES:]


class _LogLine(msgspec.Struct):
    level: str
    message: str


_TEXT_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} \S+ \S+/\d+ (?P<level>[A-Z]+) (?P<message>.*)")
"""As `node.observe.logs.HumanFormatter` writes it."""


def _readable(line: str) -> str:
    """A line for people; empty for one that only tells of ordinary work."""
    text = _TEXT_LINE.fullmatch(line)
    if text:
        return "" if text["level"] in ("DEBUG", "INFO") else f"{text['level']} {text['message']}"
    try:
        found = msgspec.json.decode(line, type=_LogLine)
    except (msgspec.MsgspecError, RecursionError):
        return line.strip()
    return "" if found.level in ("DEBUG", "INFO") else f"{found.level} {found.message}"


_MEANINGS = {
    0: " (an ordinary end)",
    2: " (an address in use, or too few file descriptors)",
    3: " (a storage error)",
    64: " (wrong settings)",
    70: " (a broken invariant, or a bug)",
}


def describe_end(code: int) -> str:
    """How a process ended, for people: "was killed by SIGKILL", "ended with exit code 3"."""
    if code >= 0:
        return f"ended with exit code {code}{_MEANINGS.get(code, '')}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
