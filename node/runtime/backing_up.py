"""A copy of the whole state for whoever wants to keep one: a snapshot that is taken for it, and read from the disk.

Why it exists: the state must be copied while writes go on, and whoever reads it may be slow. What is held for a reader
is one file and nothing in memory, and there is one reader at a time. It must not know who reads.
"""

import asyncio
from collections.abc import Awaitable, Callable

from node.raft.types import SnapshotInfo
from node.runtime.ports import ReadFailed
from node.runtime.shell import Shell
from node.runtime.snapshot_ports import Snapshots

TAKING_SECONDS_MAX = 300.0
"""How long the snapshot may take. A million keys take some ten seconds; a disk may be slow, and one snapshot may have
begun before."""

READING_SECONDS_MAX = 30.0
"""How long the disk may take for one piece: the next backup waits for the end of this one."""

Barrier = Callable[[int | None], Awaitable[ReadFailed | None]]


class BackingUp:
    """Hands out one `Backup` at a time."""

    def __init__(self, shell: Shell, snapshots: Snapshots) -> None:
        self._shell = shell
        self._snapshots = snapshots
        self._busy = False

    async def begin(self, barrier: Barrier) -> "Backup | ReadFailed":
        """`barrier`: that of a linearizable read. None of it is waited for without a limit."""
        if self._busy:
            return ReadFailed("overloaded", "a backup of this node is being read already, and it gives one at a time")
        self._busy = True
        found: Backup | ReadFailed | None = None
        try:
            found = await barrier(None) or await self._taken()
            return found
        finally:
            if not isinstance(found, Backup):
                self._free()

    async def _taken(self) -> "Backup | ReadFailed":
        told: asyncio.Future[tuple[SnapshotInfo | None, str]] = asyncio.get_running_loop().create_future()

        def done(info: SnapshotInfo | None, problem: str) -> None:
            if not told.done():
                told.set_result((info, problem))

        forget = self._shell.want_snapshot(done)
        try:
            async with asyncio.timeout(TAKING_SECONDS_MAX):
                info, problem = await told
        except TimeoutError:
            return ReadFailed("timeout", f"no snapshot could be taken within {TAKING_SECONDS_MAX:.0f} s")
        finally:
            forget()
        if info is None:
            return ReadFailed("no-snapshot", problem)
        return Backup(info, self._snapshots, self._free)

    def _free(self) -> None:
        self._busy = False


class Backup:
    """Satisfies `node.runtime.ports.Backup`."""

    def __init__(self, info: SnapshotInfo, snapshots: Snapshots, closed: Callable[[], None]) -> None:
        self.info = info
        self._snapshots = snapshots
        self._let_go: Callable[[], None] | None = snapshots.hold(info)
        self._closed = closed

    async def read(self, offset: int, bytes_max: int) -> bytes:
        """See the port."""
        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def done(data: bytes) -> None:
            if not told.done():
                told.set_result(data)

        self._snapshots.read(self.info, offset, bytes_max, done)
        try:
            async with asyncio.timeout(READING_SECONDS_MAX):
                return await told
        except TimeoutError:
            return b""

    def close(self) -> None:
        """May be called twice."""
        if self._let_go is not None:
            self._let_go()
            self._let_go = None
            self._closed()
