"""The connections of clients: how many there may be, who makes room for whom, and who is given up.

Why it exists: each connection costs a file descriptor, and a node that runs out of them cannot write its log or reach
its peers. So their number is bounded. At the bound, the connection that has been idle for longest is closed for the
new one: a client with a pool expects that of an idle connection and opens another, while a refused one is a failure,
and the operator who comes to look must get in. Only where nobody is idle is the new one refused.
One client (an address) has three quarters of all at most: then one of its own makes room, or it is refused, and others
still get in.

A client that sends a request for ever, or takes no answer for ever, is given up: it is never idle. So is one that never
asks for anything. It must not know what a connection speaks.
"""

import asyncio
import logging
from collections import Counter
from typing import Protocol

from node.addresses import NOBODY
from node.api.answers import Problem, try_again
from node.api.bodies import Bodies

CLIENTS_MAX = 4096
"""Connections of clients at a time, where file descriptors allow so many."""

IDLE_SECONDS_MIN = 1.0
"""Since when a connection must have been idle to make room. A client that just got its answer, or just connected, is
about to send; a request that meets the end of its connection is one of unknown outcome."""

OWN_ROOMS_PER_SECOND_MAX = 64
"""How often in a second idle connections of a client that has its share make room for its own new ones; beyond it these
are refused, which costs a fifth of that."""

LOOKS_MAX = 64
"""Connections looked at to find one that makes room; those that were looked at are looked at last the next time."""

SWEEP_SECONDS = 5.0
HEAD_SECONDS_MAX = 30.0
"""How long a connection may take until the headers of its first request have come. Those of later ones may take as long
as it may be idle."""
BODY_SECONDS_MAX = 60.0
"""How long a request may take to come, from its headers to the end of its body."""
UNREAD_SECONDS_MAX = 30.0
"""How long a client may take nothing of an answer."""
HALF_CLOSED_SECONDS = 1.0
"""Who sends no more may be gone, or wait for an answer: nobody can tell, so it gets what comes within so long where
others may keep it waiting for ever."""

TELL_SECONDS = 10.0
"""Between two lines of the log that say who has too many."""

_LOG = logging.getLogger("node.api")
_REFUSAL = try_again("overloaded", "this node has as many connections as it can hold, and none of them is idle")


class Connected(Protocol):
    """What is asked of a connection. Times are of the loop's clock."""

    @property
    def is_idle(self) -> bool: ...
    @property
    def idle_since(self) -> float: ...
    @property
    def head_is_missing(self) -> bool: ...
    @property
    def body_is_missing(self) -> bool: ...
    @property
    def request_began(self) -> float: ...
    @property
    def unread_bytes(self) -> int: ...
    def force_close(self) -> None: ...
    def make_room(self) -> None: ...
    def never_asked(self) -> None:
        """Its first request did not come in time: end it, and say so."""

    def abort(self) -> None: ...
    def tend(self, now: float) -> None:
        """Called every few seconds: give up what lasts too long inside of it."""


class Owned(Connected, Protocol):
    """`whose`: as which client's it was admitted."""

    whose: str


class Clients:
    """All connections of one server, at most `most`. `share`: what one client may have; 0: three quarters."""

    def __init__(self, most: int, loop: asyncio.AbstractEventLoop, share: int = 0) -> None:
        self.most = most
        self.made_room = 0
        """Idle connections closed for others."""
        self.bodies = Bodies()
        self.share = share or max(1, most * 3 // 4)
        self.refused = 0
        """Connections refused."""
        self.over_share = 0
        """Of those, whose client had its share."""
        self.given_up: dict[str, int] = {"headers": 0, "body": 0, "unread": 0}
        """Connections ended for what did not come in time, or was not taken."""
        self._loop = loop
        self._open: dict[Connected, str] = {}
        """With whose each is."""
        self._of: Counter[str] = Counter()
        """How many are whose, those included that are just coming."""
        self._coming: Counter[str] = Counter()
        self._told = float("-inf")
        self._own_rooms = (0, 0)
        """In which second, and how often in it, a client made room for itself."""
        self._unread: dict[Connected, tuple[int, float]] = {}
        """Of those with answers that are not taken: how much, and since when it is so much."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many there are, those included that are just coming."""
        return len(self._open) + self._coming.total()

    def admit(self, whose: str = NOBODY) -> bool:
        """Whether one more may come; an idle one may be closed for it. `opened` or `gone` must follow a True."""
        if whose != NOBODY and self._of[whose] >= self.share and not self._make_own_room(whose):
            self.over_share += 1
            self.refused += 1
            self._tell(whose)
            return False
        if self.count >= self.most and not self._make_room():
            self.refused += 1
            return False
        self._coming[whose] += 1
        self._of[whose] += 1
        return True

    def gone(self, whose: str = NOBODY, made: Connected | None = None) -> None:
        """One that was admitted did not get through. `made`: what it was about to be; it may have been opened."""
        if made is not None and made in self._open:
            self.closed(made)
            return
        self._came(whose)
        self._less(whose)

    def opened(self, connection: Connected, whose: str = NOBODY) -> None:
        """One that was admitted is there, or one that nobody had to admit."""
        if self._coming[whose]:
            self._came(whose)
        else:
            self._of[whose] += 1
        self._open[connection] = whose
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def handed_on(self, before: Connected, after: Connected) -> None:
        """One that is there goes on as another kind of connection, of the same client and on the same place."""
        owner = self._open.pop(before, None)
        if owner is not None:
            self._open[after] = owner
        self._unread.pop(before, None)

    def closed(self, connection: Connected) -> None:
        """One is gone, or will be in a moment."""
        owner = self._open.pop(connection, None)
        if owner is not None:
            self._less(owner)
        self._unread.pop(connection, None)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _came(self, whose: str) -> None:
        self._coming[whose] -= 1
        if not self._coming[whose]:
            del self._coming[whose]

    def _less(self, whose: str) -> None:
        self._of[whose] -= 1
        if not self._of[whose]:
            del self._of[whose]

    def _tell(self, whose: str) -> None:
        now = self._loop.time()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            _LOG.warning(
                "%s has %d connections, as many as one client may have: more are refused", whose, self._of[whose]
            )

    def _make_own_room(self, whose: str) -> bool:
        second = int(self._loop.time())
        made = self._own_rooms[1] if self._own_rooms[0] == second else 0
        if made >= OWN_ROOMS_PER_SECOND_MAX or not self._make_room(whose):
            return False
        self._own_rooms = (second, made + 1)
        return True

    def _make_room(self, whose: str = NOBODY) -> bool:
        """Close the one that has been idle for longest, of some; whether one was. `whose`: of that client alone."""
        longest: Connected | None = None
        before = self._loop.time() - IDLE_SECONDS_MIN
        for connection in [connection for connection, _ in zip(self._open, range(LOOKS_MAX), strict=False)]:
            self._open[connection] = self._open.pop(connection)
            idle = connection.is_idle and connection.idle_since <= before
            if whose not in (NOBODY, self._open[connection]):
                continue
            if idle and (longest is None or connection.idle_since < longest.idle_since):
                longest = connection
        if longest is None:
            return False
        self.made_room += 1
        self.closed(longest)
        longest.make_room()
        return True

    def _sweep(self) -> None:
        """Give up whoever sends a request, or takes an answer, without end."""
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        for connection in list(self._open):
            unread = connection.unread_bytes
            seen = self._unread.get(connection)
            if not unread:
                self._unread.pop(connection, None)
            elif seen is None or unread < seen[0]:
                self._unread[connection] = (unread, now)
            elif now - seen[1] >= UNREAD_SECONDS_MAX:
                self.given_up["unread"] += 1
                connection.abort()
                continue
            connection.tend(now)
            if connection.head_is_missing and now - connection.idle_since >= HEAD_SECONDS_MAX:
                self.given_up["headers"] += 1
                connection.never_asked()
            elif connection.body_is_missing and now - connection.request_began >= BODY_SECONDS_MAX:
                self.given_up["body"] += 1
                connection.abort()


def is_tls(transport: asyncio.BaseTransport) -> bool:
    """Whether what it carries is encrypted."""
    return transport.get_extra_info("sslcontext") is not None


def abort_soon(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport | None) -> None:
    """Abort it once what was just written has left: an end of TLS waits for the other side's, and holds a descriptor
    that is another's already. In the second turn from now: in the first one it is written."""
    if transport is not None:
        loop.call_soon(loop.call_soon, transport.abort)


def refusal() -> bytes:
    """The whole answer to a connection that cannot be held."""
    return _last_words(_REFUSAL, "503 Service Unavailable")


def too_slow() -> bytes:
    """The whole answer to a connection whose first request does not come."""
    return _last_words(
        Problem(408, "timeout", "the request did not arrive in time; nothing was done"), "408 Request Timeout"
    )


def head_too_long(bytes_max: int) -> bytes:
    """The whole answer to a connection whose request's line and headers are longer than that."""
    problem = Problem(431, "too-long", f"a request's line and headers are longer than {bytes_max} bytes")
    return _last_words(problem, "431 Request Header Fields Too Large")


def _last_words(problem: Problem, status: str) -> bytes:
    answer = problem.answer()
    body = bytes(answer.body) if isinstance(answer.body, bytes | bytearray) else b""
    head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items() if name != "Content-Length")
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
