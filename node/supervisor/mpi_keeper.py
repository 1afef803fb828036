"""What mpiexec starts: a process that does nothing but start a rank's node, and stay when that one dies.

Why it exists: to a process manager of MPI a rank that dies is the end of the job, and it ends the others. So the rank's
node is a child of what the process manager watches, with the same place in the world: when it dies, nobody tells the
process manager, and the others go on. It must not speak MPI: the child does.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

from node.supervisor import lifeline
from node.supervisor.child import bound_log, describe_end, last_words, rotate_at_start
from node.supervisor.layout import Lock, SupervisorError

PMI = "PMI_FD"
KEPT_DESCRIPTORS = (PMI, "HYDI_CONTROL_FD")
"""How a rank speaks with its process manager, in the environment: they are the child's to use."""
LEAVES = b"cmd=finalize\n"
"""What MPI's end says to the process manager (PMI 1). MPI is never ended here; and a rank that ends without this word
has its process manager kill the others, which were asked to end as well, in the middle of that."""
NOT_STARTED = (1, 2, 64)
"""Exit codes of a node that cannot run where it was put: then the world ends, and says why."""
PROCESS_FILE = "process.json"
LOCK_FILE = "rank.lock"
"""Held by the keeper of the rank that runs in this folder: a second world must write nothing into it."""
LOG_FILE = "node.log"
BOUND_LOG_SECONDS = 5.0
"""Between two looks whether the log is too long."""
_FILE_BYTES_MAX = 4096


def is_keepers(name: str) -> bool:
    """Whether a file of a rank's folder is its keeper's, and no data."""
    return name == LOCK_FILE or name.startswith((PROCESS_FILE, LOG_FILE))


class Kept(msgspec.Struct, frozen=True):
    """What the file says of a rank's node: `pid` where it runs, else how it ended. `keeper`: whom to ask to end."""

    pid: int | None
    exit: int | None = None
    how: str = ""
    keeper: int | None = None


class Keeper:
    """One rank. `run` returns the exit code of this process."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._name, self._command, self._folder, self._environ = name, tuple(command), folder, environ
        self._child: subprocess.Popen[bytes] | None = None
        self._log = folder / LOG_FILE
        self._asked = False

    def run(self) -> int:
        """Until the node was asked to end and did; for ever where it died by itself."""
        lifeline.end_with_parent(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # how Hydra tells of the end of another rank
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(self._folder / LOCK_FILE)
        except (OSError, SupervisorError) as error:
            self._say(f"it was not started: {error}")
            return 1
        try:
            return self._keep()
        finally:
            lock.release()

    def _keep(self) -> int:
        kept = [int(self._environ[key]) for key in KEPT_DESCRIPTORS if self._environ.get(key, "").isdecimal()]
        try:
            rotate_at_start(self._log)
            with self._log.open("ab") as log:
                self._child = subprocess.Popen(self._command, env=dict(self._environ), stderr=log, pass_fds=kept)
        except OSError as error:
            self._say(f"it was not started: {error}")
            return 1
        if self._was_asked():
            self._end_child()
        signal.signal(signal.SIGALRM, lambda _number, _frame: bound_log(self._log))
        signal.setitimer(signal.ITIMER_REAL, BOUND_LOG_SECONDS, BOUND_LOG_SECONDS)
        self._write(Kept(self._child.pid, keeper=os.getpid()))
        code = self._child.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        how = describe_end(code)
        self._write(Kept(None, code, how, os.getpid()))
        if self._was_asked() or code in NOT_STARTED:
            if code in NOT_STARTED:
                self._say(f"it {how}: {self._last_words()}")
            else:
                self._leave()
            return max(code, 0)
        if code == 0:  # somebody asked the node itself
            self._say("its node was asked to end, and did; its place in this MPI world stays empty.")
        else:
            why = f": {self._last_words().removesuffix('.')}" if code > 0 else ""
            self._say(
                f"it {how}{why}. The others go on without it; no process can take its place in this MPI world: to have "
                f"it back, start the world anew, with the data in {self._folder}."
            )
        while not self._was_asked():
            signal.pause()
        self._leave()
        return 0

    def _leave(self) -> None:
        if self._environ.get(PMI, "").isdecimal():
            with suppress(OSError):  # the process manager is gone
                os.write(int(self._environ[PMI]), LEAVES)

    def _was_asked(self) -> bool:
        return self._asked

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._end_child()

    def _end_child(self) -> None:
        """Ask it to leave; a stopped process is continued, so that it can."""
        if self._child is not None and self._child.returncode is None:
            self._child.terminate()
            self._child.send_signal(signal.SIGCONT)

    def _say(self, text: str) -> None:
        os.write(2, f"{self._name}: {text}\n".encode())

    def _write(self, kept: Kept) -> None:
        """Its disk may be why the node died: that ends this rank, and no other."""
        beside = self._folder / f"{PROCESS_FILE}.new"
        try:
            beside.write_bytes(msgspec.json.encode(kept))
            beside.replace(self._folder / PROCESS_FILE)
        except OSError as error:
            self._say(f"{beside.parent / PROCESS_FILE} cannot be written: {error.strerror}.")

    def _last_words(self) -> str:
        return next(reversed(last_words(self._log)), f"see {self._log}")


def read_kept(folder: Path) -> Kept | None:
    """What a keeper wrote of its rank's node; None: nothing yet."""
    try:
        with (folder / PROCESS_FILE).open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=Kept)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
