"""Three nodes, each a process of either release, that are stopped and started one by one as a rollout does it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster.harness import WAIT_SECONDS, Cluster
from tests.ports import PEER_PORT_OFFSET, free_base_port
from tests.versions.previous import ROOT, previous_source

NAMES = ("n1", "n2", "n3")
FLAGS = (
    *("--snapshot-entries", "50", "--snapshot-tail", "10", "--leave-wait-ms", "200"),
    *("--election-timeout-ms", "1000-2000", "--log-level", "warning"),
)
"""Snapshots come often: logs and snapshots are read, and sent, from release to release."""


class Mixed(Cluster):
    """As a `Cluster` for load and waits. `new` and `old` are folders with the source of a release."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession) -> None:
        base = free_base_port(len(NAMES))
        super().__init__(folder, base, http)
        self.new, self.old = ROOT, previous_source()
        self.runs: dict[str, Path] = {}
        self._ports = {name: base + at for at, name in enumerate(NAMES)}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        (folder / "supervisor.log").touch()  # what a wait that fails shows

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        return {name: {"url": f"http://127.0.0.1:{port}"} for name, port in self._ports.items()}

    async def run(self, name: str, source: Path) -> None:
        """Start a node of that release."""
        seeds = ",".join(f"{name}=127.0.0.1:{port + PEER_PORT_OFFSET}" for name, port in self._ports.items())
        with (self.folder / "supervisor.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", seeds),
                *("--port", str(self._ports[name]), "--data-dir", str(self.folder / name), *FLAGS),
                env={**os.environ, "PYTHONPATH": str(source)},
                cwd=self.folder,
                stderr=log,
            )
        self.runs[name] = source

    async def end(self, name: str) -> int:
        """SIGTERM, as a rollout does it; the exit code."""
        process = self._processes[name]
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(process.wait(), WAIT_SECONDS)

    async def roll(self, name: str, source: Path) -> None:
        """Stop it, start it as that release, and wait until it is ready."""
        assert await self.end(name) == 0, "it leaves as it should"
        await self.run(name, source)

        async def ready() -> bool:
            try:
                async with self.http.get(f"{self.url(name)}/readyz", timeout=aiohttp.ClientTimeout(total=1)) as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False

        await self.until(ready, f"{name} is ready again, as {'new' if source is self.new else 'old'}")

    async def command(self, source: Path, *words: str) -> str:
        """What `raft-node` of that release prints; it must succeed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.cli", *words),
            env={**os.environ, "PYTHONPATH": str(source)},
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
        assert process.returncode == 0, said.decode()
        return said.decode()

    async def led_by(self, name: str) -> None:
        """Have that one lead."""

        async def leads() -> bool:
            leader = await self.leader()
            if leader != name:
                where = f"{self.url(leader)}/commands/transfer_leadership"
                async with self.http.post(where, json={"target": name}) as answer:
                    await answer.read()  # refused while it is under way: asked again
            return leader == name

        await self.until(leads, f"{name} leads")

    async def store(self, name: str, revision: int) -> list[Any]:
        """Every key with its value and revisions at `revision`, as that node reads it."""
        wanted = {"key": "AA==", "range_end": "AA==", "revision": str(revision)}
        async with self.http.post(f"{self.url(name)}/v3/kv/range", json=wanted) as answer:
            assert answer.status == 200, await answer.text()
            return list((await answer.json())["kvs"])


@asynccontextmanager
async def old_cluster(folder: Path) -> AsyncIterator[Mixed]:
    """Three nodes of the release before, one of which leads; all are gone afterwards."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        cluster = Mixed(folder, http)
        try:
            for name in NAMES:
                await cluster.run(name, cluster.old)
            await cluster.all_known()
            yield cluster
        finally:
            await asyncio.gather(*(cluster.end(name) for name in cluster.runs), return_exceptions=True)
    await asyncio.sleep(0)  # let the connector's transports close
