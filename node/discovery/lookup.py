"""DNS look-ups on a thread of their own.

Why it exists: `getaddrinfo` blocks, for many seconds where DNS is ill, and the event loop's default executor is
shared with others, who would then wait too. It must not cache, and not pile up: a host has one look-up under way at
most, and whoever asks meanwhile shares its answer. The thread is a daemon: a look-up that hangs cannot keep the
process from ending.
"""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from node.discovery.port import ResolutionError

LOOKUPS_MAX = 256
"""Hosts that may wait for the thread at once."""
THREAD_END_S = 1.0
"""How long `close` waits for a look-up under way before it leaves the thread behind."""

Answer = list[str] | ResolutionError


def getaddrinfo_addresses(host: str) -> list[str]:
    """The IP addresses of a host, in the resolver's order, each once. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Lookup:
    """`blocking` is what runs on the thread; tests put a slow one there."""

    def __init__(self, blocking: Callable[[str], list[str]] = getaddrinfo_addresses) -> None:
        self._blocking = blocking
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of `host` now. Raises `ResolutionError`. Cancelling a waiter does not cancel the look-up."""
        future = self._waiting.get(host)
        if future is None:
            if len(self._waiting) >= LOOKUPS_MAX:
                raise ResolutionError(f"{host} was not looked up: {LOOKUPS_MAX} look-ups wait already")
            self._start_thread()
            future = asyncio.get_running_loop().create_future()
            self._waiting[host] = future
            self._jobs.put(host)
        answer = await asyncio.shield(future)
        if isinstance(answer, ResolutionError):
            raise answer
        return answer

    async def close(self) -> None:
        """End the thread; whoever still waits gets a `ResolutionError`."""
        for host in list(self._waiting):
            self._settle(host, ResolutionError(f"the look-up of {host} was given up: this process leaves"))
        if self._thread is None:
            return
        self._jobs.put(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(THREAD_END_S):
                await self._ended.wait()
                self._thread.join()
        self._thread = None

    def _start_thread(self) -> None:
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._ended.clear()
            self._thread = threading.Thread(target=self._work, args=(loop,), name="name look-ups", daemon=True)
            self._thread.start()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop was closed while a look-up hung: nobody is left to tell
            while (host := self._jobs.get()) is not None:
                answer: Answer
                try:
                    answer = self._blocking(host) or ResolutionError(f"{host} has no address")
                except (OSError, UnicodeError) as error:
                    answer = ResolutionError(f"{host} cannot be looked up: {error}")
                loop.call_soon_threadsafe(self._settle, host, answer)
            loop.call_soon_threadsafe(self._ended.set)

    def _settle(self, host: str, answer: Answer) -> None:
        future = self._waiting.pop(host, None)
        if future is not None and not future.done():
            future.set_result(answer)
