"""The monitor's view of all nodes: asked when somebody looks, remembered with its age, and what processes ended.

Why it exists: a node's `/cluster` shows what that node hears; the supervisor asks each node itself and is the parent
of its process. A node that does not answer is *unknown* with its last words, and only a process that ended is called
ended. It must not wait for a slow node longer than LOOK_WAIT_SECONDS, and nothing is asked while nobody looks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import aiohttp
import msgspec

from node.supervisor.child import ProcessView
from node.supervisor.layout import NodeEntry
from node.supervisor.watch import STATUS_BYTES_MAX, STATUS_TIMEOUT_SECONDS, UNREACHABLE, read_bounded

FRESH_SECONDS = 0.1
"""A node that answered so shortly ago is not asked again: many pages cost no more than one."""
LOOK_WAIT_SECONDS = 0.4
UNKNOWN_AFTER_SECONDS = 1.5
"""A node whose last answer is older is unknown, even if it has not failed to answer yet."""


class _Fault(msgspec.Struct, frozen=True):
    kind: str


class _Gist(msgspec.Struct, frozen=True):
    """What the monitor itself needs of `/status`."""

    name: str
    role: str
    term: int
    cluster_id: str = ""
    faults: tuple[_Fault, ...] = ()


_GIST = msgspec.json.Decoder(_Gist)


class _Seen:
    """The last words of one node, and whether it spoke when it was asked last."""

    def __init__(self) -> None:
        self.gist: _Gist | None = None
        self.words = b""
        self.at = 0.0
        self.pid: int | None = None
        self.answered = False


class Overview:
    """Asks every node for its `/status`. `entries`: who is there now; `process`: what is known of a node's process."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        entries: Callable[[], tuple[NodeEntry, ...]],
        process: Callable[[str], ProcessView],
    ) -> None:
        self._session, self._entries, self._process = session, entries, process
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def look(self) -> None:
        """Ask who was not asked just now; returns when all answered, or after LOOK_WAIT_SECONDS."""
        now = asyncio.get_running_loop().time()
        for entry in self._entries():
            seen, process = self._seen[entry.name], self._process(entry.name)
            fresh = seen.answered and seen.pid == process.pid and now - seen.at < FRESH_SECONDS
            if process.state == "running" and not fresh and entry.name not in self._asking:
                task = asyncio.create_task(self._ask(entry, process.pid), name=f"look at {entry.name}")
                self._asking[entry.name] = task
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=LOOK_WAIT_SECONDS)

    async def body(self) -> dict[str, object]:
        """What `/cluster` answers: as on a node, and of each node `url` and `process`."""
        await self.look()
        entries = self._entries()
        for gone in self._seen.keys() - {entry.name for entry in entries}:
            del self._seen[gone]
        gists = [seen.gist for seen in self._seen.values() if seen.gist]
        cluster_id = next((gist.cluster_id for gist in gists if gist.cluster_id), "")
        return {"node": "", "cluster_id": cluster_id, "nodes": [self._node(entry) for entry in entries]}

    def who_may_serve(self) -> list[NodeEntry]:
        """Nodes in the order in which a client's request should be tried: the leader first, who is unknown last."""

        def rank(entry: NodeEntry) -> tuple[int, int]:
            gist = self._seen[entry.name].gist
            if not self._reachable(entry.name) or gist is None:
                return (3, 0)
            if any(fault.kind in ("failure", "simulate_failure") for fault in gist.faults):
                return (2, 0)
            return (0, -gist.term) if gist.role == "leader" else (1, -gist.term)

        return sorted((e for e in self._entries() if self._process(e.name).state == "running"), key=rank)

    def _node(self, entry: NodeEntry) -> dict[str, object]:
        seen = self._seen[entry.name]
        age = asyncio.get_running_loop().time() - seen.at
        return {
            "name": entry.name,
            "url": entry.url,
            "state": "reachable" if self._reachable(entry.name) else "unknown",
            "age_ms": round(age * 1000, 3) if seen.gist else None,
            "status": msgspec.Raw(seen.words) if seen.gist else None,
            "process": self._process(entry.name),
        }

    def _reachable(self, name: str) -> bool:
        seen, process = self._seen[name], self._process(name)
        recent = asyncio.get_running_loop().time() - seen.at <= UNKNOWN_AFTER_SECONDS
        return process.state == "running" and seen.answered and seen.pid == process.pid and recent

    async def _ask(self, entry: NodeEntry, pid: int | None) -> None:
        seen = self._seen[entry.name]
        timeout = aiohttp.ClientTimeout(total=STATUS_TIMEOUT_SECONDS)
        try:
            async with self._session.get(f"{entry.url}/status", timeout=timeout, allow_redirects=False) as answer:
                words = await read_bounded(answer, STATUS_BYTES_MAX)
                gist = _GIST.decode(words) if answer.status == 200 else None
            if gist is None or gist.name != entry.name:
                raise ValueError("not that node")
        except (*UNREACHABLE, msgspec.MsgspecError, ValueError, RecursionError):
            seen.answered = False
        else:
            seen.gist, seen.words, seen.pid, seen.answered = gist, words, pid, True
            seen.at = asyncio.get_running_loop().time()
        finally:
            self._asking.pop(entry.name, None)
