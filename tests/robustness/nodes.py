"""Real nodes that are killed, stopped and cut off; and the log of one of them, which is the truth.

Why it exists: what happened is read from the log of a node that never took a snapshot, so it has every entry; up to the
index that this node had applied all of it is committed. Nothing of watches, history or past revisions is asked for it.
The other nodes take snapshots often, and are restored from them. It must not know what clients do.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import aiohttp

from node.simulation.invariants.true_changes import TrueChanges
from node.storage.files import OsFiles
from node.storage.replay import Replay
from node.storage.scanning import scan
from tests.ports import PEER_PORT_OFFSET, free_base_port

KEEPER = "n1"
"""Takes no snapshot, and is never away for so long that it is sent one."""
NAMES = (KEEPER, "n2", "n3")
TAIL = 150
"""Entries that the others keep. The keeper is never so many behind; whoever was killed is, before it comes back."""
OFTEN = ("--snapshot-entries", "30", "--snapshot-tail", str(TAIL))
NEVER = ("--snapshot-entries", "1000000")
WAIT_SECONDS = 40.0
AWAY_SECONDS_MAX = 6.0
"""On a busy machine who was killed comes back before it is as far behind as that."""


class Nodes:
    """`program`: the module that is run as `raft-node`, for one with a planted bug."""

    def __init__(self, folder: Path, program: str) -> None:
        base = free_base_port(len(NAMES))
        self.ports = {name: base + at for at, name in enumerate(NAMES)}
        self._folder = folder
        self._program = program
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs = ExitStack()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name: str) -> None:
        seeds = ",".join(f"{name}=127.0.0.1:{port + PEER_PORT_OFFSET}" for name, port in self.ports.items())
        log = self._logs.enter_context((self._folder / f"{name}.log").open("ab"))
        command = [sys.executable, "-m", self._program, "serve", "--name", name, "--seeds", seeds, "--enable-faults"]
        command += ["--port", str(self.ports[name]), "--data-dir", str(self._folder / name)]
        command += ["--watch-progress-ms", "500", *(NEVER if name == KEEPER else OFTEN)]
        self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def signal(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    async def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        await _ended(self._processes[name])

    async def stop(self) -> None:
        """All of them end, as a node that is told to."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                await _ended(process)
            finally:
                process.kill()
                process.wait()
        self._logs.close()

    async def command(self, http: aiohttp.ClientSession, name: str, what: str, how: dict[str, object]) -> None:
        """Order it, whatever comes of it."""
        with suppress(aiohttp.ClientError, TimeoutError):
            timeout = aiohttp.ClientTimeout(1)
            async with http.post(f"{self.url(name)}/commands/{what}", json=how, timeout=timeout) as answer:
                await answer.read()

    async def applied(self, http: aiohttp.ClientSession, name: str) -> int:
        """The index that this node has applied; -1: it does not answer."""
        try:
            async with http.get(f"{self.url(name)}/status", timeout=aiohttp.ClientTimeout(1)) as answer:
                return int((await answer.json())["applied"])
        except (aiohttp.ClientError, TimeoutError, KeyError):
            return -1

    async def all_applied(self, http: aiohttp.ClientSession) -> int:
        """Wait until all have applied the same; the index."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found = {await self.applied(http, name) for name in NAMES}
                if len(found) == 1 and -1 not in found:
                    return found.pop()
                await asyncio.sleep(0.05)

    @property
    def restored(self) -> int:
        """How often a node was restored from a snapshot that it was sent."""
        return sum((self._folder / f"{name}.log").read_bytes().count(b'"snapshot-installed"') for name in NAMES)

    def truth(self, applied: int) -> TrueChanges:
        """What the keeper's log holds, up to that index. Call when it has ended."""
        replay = Replay()
        damage = [result.damage for result in scan(OsFiles(self._folder / KEEPER), replay) if result.damage]
        assert not damage, damage
        assert replay.entries[0].index == 1, "the keeper's log does not begin with the first entry"
        truth = TrueChanges()
        truth.follow(replay.entries[:applied])
        return truth


async def _ended(process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while process.poll() is None:  # noqa: ASYNC110 - it was not started as a child of this loop
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(folder: Path, program: str = "node.cli") -> AsyncIterator[Nodes]:
    """Nodes that have begun; whoever asks them waits."""
    nodes = Nodes(folder, program)
    try:
        for name in NAMES:
            nodes.start(name)
        yield nodes
    finally:
        await nodes.stop()


async def breaking(nodes: Nodes, http: aiohttp.ClientSession, chance: Random, until: float) -> dict[str, int]:
    """One fault after the other until that time of the loop; how often each struck."""
    loop = asyncio.get_running_loop()
    faults = {"kill": _kill, "stop": _stop, "cut": _cut, "stop the keeper": _stop_keeper}
    struck = dict.fromkeys(faults, 0)
    while loop.time() < until:
        for name in sorted(faults, key=lambda _: chance.random()):
            await faults[name](nodes, http, chance)
            struck[name] += 1
            await asyncio.sleep(0.3 + chance.random())
    return struck


async def _kill(nodes: Nodes, http: aiohttp.ClientSession, chance: Random) -> None:
    """Away until what it needs is in a snapshot only, for one of those leads which take any."""
    victim, other = chance.sample(NAMES[1:], 2)
    for name in NAMES:
        await nodes.command(http, name, "transfer_leadership", {"target": other})
    await nodes.kill(victim)
    behind = await nodes.applied(http, other) + TAIL + 50
    with suppress(TimeoutError):
        async with asyncio.timeout(AWAY_SECONDS_MAX):
            while await nodes.applied(http, other) < behind:  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.05)
    nodes.start(victim)
    await asyncio.sleep(1.5)


async def _stop(nodes: Nodes, _http: aiohttp.ClientSession, chance: Random) -> None:
    victim = chance.choice(NAMES[1:])
    nodes.signal(victim, signal.SIGSTOP)
    await asyncio.sleep(0.3 + chance.random() * 1.5)
    nodes.signal(victim, signal.SIGCONT)


async def _stop_keeper(nodes: Nodes, _http: aiohttp.ClientSession, chance: Random) -> None:
    """Shortly."""
    nodes.signal(KEEPER, signal.SIGSTOP)
    await asyncio.sleep(0.2 * chance.random())
    nodes.signal(KEEPER, signal.SIGCONT)


async def _cut(nodes: Nodes, http: aiohttp.ClientSession, chance: Random) -> None:
    """One of the others alone, for a second or two."""
    victim = chance.choice(NAMES[1:])
    for peer in NAMES:
        if peer != victim:
            how = {"peer": peer, "direction": "both", "seconds": 1 + chance.random()}
            await nodes.command(http, victim, "cut_link", how)
    await asyncio.sleep(2)
