"""DNS look-ups on threads of their own.

Why it exists: `getaddrinfo` blocks, for many seconds where DNS is ill (five seconds a try, twice, for every domain of
the search list), and the event loop's default executor is shared with others, who would then wait too. It must not
cache, and not pile up: a host has one look-up under way at most, and whoever asks meanwhile shares its answer; as many
hosts as there are threads are looked up side by side, so that one whose name servers are silent delays no other. The
threads are daemons: a look-up that hangs cannot keep the process from ending.
"""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from node.discovery.port import ResolutionError

LOOKUPS_MAX = 256
"""Hosts that may wait for a thread at once."""
THREADS_MAX = 16
"""Look-ups side by side; more members than a cluster has use for. A thread is begun when all others are busy."""
THREAD_END_S = 1.0
"""How long `close` waits for look-ups under way before it leaves their threads behind."""

Answer = list[str] | ResolutionError


def getaddrinfo_addresses(host: str) -> list[str]:
    """The IP addresses of a host, in the resolver's order, each once. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Lookup:
    """`blocking` is what runs on the threads; tests put a slow one there."""

    def __init__(self, blocking: Callable[[str], list[str]] = getaddrinfo_addresses) -> None:
        self._blocking = blocking
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        """Hosts given to the threads and not answered yet; unlike `_waiting`, also those that were given up."""
        self._running = 0
        self._ended = asyncio.Event()

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of `host` now. Raises `ResolutionError`. Cancelling a waiter does not cancel the look-up."""
        future = self._waiting.get(host)
        if future is None:
            if len(self._waiting) >= LOOKUPS_MAX:
                raise ResolutionError(f"{host} was not looked up: {LOOKUPS_MAX} look-ups wait already")
            future = asyncio.get_running_loop().create_future()
            self._waiting[host] = future
            self._under_way += 1
            self._jobs.put(host)
            self._start_thread(host)
        answer = await asyncio.shield(future)
        if isinstance(answer, ResolutionError):
            raise answer
        return answer

    async def close(self) -> None:
        """End the threads; whoever still waits gets a `ResolutionError`."""
        for host in list(self._waiting):
            self._settle(host, ResolutionError(f"the look-up of {host} was given up: this process leaves"))
        if not self._threads:
            return
        for _ in self._threads:
            self._jobs.put(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(THREAD_END_S):
                await self._ended.wait()
                for thread in self._threads:
                    thread.join()
        self._threads.clear()
        self._under_way = 0

    def _start_thread(self, host: str) -> None:
        """One more, where all that run have something to do. `host`: for which it is."""
        if len(self._threads) < min(self._under_way, THREADS_MAX):
            loop = asyncio.get_running_loop()
            self._ended.clear()
            self._running += 1
            thread = threading.Thread(target=self._work, args=(loop,), name="name look-ups", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more: those that run do it, or whoever asks next
                self._running -= 1
                if not self._threads:
                    self._jobs.get_nowait()  # it is the only one, and would wait here with all that are asked later
                    self._answered(host, ResolutionError(f"{host} was not looked up: {error}"))
                return
            self._threads.append(thread)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop was closed while a look-up hung: nobody is left to tell
            while (host := self._jobs.get()) is not None:
                answer: Answer
                try:
                    answer = self._blocking(host) or ResolutionError(f"{host} has no address")
                except (OSError, UnicodeError) as error:
                    answer = ResolutionError(f"{host} cannot be looked up: {error}")
                loop.call_soon_threadsafe(self._answered, host, answer)
            loop.call_soon_threadsafe(self._thread_ends)

    def _answered(self, host: str, answer: Answer) -> None:
        self._under_way -= 1
        self._settle(host, answer)

    def _thread_ends(self) -> None:
        self._running -= 1
        if not self._running:
            self._ended.set()

    def _settle(self, host: str, answer: Answer) -> None:
        future = self._waiting.pop(host, None)
        if future is not None and not future.done():
            future.set_result(answer)
