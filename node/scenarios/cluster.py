"""What a scenario asks of the nodes, over HTTP alone, and everything they have told of themselves since the start.

Why it exists: scenarios read as stories because how to ask is here. Every wait is bounded. It must not judge.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from node.observe.events import TraceEvent
from node.scenarios.nodes import Nodes
from node.scenarios.outcome import Timing, ToolFailure
from node.supervisor.watch import UNREACHABLE, follow_events, new_session, read_bounded

POLL_SECONDS = 0.02
LOOK_SECONDS = 2.0
"""A node that does not answer a look within this is taken as not answering."""
ANSWER_SECONDS = 20.0
"""Of writes, reads and commands: beyond the nodes' own time limits, which give a better answer than silence."""
ANSWER_BYTES_MAX = 4 * 1024 * 1024
EVENTS_MAX = 100_000
"""Of all nodes in one scenario; a scenario has hundreds."""

T = TypeVar("T")


class Peer(msgspec.Struct, frozen=True):
    """When a node last heard this peer, in milliseconds; None: never. `match_index`: on a leader."""

    name: str
    last_contact_ms: float | None
    match_index: int | None = None


class Fault(msgspec.Struct, frozen=True):
    """An active fault, as its node shows it."""

    kind: str
    peer: str
    direction: str


class View(msgspec.Struct, frozen=True):
    """The part of `/status` that scenarios look at."""

    name: str
    role: str
    term: int
    vote: str
    leader: str
    commit: int
    applied: int
    last_index: int
    election_timeout_ms: float
    election_due_in_ms: float | None
    peers: tuple[Peer, ...]
    faults: tuple[Fault, ...]


class Entry(msgspec.Struct, frozen=True):
    """One line of `/log`: equal checksums, equal entries."""

    index: int
    term: int
    kind: str
    checksum: str
    summary: str = ""


class Answer(msgspec.Struct, frozen=True):
    """Of a write or a read. `status` is HTTP's; `text` the value, or the reason."""

    status: int
    text: str


class _LogBody(msgspec.Struct):
    entries: tuple[Entry, ...]


class _Said(msgspec.Struct):
    message: str = ""


class _Registered(msgspec.Struct):
    name: str
    role: str


class _Listed(msgspec.Struct):
    registration: _Registered


class _Registry(msgspec.Struct):
    nodes: tuple[_Listed, ...]


class Cluster:
    """Use `watching`. `events` are those of all nodes, in order within a node, kept when it dies."""

    def __init__(self, nodes: Nodes, timing: Timing, http: aiohttp.ClientSession) -> None:
        self.nodes, self.timing = nodes, timing
        self.events: list[TraceEvent] = []
        self._http = http

    async def follow(self, name: str) -> None:
        """Collect what this node tells, for ever."""
        async for event in follow_events(self._http, self.nodes.urls[name]):
            if len(self.events) < EVENTS_MAX:
                self.events.append(event)

    def told(self, kind: str, term: int | None = None, node: str | None = None) -> list[TraceEvent]:
        """What was told of that kind, of that term, by that node."""
        return [
            e for e in self.events if e.kind == kind and term in (None, e.term) and node in (None, e.node)
        ]  # fmt: skip

    async def view(self, name: str) -> View | None:
        """`/status`, None where the node does not answer."""
        try:
            answer = await self._ask("GET", name, "/status", seconds=LOOK_SECONDS)
            return msgspec.json.decode(answer.text, type=View) if answer.status == 200 else None
        except (*UNREACHABLE, ValueError):
            return None

    async def views(self, names: Iterable[str] | None = None) -> dict[str, View]:
        """Of those that answer; by default of all that run."""
        asked = tuple(self.nodes.running if names is None else names)
        found = await asyncio.gather(*(self.view(name) for name in asked))
        return {name: view for name, view in zip(asked, found, strict=True) if view is not None}

    async def log(self, name: str) -> dict[int, Entry]:
        """The node's own log, uncommitted entries included, by index (the first thousand)."""
        answer = await self._must("GET", name, "/log?limit=1000")
        return {entry.index: entry for entry in msgspec.json.decode(answer.text, type=_LogBody).entries}

    async def logs(self, names: Iterable[str]) -> dict[str, dict[int, Entry]]:
        """Of each."""
        asked = tuple(names)
        return dict(zip(asked, await asyncio.gather(*(self.log(name) for name in asked)), strict=True))

    async def put(self, name: str, key: str, value: str, timeout_ms: int = 5000) -> Answer:
        """Write through that node; sent once, never repeated."""
        return await self._said("PUT", name, f"/kv/{quote(key, safe='')}?timeout_ms={timeout_ms}", value.encode())

    async def get(self, name: str, key: str, stale: bool = False, timeout_ms: int = 5000) -> Answer:
        """Read through that node: linearizable, or what it happens to know."""
        how = "&consistency=stale" if stale else ""
        return await self._said("GET", name, f"/kv/{quote(key, safe='')}?timeout_ms={timeout_ms}{how}")

    async def command(self, name: str, command: str, **arguments: str | float) -> str:
        """Tell the node to do something; its sentence. Raises ToolFailure where it refuses."""
        answer = await self._must("POST", name, f"/commands/{command}", msgspec.json.encode(arguments))
        return msgspec.json.decode(answer.text, type=_Said).message

    async def registered(self) -> dict[str, str]:
        """Whom the registry lists, and the role that each says it has; nobody where it does not answer."""
        timeout = aiohttp.ClientTimeout(total=LOOK_SECONDS)
        try:
            async with self._http.get(f"{self.nodes.registry_url}/nodes", timeout=timeout) as answer:
                listed = msgspec.json.decode(await read_bounded(answer, ANSWER_BYTES_MAX), type=_Registry).nodes
        except (*UNREACHABLE, ValueError):
            return {}
        return {each.registration.name: each.registration.role for each in listed}

    async def until(self, look: Callable[[], Awaitable[T | None]], seconds: float | None = None) -> T | None:
        """The first thing that `look` finds; None after so long (`timing.wait_s`). Raises where a process died."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (self.timing.wait_s if seconds is None else seconds)
        while True:
            self.nodes.check()
            found = await look()
            if found is not None or loop.time() > end:
                return found
            await asyncio.sleep(POLL_SECONDS)

    async def _said(self, method: str, name: str, path: str, body: bytes | None = None) -> Answer:
        try:
            answer = await self._ask(method, name, path, body)
        except (*UNREACHABLE, ValueError) as error:
            return Answer(0, f"no answer ({type(error).__name__})")
        if answer.status < 400:
            return answer
        try:
            return Answer(answer.status, msgspec.json.decode(answer.text, type=_Said).message)
        except (msgspec.MsgspecError, RecursionError):
            return answer

    async def _must(self, method: str, name: str, path: str, body: bytes | None = None) -> Answer:
        answer = await self._said(method, name, path, body)
        if answer.status != 200:
            raise ToolFailure(f"{name} answered {method} {path} with {answer.status}: {answer.text}")
        return answer

    async def _ask(
        self, method: str, name: str, path: str, body: bytes | None = None, seconds: float = ANSWER_SECONDS
    ) -> Answer:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self._http.request(method, f"{self.nodes.urls[name]}{path}", data=body, timeout=timeout) as answer:
            return Answer(answer.status, (await read_bounded(answer, ANSWER_BYTES_MAX)).decode(errors="replace"))


@asynccontextmanager
async def watching(nodes: Nodes, timing: Timing) -> AsyncIterator[Cluster]:
    """A cluster whose events are followed until the end."""
    async with new_session() as http:
        cluster = Cluster(nodes, timing, http)
        tasks = [asyncio.create_task(cluster.follow(name), name=f"follow {name}") for name in nodes.names]
        try:
            yield cluster
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports close in the loop's next turn
