"""The processes of one scenario: started, killed and started again on free ports of this machine, with real disks.

Why it exists: a scenario kills with SIGKILL and brings back what was killed, and whatever happens to it, no process
stays behind: each dies with this one. It must not know what the nodes say: see cluster.py.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from node.scenarios.outcome import Timing, ToolFailure
from node.scenarios.ports import free_row
from node.supervisor.child import Child, describe_end
from node.supervisor.layout import HOST, NodeEntry

END_SECONDS = 5.0
"""How long killed processes have to be gone."""
POLL_SECONDS = 0.01
DISK_SECONDS = 15.0
REGISTRY = "registry"


class Start(msgspec.Struct, frozen=True):
    """How nodes are started. `program` is `raft-node`, such as (python, -m, node.cli); `flags_of` gives the flags by
    which `serve` becomes that node of those; `environ` is what processes inherit."""

    program: tuple[str, ...]
    flags_of: Callable[[NodeEntry, tuple[NodeEntry, ...]], tuple[str, ...]]
    environ: Mapping[str, str]


class Disk(msgspec.Struct, frozen=True):
    """The part of `raft-node log verify --json` that scenarios tell of."""

    last_index: int
    damage: str


class Nodes:
    """`count` nodes n1, n2, ... in `folder`; nothing runs yet. `by_registry`: they know each other's names alone, and
    find each other by a registry, a process of its own called REGISTRY."""

    def __init__(self, folder: Path, count: int, timing: Timing, start: Start, *, by_registry: bool = False) -> None:
        names = tuple(f"n{number + 1}" for number in range(count))
        first = free_row(2 * count + 1)
        ports = range(first, first + 2 * count + 1)
        entries = tuple(_entry(folder, n, ports[2 * i], ports[2 * i + 1]) for i, n in enumerate(names))
        flags: tuple[str, ...] = (
            *("--heartbeat-ms", str(timing.heartbeat_ms), "--enable-faults"),
            *("--election-timeout-ms", f"{timing.election_low_ms}-{timing.election_high_ms}"),
        )
        # The same scenario everywhere: settings from outside would change what is predicted.
        clean = {key: value for key, value in start.environ.items() if not key.startswith("RAFT_")}
        self._program, self._environ = start.program, clean
        self.registry_url = ""
        if by_registry:
            self.registry_url = f"http://{HOST}:{ports[-1]}"
            flags += ("--seeds", ",".join(names), "--discover", f"registry:{self.registry_url}")  # the last one counts
        self._children = {
            entry.name: Child(entry, (*start.program, "serve", *start.flags_of(entry, entries), *flags), clean)
            for entry in entries
        }
        if by_registry:
            registry = _entry(folder, REGISTRY, ports[-1], ports[-1])
            self._children[REGISTRY] = Child(registry, (*start.program, "registry", "--port", str(ports[-1])), clean)
        self._wanted: set[str] = set()
        self.names = names
        self.urls = {entry.name: entry.url for entry in entries}

    @property
    def running(self) -> tuple[str, ...]:
        """Those nodes that were started and not killed."""
        return tuple(name for name in self.names if name in self._wanted)

    def start(self, *names: str) -> None:
        """Start processes; returns at once."""
        for name in names:
            self._children[name].start()
            self._wanted.add(name)

    async def kill(self, name: str) -> int:
        """SIGKILL, at once; returns the process id once it is gone."""
        pid = self._children[name].pid or 0
        self._wanted.discard(name)
        self._children[name].kill()
        await self._gone((name,))
        return pid

    async def end(self) -> None:
        """Kill all: their folders are thrown away."""
        self._wanted.clear()
        for child in self._children.values():
            child.kill()
        await self._gone(tuple(self._children))

    def check(self) -> None:
        """Raise ToolFailure where a process ended that nobody killed."""
        for name in tuple(self._wanted):
            code = self._children[name].poll()
            if code is not None:
                self._wanted.discard(name)
                raise ToolFailure(
                    f"{name} {describe_end(code)}, which no scenario asks for.", tuple(self._children[name].log_tail())
                )

    async def disk(self, name: str) -> Disk:
        """What lies on the disk of a node that does not run, as `raft-node log verify` finds it."""
        folder = self._children[name].entry.data_dir
        process = await asyncio.create_subprocess_exec(
            *self._program,
            *("log", "verify", folder, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        try:
            async with asyncio.timeout(DISK_SECONDS):
                out, error = await process.communicate()
            return msgspec.json.decode(out, type=Disk)
        except TimeoutError:
            raise ToolFailure(f"raft-node log verify {folder} took longer than {DISK_SECONDS:.0f} s.") from None
        except (msgspec.MsgspecError, RecursionError):
            raise ToolFailure(f"raft-node log verify failed: {error.decode(errors='replace').strip()}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _gone(self, names: tuple[str, ...]) -> None:
        try:
            async with asyncio.timeout(END_SECONDS):
                while any(self._still_there(name) for name in names):  # noqa: ASYNC110 - processes have no event here
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise ToolFailure(f"A killed process was not gone after {END_SECONDS:.0f} s.") from None

    def _still_there(self, name: str) -> bool:
        self._children[name].poll()
        return self._children[name].pid is not None


def _entry(folder: Path, name: str, port: int, peer_port: int) -> NodeEntry:
    home = folder / name
    return NodeEntry(
        name=name,
        url=f"http://{HOST}:{port}",
        peer=f"{HOST}:{peer_port}",
        data_dir=os.fspath(home / "data"),
        log_file=os.fspath(home / "node.log"),
    )
