"""The client for programs without asyncio: the same names and errors, and calls that wait.

Why it exists: most programs that want a lock or a flag have no event loop. One thread of the client's own has one, and
any number of threads may call. It must not know how a call is made: each is the call of the same name in client.py.

    from raftclient.blocking import RaftClient

    with RaftClient(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
        revision = client.put("greeting", "hello")
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar, cast

from raftclient import client as by_asyncio
from raftclient.arguments import Text
from raftclient.client import Value
from raftclient.leases import Lease as Held
from raftclient.watching import Change

ENDING_SECONDS_MAX = 2.0
"""When the client is closed, calls under way in other threads have so long to say what became of them."""

_T = TypeVar("_T")
_WaitFor = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


class Lease:
    """See `raftclient.Lease`; here `lost` is an event of `threading`."""

    def __init__(self, held: Held, wait_for: "_WaitFor") -> None:
        self.held = held
        self.lost = threading.Event()
        self._wait_for = wait_for
        self._watching: asyncio.Task[None] | None = None

    @property
    def id(self) -> int:
        """Its number."""
        return self.held.id

    @property
    def ttl_s(self) -> int:
        """How long it lives after the last keep-alive."""
        return self.held.ttl_s

    @property
    def alive(self) -> bool:
        """Whether it certainly lives at this moment."""
        return self.held.alive

    def check(self) -> None:
        """Raises `LeaseLost` unless it certainly lives."""
        self.held.check()

    def __enter__(self) -> Self:
        self._wait_for(self._begin)
        return self

    def __exit__(self, *_error: object) -> None:
        """It is revoked where that can be done in time; else it ends by itself."""
        self._wait_for(lambda: self.held.__aexit__(None, None, None))

    async def _begin(self) -> None:
        await self.held.__aenter__()
        self._watching = asyncio.create_task(self._tell(), name=f"watch lease {self.id}")

    async def _tell(self) -> None:
        try:
            await self.held.lost.wait()
        finally:
            self.lost.set()


class RaftClient:
    """See `raftclient.RaftClient` for the arguments, the calls and what they raise. A call that is interrupted
    (Ctrl-C) is given up: a write may have happened."""

    def __init__(self, endpoints: Sequence[str], *, timeout_s: float = 15.0, exactly_once: bool = True) -> None:
        self._client = by_asyncio.RaftClient(endpoints, timeout_s=timeout_s, exactly_once=exactly_once)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        opened: Future[None] = Future()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(opened)), name="raftclient", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Writes under way in other threads end as `OutcomeUnknown`."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None:
            loop.call_soon_threadsafe(self._closing.set)
        if thread is not None:
            thread.join()

    @property
    def attempts(self) -> int:
        """Requests for keys so far."""
        return self._client.attempts

    @property
    def retries(self) -> int:
        """Those after a call's first."""
        return self._client.retries

    @property
    def longest_stall_s(self) -> float:
        """The longest that a call took."""
        return self._client.longest_stall_s

    def get(self, key: Text, *, stale: bool = False) -> Value | None:
        """The value; None: no such key."""
        return self._wait_for(lambda: self._client.get(key, stale=stale))

    def put(self, key: Text, value: Text, *, lease: "Lease | None" = None) -> int:
        """Set a value; the revision of the write. With a `lease` the key goes when that ends."""
        held = lease.held if isinstance(lease, Lease) else lease
        return self._wait_for(lambda: self._client.put(key, value, lease=held))

    def compare_and_set(self, key: Text, value: Text, expect_revision: int) -> int:
        """Set a value only where the key is still at that revision (0: where there is none); the new revision."""
        return self._wait_for(lambda: self._client.compare_and_set(key, value, expect_revision))

    def delete(self, key: Text, *, expect_revision: int | None = None) -> int | None:
        """Remove a key; the revision of the write, None where there was no such key."""
        return self._wait_for(lambda: self._client.delete(key, expect_revision=expect_revision))

    def lease(self, ttl_s: int) -> "Lease":
        """`with client.lease(10) as lease:` is a lease that is kept alive."""
        return Lease(self._client.lease(ttl_s), self._wait_for)

    def watch(self, prefix: Text, revision: int = 0) -> Iterator[Change]:
        """Every change of keys that begin with `prefix`, in order and each once, from `revision` on (0: from now on).
        It waits for the next one; Ctrl-C, and leaving the loop, end it."""
        changes = cast(AsyncGenerator[Change, None], self._client.watch(prefix, revision))

        async def following() -> Change:
            return await anext(changes)

        try:
            while True:
                yield self._wait_for(following)
        finally:
            if self._loop is not None:
                self._wait_for(lambda: _closed(changes))

    def status(self) -> dict[str, dict[str, Any] | None]:
        """`/status` of every endpoint, None where there was no answer."""
        return self._wait_for(self._client.status)

    # --- the thread ------------------------------------------------------------------------------------------

    def _wait_for(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        loop = self._loop
        if loop is None:
            raise RuntimeError("the client is not open: use it as `with RaftClient(...) as client`")
        result = asyncio.run_coroutine_threadsafe(call(), loop)
        try:
            return result.result()
        except CancelledError:
            raise RuntimeError("the client was closed in the middle of this call: a write may have happened") from None
        except BaseException:
            result.cancel()  # Ctrl-C came while it waited; harmless where the call has ended
            raise

    async def _live(self, opened: Future[None]) -> None:
        """Until the client is closed."""
        try:
            async with self._client:
                self._loop = asyncio.get_running_loop()
                opened.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
            return
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        if calls:
            await asyncio.wait(calls, timeout=ENDING_SECONDS_MAX)


async def _closed(changes: AsyncGenerator[Change, None]) -> None:
    await changes.aclose()
