"""The loop that keeps a local cluster: starts the nodes, tells what happens, starts one again or one more when asked,
ends all.

Why it exists: five real processes are only a pleasure when one command owns them. A node that dies is reported, never
silently restarted: whoever studies failures must see them. It must not know how lines are printed (`Teller`), and no
way out of `run` may leave a process behind.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiohttp
import msgspec

from node.supervisor import layout
from node.supervisor.child import Child, describe_end
from node.supervisor.chronicle import Chronicle
from node.supervisor.control import Answer, Control
from node.supervisor.doorway import Door
from node.supervisor.flags import flags_of
from node.supervisor.introduction import LEADER_WAIT_SECONDS, Introduction, NodeRow
from node.supervisor.joining import one_more
from node.supervisor.layout import ClusterFile, Lock, NodeEntry, SupervisorError
from node.supervisor.narrator import Line, Narrator
from node.supervisor.retiring import why_not_retire
from node.supervisor.roster import Roster
from node.supervisor.watch import follow_events, new_session

if TYPE_CHECKING:
    from node.supervisor.monitor import Monitor

STOP_GRACE_BESIDE_SECONDS = 1.0
"""Between the time that a node may take to leave after SIGTERM, and SIGKILL."""
HOUSEKEEPING_SECONDS = 5.0


class Teller(Protocol):
    """Who tells people, or programs. May raise OSError when nobody reads any more: the cluster then ends."""

    def say(self, line: Line) -> None: ...

    def table(self, rows: Sequence[NodeRow]) -> None: ...


class Supervisor:
    """Owns the nodes of one data folder from `run` to its return.

    `command` starts a node; the node's flags are appended: `--name n1 --seeds ... --data-dir ... --port ...`, then
    `node_flags`. `now_us` is the wall clock; `again` is the command that people type to start a node again.
    `door`: where the monitor is served; None: there is none. It is closed when `run` returns. `leave_seconds_max`:
    what a node may take to leave.
    """

    def __init__(
        self,
        data_dir: Path,
        entries: tuple[NodeEntry, ...],
        lock: Lock,
        command: tuple[str, ...],
        node_flags: tuple[str, ...],
        teller: Teller,
        environ: Mapping[str, str],
        now_us: Callable[[], int],
        again: str = "raft-node start",
        door: Door | None = None,
        *,
        leave_seconds_max: float,
    ) -> None:
        self._data_dir, self._lock, self._teller = data_dir, lock, teller
        self._now_us, self._again = now_us, again
        self._roster = Roster(entries, lambda e, all_: Child(e, (*command, *flags_of(e, all_), *node_flags), environ))
        self._children = self._roster.children
        self._retiring: set[str] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._stop_grace_s = leave_seconds_max + STOP_GRACE_BESIDE_SECONDS
        self._narrator = Narrator(len(entries))
        self._introduction = Introduction(
            entries, self._roster.pids, self._roster.all_failed, self._narrator.has_told_who_leads
        )
        self._chronicle = Chronicle(self._narrator, self._print)
        self._control = Control(self)
        self._control_path: str | None = None
        self._door = door
        self._monitor: Monitor | None = None
        self._stop_requested = asyncio.Event()
        self._stopping = False

    async def run(self) -> int:
        """Run until asked to end (returns 0), or until no node survived the start (returns 1)."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self.request_stop)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            return await self._run()
        finally:
            for child in self._children.values():  # only after an error is anything left here
                child.kill()
            for number in (*signals, signal.SIGCHLD):
                loop.remove_signal_handler(number)
            if self._door:
                self._door.close()
            self._lock.release()

    async def _run(self) -> int:
        code = 0
        tasks: list[asyncio.Task[None]] = []
        async with new_session() as session:
            self._session = session
            try:
                self._control_path = await self._control.open()
                for child in self._children.values():
                    child.start()
                self._write()
                await self._open_monitor()
                for entry in self._roster.entries:
                    self._follow(session, entry)
                tasks = [asyncio.create_task(self._keep_house(), name="housekeeping")]
                if await self._until_stop(self._introduce(session)):
                    await self._stop_requested.wait()
                elif not self._stop_requested.is_set():
                    code = 1
            finally:
                await asyncio.gather(self._end_all(), self._close_monitor())
                tasks += self._followers.values()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._chronicle.flush()
                await self._control.close()
                self._control_path = None
                self._write()
        return code

    async def _open_monitor(self) -> None:
        """After the nodes began: what it takes to load, they need to start. Until then, connections wait."""
        if self._door:
            from node.supervisor.monitor import Monitor

            monitor = Monitor(self._door, self._roster.now, self._roster.process_of, self)
            await monitor.open()
            self._monitor = monitor

    async def _close_monitor(self) -> None:
        if self._monitor:
            await self._monitor.close()

    async def _until_stop(self, work: Coroutine[None, None, bool]) -> bool:
        """The result of `work`, or False as soon as the end is requested."""
        task = asyncio.create_task(work, name="introduction")
        stop = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        for pending in (task, stop):
            if not pending.done():
                pending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pending
        return not task.cancelled() and task.result()

    # What happens to the cluster

    def request_stop(self) -> None:
        """End in good order; asked a second time, at once."""
        if self._stopping:
            for child in self._children.values():
                child.kill()
        self._stop_requested.set()

    def start_again(self, name: str) -> Answer:
        """Start a node that does not run."""
        child = self._children.get(name)
        if child is None:
            return Answer(False, f"There is no node {name}: the nodes are {self._roster.names}.")
        self._reap()  # whoever kills a node and starts it again at once comes before the signal of its end
        if self._stop_requested.is_set():
            return Answer(False, "The cluster is being stopped.")
        if name in self._retiring:
            return Answer(False, f"{name} was removed from the cluster, and is being ended.")
        if child.pid is not None:
            return Answer(False, f"{name} is already running as process {child.pid}.", child.pid)
        try:
            pid = self._roster.renew(name).start()
        except (SupervisorError, OSError) as error:
            return Answer(False, str(error))
        self._write()
        self._say("started", name, f"{name} was started again as process {pid}")
        return Answer(True, f"{name} was started as process {pid}.", pid)

    def add(self, name: str) -> Answer:
        """Start one more node, which asks to be let in; `name` empty: the first that is free."""
        if self._stop_requested.is_set() or self._session is None:
            return Answer(False, "The cluster is being stopped.")
        try:
            entry = one_more(self._data_dir, self._roster.entries, name)
            child = self._roster.add(entry)
            try:
                pid = child.start()
            except (SupervisorError, OSError):
                self._roster.drop(entry.name)
                raise
        except (SupervisorError, OSError) as error:
            return Answer(False, str(error))
        self._follow(self._session, entry)
        self._write()
        self._say("started", entry.name, f"{entry.name} was started as process {pid}, to be let in")
        return Answer(True, f"{entry.name} was started as process {pid} at {entry.url}.", pid, entry.name)

    async def retire(self, name: str) -> Answer:
        """End a node that is no member any more, for good. Its folder stays."""
        if self._session is None or self._stop_requested.is_set():
            return Answer(False, "The cluster is being stopped.")
        why_not = await why_not_retire(self._session, self._roster.now, name) if name in self._children else ""
        if name not in self._children or name in self._retiring:  # asked for twice: the other was first
            return Answer(False, f"There is no node {name}: the nodes are {self._roster.names}.")
        if why_not:
            return Answer(False, why_not)
        child, home = self._children[name], self._data_dir / name
        pid = child.pid
        self._retiring.add(name)
        try:
            await self._roster.end([child], self._stop_grace_s)
        finally:
            self._retiring.discard(name)
        self._followers.pop(name).cancel()
        self._roster.drop(name)
        self._write()
        self._say("ended", name, f"{name} was removed from the cluster, and its process has ended")
        ended = f"Process {pid} of {name} has ended" if pid else f"{name} did not run"
        return Answer(True, f"{ended}; its folder {home} stays, should it come back.", None, name)

    def cluster_file(self) -> ClusterFile:
        """What `cluster.json` says now."""
        running = self._control_path is not None
        return ClusterFile(
            state="running" if running else "stopped",
            supervisor_pid=os.getpid() if running else None,
            control=self._control_path,
            monitor=self._door.url if running and self._door else None,
            nodes=tuple(msgspec.structs.replace(e, pid=self._children[e.name].pid) for e in self._roster.entries),
        )

    def _write(self) -> None:
        try:
            layout.write(self._data_dir, self.cluster_file())
        except OSError as error:
            self._say("trouble", "", f"cluster.json cannot be written: {error.strerror}")

    def _say(self, kind: str, node: str, text: str, extra: Sequence[str] = ()) -> None:
        self._chronicle.add(Line(self._now_us(), kind, node, text, extra=tuple(extra)))

    def _print(self, line: Line) -> None:
        try:
            self._teller.say(line)
        except OSError:
            self._stop_requested.set()  # nobody reads any more: a cluster that nobody sees should not go on

    def _reap(self) -> None:
        """A child changed its state (SIGCHLD): report each that ended."""
        for name, pid, code in self._roster.reap():
            if not self._stopping and name not in self._retiring:
                text = f"{name} (process {pid}) {describe_end(code)}; start it again with: {self._again} {name}"
                self._say("died", name, text, self._children[name].log_tail())
                self._write()

    def _follow(self, session: aiohttp.ClientSession, entry: NodeEntry) -> None:
        async def follow() -> None:
            async for event in follow_events(session, entry.url):
                if not self._stopping:
                    self._chronicle.add(event)

        self._followers[entry.name] = asyncio.create_task(follow(), name=f"follow {entry.name}")

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            for child in self._children.values():
                child.bound_log()

    async def _introduce(self, session: aiohttp.ClientSession) -> bool:
        """Print the table once a leader is known, or what is missing; False where every node died before that."""
        seen = await self._introduction.look(session)
        if seen is None:
            self._say("trouble", "", "no node survived its start, so the cluster ends")
            return False
        if not seen.leader:
            self._say("trouble", "", f"no leader for {LEADER_WAIT_SECONDS:.0f} s: {seen.missing}")
        self._chronicle.flush()
        try:
            self._teller.table(seen.rows)
        except OSError:
            self._stop_requested.set()
        if seen.leader and seen.missing:
            self._say("trouble", "", f"not everybody follows {seen.leader}: {seen.missing}")
        return True

    async def _end_all(self) -> None:
        """SIGTERM to all; SIGKILL after a grace, or when asked again. Returns when every process is gone."""
        self._stopping = True
        self._reap()
        await self._roster.end(list(self._children.values()), self._stop_grace_s)
