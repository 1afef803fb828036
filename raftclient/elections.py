"""An election of the cluster: one of those who campaign leads, and everybody may hear who and with what to say.

Why it exists: services with one active member want to know who that is, and its address. It is a lock whose key has a
value, so what is true of a lock's holder, its losses and its token is true of who leads here. It must not be confused
with the election of the cluster's own leader.
"""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

from raftclient.arguments import Text, text_of, wait_of
from raftclient.turns import Place, Ways, first_of


class Leader(NamedTuple):
    """Who leads: `value` is what it proclaims, `token` the revision at which it began (its key was created), `revision`
    that of its last word, `key` the one that stands for it."""

    key: bytes
    value: bytes
    token: int
    revision: int


class Election:
    """`election = client.election("chief")`, then `campaign`, `proclaim`, `resign`, `observe`. As `async with` it
    resigns at the end. One object is one candidate; it may campaign again after it resigned or lost.

    `token`, `key`, `lost`, `alive` and `check` are those of a lock (see `Lock`), of the last campaign."""

    def __init__(self, ways: Ways, name: bytes, ttl_s: int) -> None:
        self._ways, self._name, self._ttl_s = ways, name, ttl_s
        self._place = Place(ways, name, ttl_s)
        self._stands = False

    @property
    def token(self) -> int:
        """The fencing token: greater than that of everybody who led before; 0 before it campaigned."""
        return self._place.token

    @property
    def key(self) -> bytes:
        """The key that stands for this candidate; empty before it campaigned."""
        return self._place.key

    @property
    def lost(self) -> asyncio.Event:
        """Set once it may lead no more, also after it resigned; a new one for each campaign."""
        return self._place.lease.lost

    @property
    def alive(self) -> bool:
        """Whether it certainly is a candidate at this moment, or leads where `campaign` has returned."""
        return self._place.lease.alive

    def check(self) -> None:
        """Raises `LeaseLost` unless it certainly leads, once `campaign` has returned."""
        self._place.lease.check()

    async def campaign(self, value: Text, *, wait_s: float | None = None) -> None:
        """Wait until it leads; `value`: what it then says, such as its address (bytes, or a str for its UTF-8).

        The wait has no end of its own, but for `wait_s` (seconds in which others lead: TimeoutError) and cancellation.
        Raises `NotDone` where a request came to nothing within the client's `timeout_s`, and `LeaseLost` where its
        lease was lost while it waited. Whenever it fails, it stands no more."""
        given, patience = text_of("value", value), wait_of(wait_s)
        if self._stands and not self._place.lease.lost.is_set():
            raise RuntimeError("it campaigns or leads already: proclaim() another value, or resign() first")
        await self._place.leave()
        self._place, self._stands = Place(self._ways, self._name, self._ttl_s), True
        try:
            await self._place.take(given, patience)
        except BaseException:
            self._stands = False
            raise

    async def proclaim(self, value: Text) -> int:
        """Say another value; the revision of that write, which is done once. Raises `LeaseLost` where it leads no more,
        `NotDone`, and `OutcomeUnknown` where no node answered within the client's `timeout_s`: it may be said yet."""
        return await self._place.set(text_of("value", value))

    async def resign(self) -> None:
        """Lead no more, and stand no more: at once where a node can be asked in time, else when the lease ends."""
        await self._place.leave()
        self._stands = False

    async def observe(self) -> AsyncIterator[Leader]:
        """Who leads now, then each change: the newest word of who leads, not each word between. While nobody leads it
        says nothing. It goes on at another node where one fails; raises `NotDone` where none could be asked for the
        client's `timeout_s`."""
        told = (0, 0)
        while True:
            first, revision = await first_of(self._ways, self._name)
            if first is None:
                await self._ways.news(self._name + b"/", revision + 1, below=True)
                continue
            if (first.created, first.modified) != told:
                told = first.created, first.modified
                yield Leader(first.key, first.value, first.created, first.modified)
            await self._ways.news(first.key, revision + 1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """It resigns, where it stands."""
        await self.resign()
