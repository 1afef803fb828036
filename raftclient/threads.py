"""Leases, locks and elections for programs without asyncio: what blocking.py hands out.

Why it exists: each is held by the event loop of the client's own thread, and asked and waited for by others. It must
not know how a call is made: each is the call of the same name in leases.py, locks.py and elections.py.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Protocol, Self

from raftclient import elections, leases, locks
from raftclient.arguments import Text
from raftclient.elections import Leader

WaitFor = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
"""Make that call in the client's thread, and wait for what comes of it."""

Follow = Callable[[AsyncIterator[Any]], Iterator[Any]]
"""What such an iterator gives, one by one."""


class _Held(Protocol):
    @property
    def lost(self) -> asyncio.Event: ...
    @property
    def alive(self) -> bool: ...
    def check(self) -> None: ...


class _Holding:
    """`lost`: an event of `threading`, a new one each time that something is held."""

    def __init__(self, held: _Held, wait_for: WaitFor) -> None:
        self.lost = threading.Event()
        self._told = held
        self._wait_for = wait_for
        self._watching: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it is certainly held at this moment."""
        return self._told.alive

    def check(self) -> None:
        """Raises `LeaseLost` unless it is certainly held."""
        self._told.check()

    def _begun(self) -> None:
        """It is held from now on: tell of its loss. Called in the client's thread."""
        self.lost, loss = threading.Event(), self._told.lost
        self._watching = asyncio.create_task(_tell(loss, self.lost), name="tell of a loss")


async def _tell(loss: asyncio.Event, told: threading.Event) -> None:
    try:
        await loss.wait()
    finally:
        told.set()


class Lease(_Holding):
    """See `raftclient.Lease`; here `lost` is an event of `threading`."""

    def __init__(self, held: leases.Lease, wait_for: WaitFor) -> None:
        super().__init__(held, wait_for)
        self.held = held

    @property
    def id(self) -> int:
        """Its number."""
        return self.held.id

    @property
    def ttl_s(self) -> int:
        """How long it lives after the last keep-alive."""
        return self.held.ttl_s

    def __enter__(self) -> Self:
        self._wait_for(self._begin)
        return self

    def __exit__(self, *_error: object) -> None:
        """It is revoked where that can be done in time; else it ends by itself."""
        self._wait_for(lambda: self.held.__aexit__(None, None, None))

    async def _begin(self) -> None:
        await self.held.__aenter__()
        self._begun()


class Lock(_Holding):
    """See `raftclient.Lock`; here `lost` is an event of `threading`. Ctrl-C ends the wait and leaves the queue."""

    def __init__(self, held: locks.Lock, wait_for: WaitFor) -> None:
        super().__init__(held, wait_for)
        self._held = held

    @property
    def token(self) -> int:
        """The fencing token; 0 before it was held."""
        return self._held.token

    @property
    def revision(self) -> int:
        """As of which it was had; 0 before it was held. See `raftclient.Lock`."""
        return self._held.revision

    @property
    def key(self) -> bytes:
        """The key that stands for it; empty before it was asked for."""
        return self._held.key

    def __enter__(self) -> Self:
        self._wait_for(self._begin)
        return self

    def __exit__(self, *_error: object) -> None:
        """It is released at once where a node can be asked in time; else when its lease ends."""
        self._wait_for(lambda: self._held.__aexit__(None, None, None))

    async def _begin(self) -> None:
        await self._held.__aenter__()
        self._begun()


class Election(_Holding):
    """See `raftclient.Election`; here `lost` is an event of `threading`. Ctrl-C ends a campaign."""

    def __init__(self, held: elections.Election, wait_for: WaitFor, follow: Follow) -> None:
        super().__init__(held, wait_for)
        self._held = held
        self._follow = follow

    @property
    def token(self) -> int:
        """The fencing token: greater than that of everybody who led before; 0 before it campaigned."""
        return self._held.token

    @property
    def key(self) -> bytes:
        """The key that stands for this candidate; empty before it campaigned."""
        return self._held.key

    def campaign(self, value: Text, *, wait_s: float | None = None) -> None:
        """Wait until it leads; `value`: what it then says, such as its address."""

        async def leading() -> None:
            await self._held.campaign(value, wait_s=wait_s)
            self._begun()

        self._wait_for(leading)

    def proclaim(self, value: Text) -> int:
        """Say another value; the revision of that write."""
        revision: int = self._wait_for(lambda: self._held.proclaim(value))
        return revision

    def resign(self) -> None:
        """Lead no more, and stand no more."""
        self._wait_for(self._held.resign)

    def observe(self) -> Iterator[Leader]:
        """Who leads now, then each change. It waits for the next one; Ctrl-C, and leaving the loop, end it."""
        yield from self._follow(self._held.observe())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """It resigns, where it stands."""
        self.resign()
