"""A scripted node: a real store behind a NodeHandle that does at once what the test says."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from node.api.events import EventsApi
from node.api.quota import UNBOUNDED, Quota
from node.api.server import ApiRunner, build_app
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from node.raft.types import Base, Entry, EntryKind, SnapshotInfo
from node.runtime.ports import CommandOutcome, Done, LogLine, Outcome, PeerView, ReadFailed, Readiness, Status
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Write, encode_write
from node.watching.hub import WatchHub
from tests.observe.status import node_status


class ScriptedBackup:
    """A file in memory, of which nothing can be read from `broken_at` on."""

    def __init__(self, data: bytes) -> None:
        self.info = SnapshotInfo(Base(7, 1, 0, cluster_id="c" * 32), len(data), 1, 0)
        self.data = data
        self.broken_at = len(data)
        self.longest = 0
        self.closed = 0

    async def read(self, offset: int, bytes_max: int) -> bytes:
        await asyncio.sleep(0)
        self.longest = max(self.longest, bytes_max)
        return self.data[offset : min(offset + bytes_max, self.broken_at)]

    def close(self) -> None:
        self.closed += 1


class ScriptedNode:
    """Applies what is proposed, unless `outcome` says otherwise; remembers what it was asked."""

    def __init__(self) -> None:
        self.store = KeyValueStore()
        self.hub = WatchHub(self.store)
        self.outcome: Outcome | None = None
        self.read_failure: ReadFailed | None = None
        self.proposed: list[bytes] = []
        self.timeouts_us: list[int | None] = []
        self.sessions: list[tuple[int, int]] = []
        self.barriers = 0
        self.loop_age = 1000
        self.log_time = 0
        self.own_status = node_status()
        self.own_readiness = Readiness()
        self.error: Exception | None = None
        self.on_barrier: list[Write] = []
        self.before_writes: list[Write] = []
        """What comes before the next write, and was not known when that was proposed."""
        self.commanded: list[tuple[str, dict[str, object], str]] = []
        self.command_outcome: CommandOutcome | None = None
        self.backup_file: ScriptedBackup | ReadFailed = ScriptedBackup(b"state")

    async def propose(self, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0) -> Outcome:
        await asyncio.sleep(0)
        self.timeouts_us.append(timeout_us)
        self.sessions.append((session, sequence))
        if self.error is not None:
            raise self.error
        if self.outcome is not None:
            return self.outcome
        before, self.before_writes = self.before_writes, []
        self.do(*before)
        self.proposed.append(write)
        index = len(self.proposed)
        (result,) = self.store.apply([Entry(index, 1, EntryKind.WRITE, write, self.log_time, session, sequence)])
        self.hub.advance()
        return Done(result, index, 1)

    def do(self, *commands: Write) -> None:
        """Apply without a request."""
        self.store.apply([Entry(1, 1, EntryKind.WRITE, encode_write(c)) for c in commands])
        self.hub.advance()

    async def read_barrier(self, timeout_us: int | None) -> ReadFailed | None:
        await asyncio.sleep(0)
        self.timeouts_us.append(timeout_us)
        self.barriers += 1
        if self.error is not None:
            raise self.error
        self.do(*self.on_barrier)
        return self.read_failure

    async def backup(self) -> ScriptedBackup | ReadFailed:
        await asyncio.sleep(0)
        self.do(*self.on_barrier)
        return self.backup_file

    async def command(
        self, name: str, arguments: Mapping[str, object], timeout_us: int, node: str = ""
    ) -> CommandOutcome:
        await asyncio.sleep(0)
        self.timeouts_us.append(timeout_us)
        self.commanded.append((name, dict(arguments), node))
        return self.command_outcome or CommandOutcome(name, node or "n1", "ok", "done", {"a": 1})

    def status(self) -> Status:
        return self.own_status

    def views(self) -> tuple[PeerView, ...]:
        return (PeerView("n1", self.own_status, 0, True), PeerView("n2", None, None, None))

    def log(self, from_index: int, limit: int) -> Iterator[LogLine]:
        last = min(10, from_index + limit)
        return (LogLine(i, 1, "write", 64, f"{i:08x}") for i in range(from_index, last))

    def readiness(self) -> Readiness:
        return self.own_readiness

    def loop_age_us(self) -> int:
        return self.loop_age

    def log_time_us(self) -> int:
        return self.log_time


class Server:
    """A running API on loopback."""

    def __init__(self, node: ScriptedNode, trace: Trace, metrics: Metrics, events: EventsApi, port: int) -> None:
        self.node = node
        self.trace = trace
        self.metrics = metrics
        self.events = events
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    async def raw(self, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send these very bytes; (status, headers, body) of the answer, read to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].split(b"\r\n")
            headers = {name.lower(): value.strip() for name, value in (line.split(b":", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
            return int(first.split()[1]), headers, body
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def serving(
    events: EventsApi | None = None, trace: Trace | None = None, quota_bytes: int = UNBOUNDED
) -> AsyncIterator[Server]:
    """A scripted node behind the real application and server."""
    node = ScriptedNode()
    trace = trace or Trace("n1", "boot-1", lambda: 1)
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store)
    events = events or EventsApi(trace)
    quota = Quota(node.store, quota_bytes)
    app = build_app(
        node, node.store, trace, metrics, allowed_hosts=["raft.example"], events=events, quota=quota, hub=node.hub
    )
    runner = ApiRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Server(node, trace, metrics, events, runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of `server`; paths are relative."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session
