"""A lab of etcd: some processes of it on this machine, started, watched, started again and ended.

Why it exists: the checks are tried on nodes that others wrote, by one command. It must not break anything by itself.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web

from chaos.errors import ChaosError, Refused
from chaos.lab.control import links_app, supervisor_app
from chaos.lab.links import Links
from chaos.lab.room import room
from chaos.observe.nodeapi import UNREACHABLE, get_bytes, new_session
from chaos.systems.etcdhistory import ask
from chaos.targets import clusterfile
from chaos.targets.clusterfile import CLUSTER_FILE, LAB_FORMAT, VERSION, ClusterFile, NodeEntry

NODES_MAX = 9
PEER_PORT_OFFSET, LINK_PORT_OFFSET, CONTROL_PORT_OFFSET = 20, 40, 60
"""From the base port: where nodes listen for peers, where the links to them begin, where links are cut."""
READY_SECONDS_MAX = 60.0
READY_POLL_SECONDS = 0.1
ANSWER_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
END_SECONDS = 1.0
"""A leader that is asked to end looks for another one for seconds, and all of them end here: they survive a kill."""


class EtcdLab:
    """`running` it, all nodes answer. Clients find n1 at `base_port`, n2 at the next one."""

    def __init__(self, program: str, data_dir: Path, nodes: int, base_port: int) -> None:
        self._program, self.data_dir, self._base_port = program, data_dir.absolute(), base_port
        self._numbers = {f"n{number}": number - 1 for number in range(1, nodes + 1)}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._names: dict[str, str] = {}
        """Of nodes, by their numbers as members, in hexadecimal."""
        self._control = ""
        self.ready = self._ending = False
        self._starting = asyncio.Lock()
        self.links = Links({node: self._port(node, PEER_PORT_OFFSET) for node in self._numbers}, self._names)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    def url(self, node: str) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._port(node)}"

    @contextlib.asynccontextmanager
    async def running(self, say: Callable[[str], None]) -> AsyncIterator[None]:
        """From the first process until the last. Raises Refused where a port or the folder is taken, ChaosError where
        the nodes do not come up."""
        self._refuse_taken()
        runners: list[web.AppRunner] = []
        with room() as folder:
            self._control = str(folder / "control.sock")
            try:
                await self._listen(runners)
                for node in self.nodes:
                    await self.start(node)
                say(f"{len(self.nodes)} processes of {self._program} run; waiting until they have a leader")
                await self._until_ready()
                self.ready = True
                yield
            finally:
                await self._end(runners)

    async def start(self, node: str) -> str:
        """Start it with what it had; empty, or why not. One at a time: two may ask for the same node."""
        async with self._starting:
            return await self._start(node)

    async def _start(self, node: str) -> str:
        if self._ending or self._pid(node) is not None:
            return f"{node} runs already" if not self._ending else "the lab ends"
        with self._log(node).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command(node),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_the_lab(),
            )
        self._processes[node] = process
        self._write("running")
        watcher = asyncio.create_task(self._watch(process), name=f"watch {node}")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return ""

    async def answers(self, node: str) -> bool:
        """Whether it does, with or without a leader."""
        async with new_session() as session:
            return await _is_there(session, f"{self.url(node)}/livez")

    def _command(self, node: str) -> list[str]:
        links = {name: f"http://127.0.0.1:{self._port(name, LINK_PORT_OFFSET)}" for name in self.nodes}
        flags = {
            "name": node,
            "data-dir": str(self.data_dir / node),
            "listen-client-urls": self.url(node),
            "advertise-client-urls": self.url(node),
            "listen-peer-urls": f"http://127.0.0.1:{self._port(node, PEER_PORT_OFFSET)}",
            "initial-advertise-peer-urls": links[node],
            "initial-cluster": ",".join(f"{name}={link}" for name, link in links.items()),
        }
        return [self._program, *(word for flag, value in flags.items() for word in (f"--{flag}", value))]

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if not self._ending:
            self._write("running")

    async def _listen(self, runners: list[web.AppRunner]) -> None:
        try:
            for node in self.nodes:
                await self.links.listen(node, self._port(node, LINK_PORT_OFFSET))
            for app in (supervisor_app(self), links_app(self)):
                runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.5))
                await runners[-1].setup()
            await web.UnixSite(runners[0], self._control).start()
            await web.TCPSite(runners[1], "127.0.0.1", self._base_port + CONTROL_PORT_OFFSET).start()
        except OSError as error:
            raise Refused(f"A port of the lab is taken ({error.strerror}): name another --base-port.") from None
        for port in (self._port(node, offset) for node in self.nodes for offset in (0, PEER_PORT_OFFSET)):
            if not _is_free(port):
                raise Refused(f"Port {port} of the lab is taken: name another --base-port.")

    async def _until_ready(self) -> None:
        waiting = list(self.nodes)
        async with new_session() as session:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_SECONDS_MAX):
                    while waiting:
                        for node, process in self._processes.items():
                            if process.returncode is not None:
                                raise ChaosError(f"{node} ended with {process.returncode}: see {self._log(node)}.")
                        if await _is_there(session, f"{self.url(waiting[0])}/readyz"):
                            told = await ask(session, self.url(waiting[0]), "maintenance/status", {})
                            self._names[f"{told.header.member_id:x}"] = waiting.pop(0)
                        else:
                            await asyncio.sleep(READY_POLL_SECONDS)
        if waiting:
            raise ChaosError(
                f"{waiting[0]} was not ready within {READY_SECONDS_MAX:.0f} s: see {self._log(waiting[0])}."
            )

    def _refuse_taken(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        found = clusterfile.read(self.data_dir)
        if found is None:
            return
        another = f"{self.data_dir} holds another cluster: name another --data-dir, or remove it."
        if found.format != LAB_FORMAT or [(n.name, n.url) for n in found.nodes] != [
            (n, self.url(n)) for n in self.nodes
        ]:
            raise Refused(another)
        alive = [entry.pid for entry in found.nodes if clusterfile.instance_of(entry)]
        if alive and found.state == "running":
            raise Refused(f"Process {alive[0]} of the lab in {self.data_dir} still runs: end it first.")

    async def _end(self, runners: list[web.AppRunner]) -> None:
        self._ending = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            living = [process for process in self._processes.values() if process.returncode is None]
            for process in living:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
            if living:
                await asyncio.wait([asyncio.create_task(process.wait()) for process in living], timeout=END_SECONDS)
        await asyncio.gather(*self._watchers, return_exceptions=True)
        if self._processes:
            self._write("stopped")
        for runner in runners:
            await runner.cleanup()
        await self.links.end()

    def _write(self, state: str) -> None:
        """`cluster.json`, whenever a process comes or goes."""
        control = f"http://127.0.0.1:{self._base_port + CONTROL_PORT_OFFSET}"
        nodes = tuple(
            NodeEntry(
                name=node,
                url=self.url(node),
                peer=f"127.0.0.1:{self._port(node, LINK_PORT_OFFSET)}",
                data_dir=str(self.data_dir / node),
                log_file=str(self._log(node)),
                pid=self._pid(node),
                links=f"{control}/nodes/{node}",
            )
            for node in self.nodes
        )
        running = state == "running"
        content = ClusterFile(
            format=LAB_FORMAT,
            version=VERSION,
            system="etcd",
            state="running" if running else "stopped",
            supervisor_pid=os.getpid() if running else None,
            control=self._control if running else None,
            nodes=nodes,
        )
        path = self.data_dir / CLUSTER_FILE
        temporary = path.with_name(f"{path.name}.new")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        temporary.replace(path)

    def _port(self, node: str, offset: int = 0) -> int:
        return self._base_port + offset + self._numbers[node]

    def _log(self, node: str) -> Path:
        return self.data_dir / f"{node}.log"

    def _pid(self, node: str) -> int | None:
        process = self._processes.get(node)
        return process.pid if process is not None and process.returncode is None else None


def find_program() -> str:
    """The etcd that ETCD names, else the one on PATH. Raises Refused."""
    program = os.environ.get("ETCD") or shutil.which("etcd")
    if program is None or not os.access(program, os.X_OK):
        raise Refused("There is no etcd to start: put etcd 3.5 or later on PATH, or name the program in ETCD.")
    return program


def _die_with_the_lab() -> Callable[[], None] | None:
    """What a child does first, so that it does not outlive a lab that was killed; Linux alone can. It runs between fork
    and exec, so all that it needs is there before."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def _is_there(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        return (await get_bytes(session, address, ANSWER_SECONDS))[0] == 200
    except UNREACHABLE:
        return False
