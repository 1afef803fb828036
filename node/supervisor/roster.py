"""Which nodes this machine runs, and their processes: a list that grows and shrinks while the cluster runs.

Why it exists: supervisor, monitor and control all ask who is there, and must get the same answer after a node joined or
left. It must not decide who may, and not tell anybody.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from node.supervisor.child import Child, ProcessView
from node.supervisor.layout import NodeEntry


class Roster:
    """`make`: the process of a node, not started, given all nodes. In the order of their numbers."""

    def __init__(
        self, entries: tuple[NodeEntry, ...], make: Callable[[NodeEntry, tuple[NodeEntry, ...]], Child]
    ) -> None:
        self._make = make
        self._ended = asyncio.Event()
        self.entries = entries
        self.children = {entry.name: make(entry, entries) for entry in entries}

    def add(self, entry: NodeEntry) -> Child:
        """One more, whose process is still to be started."""
        self.entries = tuple(sorted((*self.entries, entry), key=lambda one: int(one.name[1:])))
        child = self.children[entry.name] = self._make(entry, self.entries)
        return child

    def renew(self, name: str) -> Child:
        """The process of a node that does not run, to be started again: its seeds are who is there now."""
        entry = next(entry for entry in self.entries if entry.name == name)
        child = self.children[name] = self._make(entry, self.entries)
        return child

    def drop(self, name: str) -> None:
        """One less; its process has ended."""
        self.entries = tuple(entry for entry in self.entries if entry.name != name)
        del self.children[name]

    def now(self) -> tuple[NodeEntry, ...]:
        """Who is there."""
        return self.entries

    def process_of(self, name: str) -> ProcessView:
        """What is known of that node's process; of one that left, that it ended."""
        child = self.children.get(name)
        return child.view if child is not None else ProcessView(None, "ended", how="was removed")

    def pids(self) -> dict[str, int | None]:
        """The process of each node, None where it ended."""
        return {name: child.pid for name, child in self.children.items()}

    def all_failed(self) -> bool:
        """Whether every process ended, and by itself: none by a signal."""
        return all((child.view.exit or 0) > 0 for child in self.children.values())

    @property
    def names(self) -> str:
        """For people."""
        return ", ".join(entry.name for entry in self.entries)

    def reap(self) -> list[tuple[str, int | None, int]]:
        """Who ended since this was asked last: name, process and return code. Call it at each SIGCHLD."""
        found = []
        for name, child in self.children.items():
            pid = child.pid
            code = child.poll()
            if code is not None:
                found.append((name, pid, code))
                self._ended.set()
        return found

    async def end(self, children: Sequence[Child], grace_s: float) -> None:
        """SIGTERM; SIGKILL after so long. Returns when every one of these processes is gone."""
        for child in children:
            child.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._gone(children)
        for child in children:
            child.kill()
        await self._gone(children)

    async def _gone(self, children: Sequence[Child]) -> None:
        while any(child.pid for child in children):
            self._ended.clear()
            await self._ended.wait()
