"""A registry, an MPI world and the page of all its ranks: what `raft-node mpi-cluster` runs, as one.

Why it exists: three programs that belong together start and end together. It knows of the ranks what their keepers
write and what the registry lists. It must not speak MPI, and cannot start a rank again: nobody can.
"""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec

from node.discovery.words import NODES_MAX, REGISTRATION_BYTES_MAX, Listed
from node.supervisor import lifeline
from node.supervisor.child import ProcessView
from node.supervisor.control import Answer
from node.supervisor.doorway import Door
from node.supervisor.layout import HOST, Lock, NodeEntry, SupervisorError
from node.supervisor.monitor import Monitor
from node.supervisor.mpi_keeper import LOCK_FILE, PROCESS_FILE, read_kept
from node.supervisor.watch import new_session, read_bounded

LOOK_S = 0.5
REGISTRY_WAIT_S_MAX = 10.0
END_WAIT_S_MIN = 15.0
"""From the wish to end to a kill, at least: nodes hand over their lead and answer what is under way."""
LISTED_BYTES_MAX = NODES_MAX * REGISTRATION_BYTES_MAX
REJOIN = "A rank cannot rejoin an MPI world: end this one (Ctrl-C) and start it anew, the data stays."


class _All(msgspec.Struct):
    nodes: tuple[Listed, ...]


class Plan(msgspec.Struct, frozen=True):
    """`mpiexec` and `rank`: commands, the latter what each rank runs; `registry`: the same for the registry.
    `leave_seconds_max`: how long a node may take to end."""

    mpiexec: tuple[str, ...]
    rank: tuple[str, ...]
    registry: tuple[str, ...]
    registry_url: str
    entries: tuple[NodeEntry, ...]
    leave_seconds_max: float = 0.0


class MpiCluster:
    """`run` returns the exit code. `say` prints a line. Satisfies `node.supervisor.control.Orders` as far as the page
    asks."""

    def __init__(self, plan: Plan, door: Door | None, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._plan, self._door, self._environ, self._say = plan, door, dict(environ), say
        self._stop = asyncio.Event()
        self._told: dict[str, str] = {}
        self._leader = ("", 0)
        self._registry_ended = False
        self._processes: list[asyncio.subprocess.Process] = []

    async def run(self) -> int:
        """Registry, page, ranks; until asked to end, or until no rank is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        _clear(self._plan.entries)
        monitor: Monitor | None = None
        session = new_session(aiohttp.TCPConnector(limit=4))
        try:
            _refuse_used_port(self._plan.registry_url)
            registry = await self._start(self._plan.registry)
            if not await self._registry_answers(registry, session):
                return 0
            if self._door is not None:
                monitor = Monitor(self._door, lambda: self._plan.entries, self.process, self)  # type: ignore[arg-type]
                await monitor.open()
            world = await self._start((*self._plan.mpiexec, *self._plan.rank))
            return await self._watch(world, registry, session)
        finally:
            await self._end_all()
            await session.close()
            if monitor is not None:
                await monitor.close()

    def process(self, name: str) -> ProcessView:
        """What the keeper of a rank wrote."""
        entry = next(entry for entry in self._plan.entries if entry.name == name)
        kept = read_kept(Path(entry.data_dir))
        if kept is None:
            return ProcessView(None, "ended", how="was not started yet")
        return ProcessView(kept.pid, "ended" if kept.pid is None else "running", kept.exit, kept.how)

    # --- what the page asks for ---------------------------------------------------------------------------------

    def start_again(self, _name: str) -> Answer:
        """See `Orders`."""
        return Answer(False, REJOIN)

    def add(self, _name: str) -> Answer:
        """See `Orders`."""
        return Answer(False, f"An MPI world has as many ranks as it began with. {REJOIN}")

    async def retire(self, _name: str) -> Answer:
        """See `Orders`."""
        return Answer(False, "The process of a rank ends with its world; a node that was removed harms nobody.")

    # --- inside -------------------------------------------------------------------------------------------------

    async def _start(self, command: Sequence[str]) -> asyncio.subprocess.Process:
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=self._environ, start_new_session=True, preexec_fn=lifeline.before_exec(os.getpid())
            )
        except OSError as error:
            raise SupervisorError(f"{command[0]} cannot be started: {error.strerror}.") from None
        self._processes.append(process)
        return process

    async def _registry_answers(self, registry: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> bool:
        """False: it was asked to end before."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + REGISTRY_WAIT_S_MAX
        while await self._listed(session) is None:
            if self._stop.is_set():
                return False
            if registry.returncode is not None or loop.time() > until_s:
                raise SupervisorError(
                    f"The registry does not answer at {self._plan.registry_url}: choose another --discovery-port."
                )
            await asyncio.sleep(LOOK_S / 10)
        return True

    async def _watch(
        self,
        world: asyncio.subprocess.Process,
        registry: asyncio.subprocess.Process,
        session: aiohttp.ClientSession,
    ) -> int:
        while not self._stop.is_set():
            if world.returncode is not None:
                self._say(f"mpiexec ended with exit code {world.returncode}.")
                return 1
            if registry.returncode is not None and not self._registry_ended:
                self._registry_ended = True
                self._say("The registry ended; the ranks go on, and nobody is told who leads.")
            self._tell_ends()
            self._tell_leader(await self._listed(session) or ())
            if len(self._told) == len(self._plan.entries):
                self._say("No rank is left.")
                return 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_S)
        return 0

    def _tell_ends(self) -> None:
        for entry in self._plan.entries:
            process = self.process(entry.name)
            if process.state == "ended" and process.exit is not None and entry.name not in self._told:
                self._told[entry.name] = process.how
                self._say(f"{entry.name} {process.how}; the others go on, and it cannot come back into this world")

    def _tell_leader(self, listed: Sequence[Listed]) -> None:
        leading = [each.registration for each in listed if each.registration.role == "leader"]
        newest = max(leading, key=lambda each: each.term, default=None)
        if newest is not None and newest.term > self._leader[1]:
            self._leader = newest.name, newest.term
            self._say(f"{newest.name} leads in term {newest.term}")

    async def _listed(self, session: aiohttp.ClientSession) -> tuple[Listed, ...] | None:
        """What the registry lists; None where it does not answer."""
        try:
            async with asyncio.timeout(LOOK_S), session.get(f"{self._plan.registry_url}/nodes") as answer:
                body = await read_bounded(answer, LISTED_BYTES_MAX)
            return msgspec.json.decode(body, type=_All).nodes
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, msgspec.MsgspecError, RecursionError):
            return None

    async def _end_all(self) -> None:
        """All keepers are asked first, so that nodes hand over and say goodbye, and mpiexec has nothing left to do."""
        world = self._processes[1:]
        for entry in self._plan.entries if world else ():
            kept = read_kept(Path(entry.data_dir))
            if kept is not None and kept.keeper is not None:
                with suppress(ProcessLookupError):
                    os.kill(kept.keeper, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(END_WAIT_S_MIN, self._plan.leave_seconds_max + 1.0)):
                await asyncio.gather(*(process.wait() for process in world))
        for process in reversed(self._processes):
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), END_WAIT_S_MIN)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def _refuse_used_port(url: str) -> None:
    """Whoever listens there already would be taken for this world's registry, with the ranks of another one in it."""
    port = int(url.rpartition(":")[2])
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise SupervisorError(
            f"Port {port} of {HOST}, where the registry would listen, {why}: choose another --discovery-port."
        ) from None


def _clear(entries: Sequence[NodeEntry]) -> None:
    """Of what the keepers of a world before wrote. Raises SupervisorError where they still run, or where this cannot be
    used as a folder."""
    for entry in entries:
        folder = Path(entry.data_dir)
        try:
            if folder.exists():
                Lock(folder / LOCK_FILE).release()
                (folder / PROCESS_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise SupervisorError(
                f"The folder {folder} cannot be used: {error.strerror}; name another --data-dir."
            ) from None
