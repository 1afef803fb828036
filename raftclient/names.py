"""Host names for the client's connections: asked anew for each, on threads of their own, with what was true last.

Why it exists: `getaddrinfo` blocks, for many seconds where name servers are silent, as while a machine that had one of
them is gone and not yet given up. aiohttp asks it on the event loop's few shared threads, a new one for each attempt:
soon all of them are taken, for longer than the silence lasts, and a process waits for them when it ends. So here a
host has few look-ups under way, whoever asks shares them, and their threads keep no process.

A name server that is silent is no reason to lose a node that is there: after a moment the host's last addresses are
tried, as RFC 8767 has it for name servers themselves, and forgotten after some minutes. They are used for nothing else:
where a name server answers, its answer is what holds, for in Kubernetes a name outlives its address.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

SILENT_SECONDS = 0.2
"""A name server that has not answered for so long is silent, where there are last addresses: less than half of what a
look at a node takes (`STATUS_SECONDS_MAX` in client.py)."""

KEPT_SECONDS = 300.0
"""How long last addresses are kept: above the time in which Kubernetes gives up a machine."""

TRY_AGAIN_SECONDS = 1.0
"""Another look-up is begun beside one that has taken so long, where somebody still asks: it may come to another name
server, which a repeated packet of the first never does."""

TRIES_MAX = 4
"""Look-ups of one host side by side; each is a thread."""

HOSTS_MAX = 128
"""Hosts looked up side by side, and remembered: twice as many as a cluster may have members."""

Addresses = Sequence[tuple[socket.AddressFamily, str]]


class _Asked:
    """The look-ups of one host that are under way. `answer`: of the first that has one."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Addresses | OSError] = asyncio.get_running_loop().create_future()
        self.under_way = 0
        self.last_begun = 0.0


def numeric_addresses(host: str) -> Addresses:
    """The addresses of a host, in the resolver's order, each once. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return list(dict.fromkeys((family, socket.getnameinfo(address, numbers)[0]) for family, _, _, _, address in found))


class Names(AbstractResolver):
    """aiohttp's resolver for one client. `look_up` is what runs on the threads; tests put another one there."""

    def __init__(self, look_up: Callable[[str], Addresses] | None = None) -> None:
        self._look_up = look_up or numeric_addresses
        self._asked: dict[str, _Asked] = {}
        self._last: dict[str, tuple[float, Addresses]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host` now, else the last ones; see aiohttp's. Raises OSError. Cancelling it does not cancel
        the look-up: its answer is there for who asks next."""
        found = await self._addresses(host)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=of, proto=0, flags=int(socket.AI_NUMERICHOST))
            for of, address in found
            if family in (socket.AF_UNSPEC, of)
        ]

    async def close(self) -> None:
        """Nobody waits any more. Threads that hang end by themselves, and keep no process."""
        for host, asked in self._asked.items():
            asked.answer.set_result(OSError(f"{host} was not looked up: the client was closed"))
        self._asked.clear()
        self._last.clear()

    async def _addresses(self, host: str) -> Addresses:
        asked = self._begin(host)
        while True:
            last = self._last_of(host)
            wait_s = SILENT_SECONDS if last else TRY_AGAIN_SECONDS
            # `wait` takes nothing away from the others who wait for the same answer
            if not (await asyncio.wait([asked.answer], timeout=wait_s))[0]:
                if last:
                    return last
                asked = self._begin(host)
                continue
            answer = asked.answer.result()
            if not isinstance(answer, OSError):
                return answer
            if last and _is_silence(answer):
                return last
            raise answer

    def _last_of(self, host: str) -> Addresses:
        until, addresses = self._last.get(host, (0.0, ()))
        return addresses if asyncio.get_running_loop().time() < until else ()

    def _begin(self, host: str) -> _Asked:
        """One look-up, or one more, where it is time for that."""
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(host)
        if asked is None:
            if len(self._asked) >= HOSTS_MAX:
                raise OSError(f"{host} was not looked up: {HOSTS_MAX} other names are being looked up already")
            asked = self._asked[host] = _Asked()
        if not asked.under_way or (asked.under_way < TRIES_MAX and now >= asked.last_begun + TRY_AGAIN_SECONDS):
            work = (asyncio.get_running_loop(), host, asked)
            try:
                threading.Thread(target=self._work, args=work, name=f"look-up of {host}", daemon=True).start()
            except RuntimeError as error:  # the system gives no more threads; whoever asks next tries again
                raise OSError(f"{host} was not looked up: {error}") from None
            asked.under_way, asked.last_begun = asked.under_way + 1, now
        return asked

    def _work(self, loop: asyncio.AbstractEventLoop, host: str, asked: _Asked) -> None:
        answer: Addresses | OSError
        try:
            answer = self._look_up(host) or OSError(f"{host} has no address")
        except OSError as error:
            answer = error
        except UnicodeError as error:
            answer = OSError(f"{host} cannot be looked up: {error}")
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody is left to tell
            loop.call_soon_threadsafe(self._answered, host, asked, answer)

    def _answered(self, host: str, asked: _Asked, answer: Addresses | OSError) -> None:
        asked.under_way -= 1
        if self._asked.get(host) is not asked or (asked.under_way and _is_silence(answer)):
            return  # another look-up was faster, or may know better
        del self._asked[host]
        self._remember(host, answer)
        asked.answer.set_result(answer)

    def _remember(self, host: str, answer: Addresses | OSError) -> None:
        if not isinstance(answer, OSError):
            self._last.pop(host, None)
            self._last[host] = (asyncio.get_running_loop().time() + KEPT_SECONDS, answer)
            while len(self._last) > HOSTS_MAX:
                del self._last[next(iter(self._last))]
        elif not _is_silence(answer):
            self._last.pop(host, None)  # a name server said that there is no such host


def _is_silence(answer: Addresses | OSError) -> bool:
    """No name server said anything, and another time one may."""
    return isinstance(answer, socket.gaierror) and answer.errno == socket.EAI_AGAIN
