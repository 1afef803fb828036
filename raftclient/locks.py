"""A lock of the cluster: one holder at a time, in the order in which they asked.

Why it exists: a lock that depends on time (and every one whose holder may die does) is held by somebody who was paused
past its end, too, as far as that one knows. So each holder is told when it may hold the lock no more, and has a token
that is greater than that of every holder before it: whatever must not be deceived compares tokens.
"""

import asyncio
from types import TracebackType
from typing import Self

from raftclient.turns import Place, Ways

TTL_SECONDS = 10
"""As `etcdctl lock`: who dies holds a lock for so long, and who is paused for longer loses it."""


class Lock:
    """`async with client.lock("deploy") as lock:` waits until no key of the queue `deploy/` is older than its own, and
    is released by the end of the block, by revoking the lease of that key. One object may be entered again, not twice
    at a time.

    `token`: the fencing token, the revision at which its key was created: greater than that of every earlier holder.
    `key`: its key, `NAME/LEASE` with the lease in hex. `lost` is set once it may be held no more, counted by this
    process's own clock from before it asked for the last keep-alive: wait for it, or ask `alive` before what must not
    be done without the lock, or call `check`, which raises `LeaseLost`. A process that is stopped finds out late: see
    `token`. Who deletes the key by hand breaks the lock without a word to its holder."""

    def __init__(self, ways: Ways, name: bytes, ttl_s: int, wait_s: float | None) -> None:
        self._ways, self._name, self._ttl_s, self._wait_s = ways, name, ttl_s, wait_s
        self._place = Place(ways, name, ttl_s)
        self._entered = False

    @property
    def token(self) -> int:
        """The fencing token; 0 before it was held."""
        return self._place.token

    @property
    def revision(self) -> int:
        """As of which it was had, which `etcdctl lock` calls ETCD_LOCK_REV: it grows with every holder, too, and is the
        token to take where some of them are etcdctl's; 0 before it was held."""
        return self._place.had_at

    @property
    def key(self) -> bytes:
        """The key that stands for it; empty before it was asked for."""
        return self._place.key

    @property
    def lost(self) -> asyncio.Event:
        """Set once it may be held no more, also after its release; a new one each time that it is entered."""
        return self._place.lease.lost

    @property
    def alive(self) -> bool:
        """Whether it is certainly held at this moment. Any thread may ask."""
        return self._place.lease.alive

    def check(self) -> None:
        """Raises `LeaseLost` unless it is certainly held."""
        self._place.lease.check()

    async def __aenter__(self) -> Self:
        """Raises `NotDone` where a request of it came to nothing within the client's `timeout_s`, `LeaseLost` where its
        lease was lost while it waited, TimeoutError after `wait_s`; then, and when it is cancelled, its key is gone."""
        if self._entered:
            raise RuntimeError("this lock is held or waited for already: make another by client.lock()")
        self._entered = True
        if self._place.key or self._place.lease.id:
            self._place = Place(self._ways, self._name, self._ttl_s)
        try:
            await self._place.take(b"", self._wait_s)
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """It is released at once where a node can be asked in time; else when its lease ends."""
        try:
            await self._place.leave()
        finally:
            self._entered = False
