"""The tool's end of the switch of a local cluster: a process of its own, which outlives the tool.

Why it exists: it is told every second that the tool lives. What it is told, and what it answers, are a few bytes over
two pipes, which the kernel closes with whichever of the two dies. It must not heal: that is `healer.py`.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import chaos
from chaos.errors import NOT_EFFECTIVE, TOOL_FAILED, Refused
from chaos.switch.port import SILENT_SECONDS, Charge

BEAT_SECONDS = 1.0
READY_SECONDS_MAX = 30.0
END_SECONDS_MAX, END_POLL_SECONDS = 5.0, 0.01
BEAT, BYE = b".", b"!"
READY, HEALING = b"ready\n", b"healing\n"
_LEFT: list[subprocess.Popen[bytes]] = []
"""They go on without us."""


async def start(data_dir: Path, charge: Charge) -> "HealerProcess":
    """A healer that watches. Raises Refused where it does not start."""
    try:
        made = HealerProcess(_spawned(data_dir, charge.journal), charge.ended)
    except OSError as error:
        raise _refused(error.strerror or str(error)) from None
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            await made.ready.wait()
    except TimeoutError:
        made.give_up()
        raise _refused(f"it was not ready within {READY_SECONDS_MAX:.0f} s") from None
    except BaseException:
        made.give_up()
        raise
    if made.gone:
        raise _refused(f"its process ended at once, with exit code {made.give_up()}")
    return made


def _spawned(data_dir: Path, journal: Path) -> "subprocess.Popen[bytes]":
    paths = [str(Path(chaos.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    files = [str(data_dir.absolute()), str(journal.absolute())]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "chaos.switch", *files, str(SILENT_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,  # a terminal that goes away, or Ctrl-C, is not for it
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def _refused(why: str) -> Refused:
    return Refused(
        f"The dead man's switch of this run could not be started ({why}), and nobody would take back what a killed "
        "tool leaves; nothing was changed."
    )


class HealerProcess:
    """See `Switch`. `ready`: it said so, or it is `gone`."""

    def __init__(self, process: "subprocess.Popen[bytes]", ended: Callable[[str, int], None]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self.ready, self.gone = asyncio.Event(), False
        self._process, self._ended = process, ended
        self._tells, self._hears = process.stdin, process.stdout
        os.set_blocking(self._tells.fileno(), False)
        os.set_blocking(self._hears.fileno(), False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._hears.fileno(), self._hear)
        self._beats = asyncio.create_task(self._beat(), name="tell the switch that we live")

    async def disarm(self) -> None:
        self._stop_watching()
        self._tell(BYE)
        self._tells.close()
        self._hears.close()
        until = self._loop.time() + END_SECONDS_MAX
        while self._process.poll() is None and self._loop.time() < until:  # noqa: ASYNC110 - a process
            await asyncio.sleep(END_POLL_SECONDS)
        if self._process.returncode is None:  # it heals what is healed already
            _LEFT.append(self._process)

    async def leave(self) -> None:
        """It takes that for our end, and begins as soon as the locks of this run are free."""
        self._stop_watching()
        _LEFT.append(self._process)
        self._tells.close()
        self._hears.close()

    def give_up(self) -> int:
        """It never watched. The exit code that it had ended with."""
        self._stop_watching()
        self._process.kill()
        self._tells.close()
        self._hears.close()
        return self._process.wait()

    def _stop_watching(self) -> None:
        self._beats.cancel()
        self._loop.remove_reader(self._hears.fileno())

    async def _beat(self) -> None:
        while True:
            self._tell(BEAT)
            await asyncio.sleep(BEAT_SECONDS)

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, which `_hear` hears; or stopped, and its pipe full
            os.write(self._tells.fileno(), word)

    def _hear(self) -> None:
        try:
            said = os.read(self._hears.fileno(), 4096)
        except BlockingIOError:
            return
        if READY in said:
            self.ready.set()
        if HEALING in said:
            self._ended(
                f"this tool gave no sign of life for {SILENT_SECONDS:.0f} s, so its dead man's switch took back what "
                "it had done; the run proves nothing",
                NOT_EFFECTIVE,
            )
        if not said:
            self.gone = True
            self._loop.remove_reader(self._hears.fileno())
            if self.ready.is_set():
                self._ended("the dead man's switch of this run is gone, so the run ends", TOOL_FAILED)
            self.ready.set()
