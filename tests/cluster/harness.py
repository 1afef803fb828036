"""A real cluster for a test: `raft-node cluster`, its processes, and clients that remember what they were told.

Why it exists: every test here breaks real processes and then asks whether anything was lost. It must not know more
of the product than a user does: commands, `cluster.json`, HTTP.
"""

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import aiohttp

from node.cli import main
from tests.ports import free_base_port

WAIT_SECONDS = 40.0
POLL_SECONDS = 0.04
CALM = ("--heartbeat-ms", "50", "--election-timeout-ms", "1000-2000")
"""Leaders change only where a test makes them: with the timing of a laptop (175-350), one that has no time for 0.2 s is
elected around, as it should be."""
STARTED = "Ctrl-C ends all nodes"
"""What the supervisor says when every node is up and one leads."""


_ONE_PRINTS = threading.Lock()


async def raft_node(*words: str) -> tuple[int, str]:
    """Exit code of `raft-node ...`, and all that it printed. A thread of this process runs it: an interpreter for each
    would take longer to start than what is asked of it. As processes, commands run in test_commands.py and in
    tests/outputs."""

    def ran() -> tuple[int, str]:
        out = io.StringIO()
        with _ONE_PRINTS, redirect_stdout(out), redirect_stderr(out):
            return main(words), out.getvalue()

    with ThreadPoolExecutor(1, "raft-node") as thread:
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(thread, ran), WAIT_SECONDS)


def _command(folder: Path, base_port: int, nodes: int, *options: str, program: str = "node.cli") -> list[str]:
    """`raft-node cluster`, without the page of all nodes unless `options` say on which port. `program`: the module that
    is run as `raft-node`, for one with a planted bug."""
    if "--monitor-port" not in options:
        options = (*options, "--no-monitor")
    return [
        *(sys.executable, "-m", program, "cluster", "--nodes", str(nodes)),
        *("--base-port", str(base_port), "--data-dir", str(folder / "data"), *options),
    ]


class Cluster:
    """One running `raft-node cluster`. Use `running_cluster`, or `visiting` where one stands for several tests."""

    def __init__(self, folder: Path, base_port: int, http: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.http = http
        self._base_port = base_port
        self._supervisor: asyncio.subprocess.Process | None = None

    async def start(self, nodes: int, *options: str, program: str = "node.cli") -> None:
        """Start the supervisor (again), wait until every node is up and one leads."""
        with (self.folder / "supervisor.log").open("ab") as log:
            self._supervisor = await asyncio.create_subprocess_exec(
                *_command(self.folder, self._base_port, nodes, *options, program=program), stdout=log, stderr=log
            )
        await self.until(self._all_know_a_leader, "every node up and one leader")

    async def stop(self) -> None:
        """Ctrl-C, and wait for the end of every process."""
        if self._supervisor is not None and self._supervisor.returncode is None:
            self._supervisor.send_signal(signal.SIGINT)
        if self._supervisor is not None:
            await asyncio.wait_for(self._supervisor.wait(), WAIT_SECONDS)
            self._supervisor = None

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """By name: what `cluster.json` says."""
        described = json.loads((self.folder / "data" / "cluster.json").read_bytes())
        return {node["name"]: node for node in described["nodes"]}

    @property
    def monitor(self) -> str:
        """Where the page of all nodes is, with a slash at the end; empty where there is none."""
        described = json.loads((self.folder / "data" / "cluster.json").read_bytes())
        return str(described["monitor"] or "")

    def url(self, name: str) -> str:
        return str(self.nodes[name]["url"])

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one node's process."""
        os.kill(int(self.nodes[name]["pid"]), number)

    async def wipe(self, name: str) -> None:
        """Kill a node, delete its data and start it again: a lost disk. Waits until it answers."""
        self.signal(name, signal.SIGKILL)
        await self.gone(name)
        shutil.rmtree(self.nodes[name]["data_dir"])
        await self.start_node(name)

        async def answers() -> bool:
            return await self.status(name) is not None

        await self.until(answers, f"{name} answers")

    async def gone(self, name: str) -> None:
        """Wait until its process has ended, and the supervisor knows."""

        async def ended() -> bool:
            return not self.nodes[name]["pid"]

        await self.until(ended, f"{name} is gone")

    async def start_node(self, name: str) -> None:
        """`raft-node start NAME`, once what was told to end, or killed, has ended."""
        await self.gone(name)
        code, said = await raft_node("start", name, "--data-dir", str(self.folder / "data"))
        assert code == 0, f"{said}\n{(self.folder / 'supervisor.log').read_text()[-2000:]}"

    async def ready(self, name: str) -> bool:
        """Whether `/readyz` says so. Who knows a leader is not ready yet: it asks what was committed before."""
        try:
            timeout = aiohttp.ClientTimeout(total=1)
            async with self.http.get(f"{self.url(name)}/readyz", timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def until_ready(self, *names: str) -> None:
        """Wait until these (all) are ready."""
        for name in names or self.nodes:
            await self.until(lambda name=name: self.ready(name), f"{name} is ready")  # type: ignore[misc]

    async def status(self, name: str) -> dict[str, Any] | None:
        """`/status` of one node, None where it does not answer within a second."""
        try:
            timeout = aiohttp.ClientTimeout(total=1)
            async with self.http.get(f"{self.url(name)}/status", timeout=timeout) as answer:
                return dict(await answer.json())
        except (aiohttp.ClientError, TimeoutError, OSError, FileNotFoundError):
            return None

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """Of every node that answers."""
        names = list(self.nodes)
        found = await asyncio.gather(*(self.status(name) for name in names))
        return {name: status for name, status in zip(names, found, strict=True) if status is not None}

    async def leader(self, not_one_of: tuple[str, ...] = ()) -> str:
        """Wait for a leader of the highest term known, which is none of those; its name."""
        found: list[str] = []

        async def one_leads() -> bool:
            statuses = await self.statuses()
            top = max((status["term"] for status in statuses.values()), default=0)
            found[:] = [n for n, s in statuses.items() if s["role"] == "leader" and s["term"] == top]
            return len(found) == 1 and found[0] not in not_one_of

        await self.until(one_leads, f"a leader that is not {not_one_of}")
        return found[0]

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Poll until it holds; the failure says what was waited for and what there was instead."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not await holds():  # noqa: ASYNC110 - another process's state has no event to await
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            log = (self.folder / "supervisor.log").read_text()[-2000:]
            raise AssertionError(f"not within {WAIT_SECONDS} s: {what}\n{log}") from None

    async def all_applied(self) -> None:
        """Wait until every node has applied the same log."""

        async def equal() -> bool:
            statuses = (await self.statuses()).values()
            return len(statuses) == len(self.nodes) and len({s["applied"] for s in statuses}) == 1

        await self.until(equal, "every node applied the same")

    async def all_known(self) -> None:
        """Wait until every node answers and all know the same leader."""
        await self.until(self._all_know_a_leader, "every node up and one leader")

    async def all_there(self) -> None:
        """Have every node that ended started again; wait until all answer and know the same leader."""

        async def there() -> bool:
            for name, node in self.nodes.items():
                if not node["pid"]:
                    await self.start_node(name)
            return await self._all_know_a_leader()

        await self.until(there, "every node up again and one leader")

    async def _all_know_a_leader(self) -> bool:
        try:
            statuses = await self.statuses()
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        leaders = {status["leader"] for status in statuses.values()}
        return len(statuses) == len(self.nodes) and len(leaders) == 1 and leaders != {""}


@asynccontextmanager
async def running_cluster(
    folder: Path, nodes: int = 5, *options: str, program: str = "node.cli"
) -> AsyncIterator[Cluster]:
    """A cluster that is up, and is gone afterwards."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        cluster = Cluster(folder, free_base_port(nodes), http)
        try:
            await cluster.start(nodes, *options, program=program)
            yield cluster
        finally:
            for node in (cluster.nodes if (folder / "data" / "cluster.json").exists() else {}).values():
                if node["pid"]:  # a paused process cannot end; one that just ended may still stand there
                    with suppress(ProcessLookupError):
                        os.kill(int(node["pid"]), signal.SIGCONT)
            await cluster.stop()
    await asyncio.sleep(0)  # let the connector's transports close


@contextmanager
def standing_cluster(folder: Path, nodes: int, *options: str) -> Iterator[Path]:
    """A cluster for all tests of a module, which do it no harm; each of them goes there by `visiting(folder)`."""
    log = folder / "supervisor.log"
    with log.open("wb") as out:
        supervisor = subprocess.Popen(_command(folder, free_base_port(nodes), nodes, *options), stdout=out, stderr=out)
    try:
        end = time.monotonic() + WAIT_SECONDS
        while STARTED not in log.read_text():
            assert supervisor.poll() is None, log.read_text()
            assert time.monotonic() < end, f"not within {WAIT_SECONDS} s: every node up and one leader"
            time.sleep(POLL_SECONDS)
        yield folder
    finally:
        supervisor.send_signal(signal.SIGINT)
        try:
            supervisor.wait(WAIT_SECONDS)
        finally:
            supervisor.kill()


@asynccontextmanager
async def visiting(folder: Path) -> AsyncIterator[Cluster]:
    """The standing cluster, as one test sees it."""
    async with aiohttp.ClientSession() as http:
        yield Cluster(folder, 0, http)
    await asyncio.sleep(0)  # let the connector's transports close
