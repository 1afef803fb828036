"""Etcd's Lock service: who waits for a lock gets it in the order of the keys that stand for it.

Why it exists: clients without a library of their own (jetcd, curl) ask the server to wait for them. It must not know
how a call came.
"""

import msgspec

from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import Message
from node.api.etcd.turns import Turns

SESSION_EXPIRED = "mutex: session is expired"


class Locked(msgspec.Struct, frozen=True, gc=False):
    """`key`: it holds the lock while it is there. Its creation revision is a fencing token."""

    revision: int
    key: bytes


class Unlocked(msgspec.Struct, frozen=True, gc=False):
    """Done."""

    revision: int


class LockCalls:
    """See the module. Whoever is cancelled while it waits leaves the queue."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def lock(self, message: Message, message_bytes: int) -> Locked:
        """A LockRequest: returns when the lock is held. With the same lease again: at once."""
        name = message.get("name", b"")
        turn = await self._turns.begin(name, message.get("lease", 0), b"", message_bytes)
        if turn.first:
            return Locked(turn.revision, turn.key)
        await self._turns.wait(name, turn)
        try:
            now = await self._turns.key(turn.key)
        except BaseException:
            self._turns.leave(turn)  # whoever asked is told that it does not have it
            raise
        if not now.kvs:
            raise EtcdError(Code.UNKNOWN, SESSION_EXPIRED)
        return Locked(now.revision, turn.key)

    async def unlock(self, message: Message, message_bytes: int) -> Unlocked:
        """An UnlockRequest: of a key that is not there, too."""
        return Unlocked(await self._turns.delete(message.get("key", b""), message_bytes))
