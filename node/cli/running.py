"""A program that runs while a lock is held: it is told which one, and told to end when the lock is lost.

Why it exists: a script that needs a lock need not know how one is held. It must not outlive the lock for long, and must
not be told twice of a Ctrl-C that the terminal has told it of already.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Sequence

from node.cli.failure import LOST, Failure
from node.cli.holding import Told
from node.cli.stdout import complain
from raftclient import Lock

KILLED_AFTER_SECONDS = 5.0
"""A program that goes on so long after its lock was lost, and it was told so, is killed."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""As shells have it."""


def program_of(command: Sequence[str]) -> str:
    """Where the program is. Raises Failure, before anything is held."""
    found = shutil.which(command[0])
    if found is None:
        there = os.path.exists(command[0]) and "/" in command[0]
        why, code = ("cannot be run", NOT_EXECUTABLE) if there else ("is not there", NOT_FOUND)
        raise Failure(f"The program {command[0]} {why}, so nothing was locked.", code)
    return found


async def run(program: str, command: Sequence[str], lock: Lock, told: Told) -> int:
    """Its exit code, 128 and the number of the signal that ended it, or LOST."""
    sys.stdout.flush()
    process = await asyncio.create_subprocess_exec(*command, executable=program, env={**os.environ, **_told_of(lock)})
    told.instead = lambda number: _pass_on(process, number)
    ending, losing = asyncio.create_task(process.wait()), asyncio.create_task(lock.lost.wait())
    try:
        await asyncio.wait((ending, losing), return_when=asyncio.FIRST_COMPLETED)
        if not lock.alive:
            await _end(process, command[0])
            return LOST
        code = ending.result()
        return code if code >= 0 else 128 - code
    finally:
        told.spare_one()
        losing.cancel()


def _told_of(lock: Lock) -> dict[str, str]:
    """What the program finds in its environment. Etcd's own client gives the revision as of which the lock was had."""
    key = os.fsdecode(lock.key)
    return {
        "RAFT_LOCK_KEY": key,
        "RAFT_LOCK_TOKEN": str(lock.token),
        "ETCD_LOCK_KEY": key,
        "ETCD_LOCK_REV": str(lock.revision),
    }


async def _end(process: asyncio.subprocess.Process, name: str) -> None:
    """The lock is lost: SIGTERM, and SIGKILL where that does not do."""
    if process.returncode is not None:
        complain(f"The lock was lost while {name} ran: somebody else may have held it before {name} ended.")
        return
    complain(f"The lock was lost while {name} runs: somebody else may hold it, so {name} is told to end (SIGTERM).")
    process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILLED_AFTER_SECONDS):
            await process.wait()
            return
    complain(f"{name} went on for {KILLED_AFTER_SECONDS:g} s without the lock: it is killed.")
    process.kill()
    await process.wait()


def _pass_on(process: asyncio.subprocess.Process, number: int) -> None:
    """A signal that told this command to end; the lock is released once the program has."""
    with contextlib.suppress(ProcessLookupError):
        if number != signal.SIGINT or not _in_foreground():
            process.send_signal(number)


def _in_foreground() -> bool:
    """Whether a terminal's Ctrl-C reaches this process and the program alike."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
