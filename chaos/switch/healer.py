"""The process that takes back what a run did to a local cluster, when the tool is dead or gives no sign of life.

    python -m chaos.switch DATA_DIR JOURNAL SILENT_SECONDS < signs of life > answers

Why it exists: a node that was killed stays down, a process that was paused stands still for ever, unless somebody
brings it back. It has a session and no terminal of its own, and reads the undo journal like `raft-chaos heal`, under
the same locks; where the tool lives and merely stands still it needs none, for undoing twice is harmless, and the tool
heals again by itself if it ever wakes. It must not break anything, and ends with the run.
"""

import asyncio
import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from chaos import healing, journal
from chaos.errors import ChaosError, Refused
from chaos.healing import Found
from chaos.journal import Kept
from chaos.switch.process import BYE, HEALING, READY
from chaos.targets.local import LocalTarget, open_local
from chaos.targets.port import UndoStep

GRACE_SECONDS = 2.0
"""Where this process stood still as well, the tool's next sign of life is on its way."""
HEAL_SECONDS_MAX = 300.0
PAUSE_SECONDS = 1.0
LOG_SECONDS_MAX = 2.0
LOG_FILE = "switch.log"
"""Beside the journal, once there is something to tell."""
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
Say = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    data_dir, path, silent_s = Path(arguments[0]), Path(arguments[1]), float(arguments[2])
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _tell(READY)
    say = Log(path.with_name(LOG_FILE))
    while True:
        end = watch(0, silent_s)
        if end == "bye":
            return 0
        alive = end == "silent"
        if not alive or _open_steps(path):
            _tell(HEALING)
            say("the tool gives no sign of life" if alive else "the tool is gone")
            asyncio.run(take_back(data_dir, path, alive, say))
        if not alive:
            say.end()
            return 0
        select.select([0], [], [])  # until it wakes, or is gone as well


class Log:
    """Lines with the time, appended by a thread: the disk that holds them may be what the tool hangs on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__(self, text: str) -> None:
        self._lines.put(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="switch log", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Wait for what was told, in bounds."""
        self._lines.put(None)
        if self._thread is not None:
            self._thread.join(LOG_SECONDS_MAX)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError), self._path.open("a") as log:
                log.write(line)


def watch(beats: int, silent_s: float) -> Literal["bye", "gone", "silent"]:
    """Until the tool says that all is well, its end of the pipe is closed, or nothing comes for so long."""
    while True:
        for patience_s in (silent_s, GRACE_SECONDS):
            if select.select([beats], [], [], patience_s)[0]:
                break
        else:
            return "silent"
        said = os.read(beats, 4096)
        if BYE in said:
            return "bye"
        if not said:
            return "gone"


async def take_back(data_dir: Path, path: Path, alive: bool, say: Say) -> None:
    """Again and again, in bounds, until nothing is left of it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HEAL_SECONDS_MAX
    while loop.time() < until:
        try:
            target = await open_local(data_dir)
        except Refused as error:
            say(f"{error} So nothing is in force any more.")
            return
        except Exception as error:  # whatever it is, it is tried again: nobody else would
            say(str(error) or type(error).__name__)
        else:
            try:
                if await _taken_back(target, path, alive, say):
                    say("nothing is left in force")
                    return
            except Exception as error:
                say(str(error) or type(error).__name__)
            finally:
                await target.close()
        await asyncio.sleep(PAUSE_SECONDS)
    say(f"given up after {HEAL_SECONDS_MAX:.0f} s: raft-chaos heal --all tries again")


async def _taken_back(target: LocalTarget, path: Path, alive: bool, say: Say) -> bool:
    if alive:  # which has the locks
        failed: list[str] = []
        for step in reversed(_open_steps(path)):
            await healing.undo(target, step, [], failed, say)
        return not failed
    kept = _read(path, say)
    sound = kept is not None and not kept.damaged  # else what it would say only the cluster can
    if kept is not None and sound and not kept.open_steps:
        return True
    # Nobody else may have begun here since: what is left is of this run, also what was on its way when the tool died
    try:
        leftovers = tuple(await target.leftovers())
    except ChaosError as error:  # one that does not answer keeps nobody from undoing what the journal says
        if kept is None or not sound:
            raise
        say(str(error))
        leftovers = ()
    found = Found((kept,) if kept is not None and sound else (), leftovers, ())
    return not (await healing.heal(target, found, True, say)).failed


def _read(path: Path, say: Say) -> Kept | None:
    try:
        return journal.read(path)
    except ChaosError as error:
        say(str(error))
        return None


def _open_steps(path: Path) -> Sequence[UndoStep]:
    try:
        return journal.read(path).open_steps
    except ChaosError:
        return ()


def _tell(word: bytes) -> None:
    with contextlib.suppress(OSError):  # there is nobody any more
        os.write(1, word)
