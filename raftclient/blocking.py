"""The client for programs without asyncio: the same names and errors, and calls that wait.

Why it exists: most programs that want a lock or a flag have no event loop. One thread of the client's own has one, and
any number of threads may call. It must not know how a call is made: each is the call of the same name in client.py.

    from raftclient.blocking import RaftClient

    with RaftClient(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
        revision = client.put("greeting", "hello")
"""

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar, cast

from raftclient import client as by_asyncio
from raftclient.arguments import Text
from raftclient.client import Value
from raftclient.locks import TTL_SECONDS
from raftclient.threads import Election, Lease, Lock
from raftclient.watching import Change

ENDING_SECONDS_MAX = 2.0
"""When the client is closed, calls under way in other threads have so long to say what became of them, and a call that
is interrupted has so long to give back what it held, such as a place in the queue for a lock."""

_T = TypeVar("_T")


class RaftClient:
    """See `raftclient.RaftClient` for the arguments, the calls and what they raise. A call that is interrupted
    (Ctrl-C) is given up: a write may have happened."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout_s: float = 15.0,
        exactly_once: bool = True,
        discover: bool = True,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
    ) -> None:
        self._client = by_asyncio.RaftClient(
            endpoints, timeout_s=timeout_s, exactly_once=exactly_once, discover=discover, tls=tls, token=token
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._closings: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        opened: Future[None] = Future()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(opened)), name="raftclient", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            opened.cancel()  # it may not be open yet, and would stay so
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

    def use_token(self, token: str) -> None:
        """From the next request on."""

        async def use() -> None:
            self._client.use_token(token)

        if self._loop is None:
            self._client.use_token(token)
        else:
            self._wait_for(use)

    def get(self, key: Text, *, stale: bool = False) -> Value | None:
        """The value; None: no such key."""
        return self._wait_for(lambda: self._client.get(key, stale=stale))

    def put(self, key: Text, value: Text, *, lease: Lease | None = None) -> int:
        """Set a value; the revision of the write. With a `lease` the key goes when that ends."""
        held = lease.held if isinstance(lease, Lease) else lease
        return self._wait_for(lambda: self._client.put(key, value, lease=held))

    def compare_and_set(self, key: Text, value: Text, expect_revision: int) -> int:
        """Set a value only where the key is still at that revision (0: where there is none); the new revision."""
        return self._wait_for(lambda: self._client.compare_and_set(key, value, expect_revision))

    def delete(self, key: Text, *, expect_revision: int | None = None) -> int | None:
        """Remove a key; the revision of the write, None where there was no such key."""
        return self._wait_for(lambda: self._client.delete(key, expect_revision=expect_revision))

    def lease(self, ttl_s: int) -> Lease:
        """`with client.lease(10) as lease:` is a lease that is kept alive."""
        return Lease(self._client.lease(ttl_s), self._wait_for)

    def lock(self, name: Text, *, ttl_s: int = TTL_SECONDS, wait_s: float | None = None) -> Lock:
        """`with client.lock("deploy") as lock:` holds the lock of that name, alone. Without `wait_s` it waits without
        end."""
        return Lock(self._client.lock(name, ttl_s=ttl_s, wait_s=wait_s), self._wait_for)

    def election(self, name: Text, *, ttl_s: int = TTL_SECONDS) -> Election:
        """`with client.election("chief") as election: election.campaign("http://10.0.0.7")` leads, alone."""
        return Election(self._client.election(name, ttl_s=ttl_s), self._wait_for, self._follow)

    def watch(self, prefix: Text, revision: int = 0) -> Iterator[Change]:
        """Every change of keys that begin with `prefix`, in order and each once, from `revision` on (0: from now on).
        It waits for the next one; Ctrl-C, and leaving the loop, end it."""
        yield from self._follow(self._client.watch(prefix, revision))

    def status(self) -> dict[str, dict[str, Any] | None]:
        """`/status` of every node that may be asked, by URL; None where there was no answer."""
        return self._wait_for(self._client.status)

    # --- the thread ------------------------------------------------------------------------------------------

    def _follow(self, source: AsyncIterator[_T]) -> Iterator[_T]:
        told = cast(AsyncGenerator[_T, None], source)

        async def following() -> _T:
            return await anext(told)

        try:
            while True:
                yield self._wait_for(following)
        finally:
            if self._loop is not None and threading.current_thread() is self._thread:
                closing = self._loop.create_task(_closed(told))  # the collector came upon it there
                self._closings.add(closing)
                closing.add_done_callback(self._closings.discard)
            elif self._loop is not None:
                self._wait_for(lambda: _closed(told))

    def _wait_for(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        loop = self._loop
        if loop is None:
            raise RuntimeError("the client is not open: use it as `with RaftClient(...) as client`")
        ended = threading.Event()

        async def calling() -> _T:
            try:
                return await call()
            finally:
                ended.set()

        result = asyncio.run_coroutine_threadsafe(calling(), loop)
        try:
            return result.result()
        except CancelledError:
            raise RuntimeError("the client was closed in the middle of this call: a write may have happened") from None
        except BaseException:
            if result.cancel():  # Ctrl-C came while it waited
                ended.wait(ENDING_SECONDS_MAX)
            raise

    async def _live(self, opened: Future[None]) -> None:
        """Until the client is closed."""
        try:
            async with self._client:
                self._loop = asyncio.get_running_loop()
                if not opened.set_running_or_notify_cancel():
                    return
                opened.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            if opened.cancelled():
                return
            if opened.done():
                raise
            opened.set_exception(error)
            return
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        if calls:
            await asyncio.wait(calls, timeout=ENDING_SECONDS_MAX)


async def _closed(source: AsyncGenerator[Any, None]) -> None:
    await source.aclose()
