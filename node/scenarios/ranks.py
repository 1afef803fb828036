"""The processes of a scenario whose nodes are ranks of an MPI world: they start together, and one that died stays dead.

Why it exists: `nodes.py` starts and kills each node by itself; a rank has its place in a world or not at all. It must
not know what the nodes say.
"""

import asyncio
import contextlib
import importlib.util
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from node.scenarios.nodes import END_SECONDS, POLL_SECONDS, Nodes, Start
from node.scenarios.outcome import Timing, ToolFailure
from node.scenarios.ports import free_row
from node.supervisor.child import Child
from node.supervisor.layout import NodeEntry, SupervisorError
from node.supervisor.mpi_keeper import read_kept
from node.supervisor.mpi_place import entries_of, mpiexec_of

WORLD = "mpiexec"


def there_is_mpi(environ: Mapping[str, str]) -> bool:
    """Whether ranks can be started here."""
    with contextlib.suppress(SupervisorError):
        return bool(mpiexec_of(environ)) and importlib.util.find_spec("mpi4py") is not None
    return False


class Ranks(Nodes):
    """`count` ranks rank-0, rank-1, ...; nothing runs yet."""

    def __init__(self, folder: Path, count: int, timing: Timing, start: Start) -> None:
        if not there_is_mpi(start.environ):
            raise ToolFailure("There is no MPI here: pip install '.[mpi]' brings mpi4py and MPICH.")
        super().__init__(folder, 0, timing, start)
        base_port = free_row(count)
        self._entries = entries_of([f"rank-{rank}" for rank in range(count)], base_port, folder)
        command = (
            *(mpiexec_of(start.environ), "-n", str(count), *start.program, "mpi"),
            *("--base-port", str(base_port), "--data-dir", os.fspath(folder)),
            *("--heartbeat-ms", str(timing.heartbeat_ms)),
            *("--election-timeout-ms", f"{timing.election_low_ms}-{timing.election_high_ms}"),
        )
        log = NodeEntry(WORLD, "", "", os.fspath(folder), os.fspath(folder / WORLD / "node.log"))
        self._children = {WORLD: Child(log, command, self._environ)}
        self.names = tuple(entry.name for entry in self._entries)
        self.urls = {entry.name: entry.url for entry in self._entries}
        self._dead: list[str] = []

    @property
    def running(self) -> tuple[str, ...]:
        """Those that were started and not killed."""
        return tuple(name for name in self.names if self._wanted and name not in self._dead)

    def start(self, *names: str) -> None:
        """All of them, once."""
        if self._wanted or names != self.names:
            raise ToolFailure("The ranks of an MPI world start together, and once.")
        super().start(WORLD)

    async def kill(self, name: str) -> int:
        """SIGKILL for the rank's node."""
        pid = self._pid(name)
        if pid is None:
            raise ToolFailure(f"{name} does not run.")
        self._dead.append(name)
        os.kill(pid, signal.SIGKILL)
        await self._until(lambda: self._pid(name) is None)
        return pid

    async def end(self) -> None:
        """The world, and with it every rank."""
        pids = [pid for name in self.names if (pid := self._pid(name)) is not None]
        self._wanted.clear()
        self._children[WORLD].terminate()
        with contextlib.suppress(ToolFailure):
            await self._gone((WORLD,))
        self._children[WORLD].kill()
        await self._gone((WORLD,))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._until(lambda: not any(_lives(pid) for pid in pids))

    def _pid(self, name: str) -> int | None:
        entry = next(entry for entry in self._entries if entry.name == name)
        kept = read_kept(Path(entry.data_dir))
        return None if kept is None else kept.pid

    async def _until(self, holds: Callable[[], bool]) -> None:
        for _ in range(int(END_SECONDS / POLL_SECONDS)):
            if holds():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise ToolFailure(f"A killed process was not gone after {END_SECONDS:.0f} s.")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
