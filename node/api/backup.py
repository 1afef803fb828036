"""`GET /backup`: the whole state as one file, while the node goes on.

Why it exists: a cluster is copied without stopping it, from any node. The file is a snapshot as nodes keep them, under
checksums of its own, and holds every write that was acknowledged before it was asked for. The same is given to etcd's
clients piece by piece. It must not hold more of it in memory than a piece.
"""

from collections.abc import AsyncIterator

from aiohttp import web

from node.api.answers import try_again
from node.api.etcd.users import Users
from node.api.inputs import Query, target_of
from node.api.named import require_root_now
from node.api.streaming import Broken, answer_as_read
from node.runtime.ports import Backup, NodeHandle, ReadFailed

PIECE_BYTES = 256 * 1024
"""Of the file, read and sent at once."""

BACKUP_SECONDS_MAX = 3600.0
"""A client that has not taken all of it by then is cut off."""


class BackupApi:
    """The handler of `/backup`."""

    def __init__(self, handle: NodeHandle, users: Users) -> None:
        self._handle, self._users = handle, users

    def routes(self) -> list[web.RouteDef]:
        """For the router. No HEAD: it would take a snapshot for nothing."""
        return [web.get("/backup", self.backup, allow_head=False)]

    async def backup(self, request: web.Request) -> web.StreamResponse:
        """The file."""
        Query(target_of(request)[2], ())
        backup = await self._handle.backup()
        if isinstance(backup, ReadFailed):
            raise try_again(backup.code, backup.reason, backup.leader)
        try:
            await require_root_now(self._users)  # this node may have learned only now that there are users
            base = backup.info.base
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f'attachment; filename="raft-{base.cluster_id[:8]}-{base.index}.snap"',
                "Cache-Control": "no-store",
            }
            return await answer_as_read(
                request, pieces_of(backup, PIECE_BYTES), headers, BACKUP_SECONDS_MAX, backup.info.size_bytes
            )
        finally:
            backup.close()


async def pieces_of(backup: Backup, piece_bytes: int) -> AsyncIterator[bytes]:
    """The file from its beginning to its end; raises `Broken` where it cannot be read."""
    offset = 0
    while offset < backup.info.size_bytes:
        piece = await backup.read(offset, piece_bytes)
        if not piece:
            raise Broken
        offset += len(piece)
        yield piece
