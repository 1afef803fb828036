"""The listener for clients: accepts a few connections in a turn of the loop, and never more than there is room for.

Why it exists: the loop's own listener takes whatever the kernel holds, all at once, and a listener that runs out of
file descriptors is closed for good, without a word. Here each connection is admitted before it becomes one; a failed
accept is tried again after a pause. It must not know what is spoken.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from node.addresses import whose
from node.api.clients import Clients, refusal
from node.api.connection import Connection
from node.tls.doorway import Doorway

ACCEPT_BACKLOG = 1024
ACCEPTS_PER_TURN_MAX = 8
"""The rest waits in the kernel for the next turn. So many descriptors may be held beyond the bound for a moment: those
of connections that make room are free one turn later."""

PAUSE_SECONDS = 0.1
"""After a failed accept: no descriptor is left, or the connection was gone already."""

REFUSED_HELD_MAX = 4
"""Refused connections that are held open for a moment, so that the answer arrives before the end does."""
REFUSED_SECONDS = 0.2

_LOG = logging.getLogger("node.api")


class Listener:
    """Listens on `sockets`, which are bound; `make` makes a connection of whom it is told. `doorway` None: all are
    plain."""

    def __init__(
        self,
        sockets: list[socket.socket],
        make: Callable[[str], Connection],
        clients: Clients,
        doorway: Doorway | None = None,
    ) -> None:
        self.sockets = sockets
        self._make = make
        self._clients = clients
        self._doorway = doorway
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: deque[socket.socket] = deque()
        self._pauses: set[asyncio.TimerHandle] = set()
        self._refusal = refusal()
        self._warned = False
        for each in sockets:
            each.setblocking(False)
            each.listen(ACCEPT_BACKLOG)
            self._loop.add_reader(each.fileno(), self._accept, each)

    def close(self) -> None:
        """Listen no more; connections stay."""
        for pause in self._pauses:
            pause.cancel()
        for each in self.sockets:
            self._loop.remove_reader(each.fileno())
            each.close()
        self.sockets = []
        if self._doorway is not None:
            self._doorway.close()
        while self._refused:
            self._refused.popleft().close()

    async def wait_closed(self) -> None:
        """Until nobody is coming any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._pause(listener, error)
                return
            owner = whose(address)
            if self._clients.admit(owner):
                accepted.setblocking(False)
                task = self._loop.create_task(self._connect(accepted, owner), name="a client comes")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._refuse(accepted)

    async def _connect(self, accepted: socket.socket, owner: str) -> None:
        made: list[Connection] = []

        def make() -> Connection:
            made.append(self._make(owner))
            return made[0]

        try:
            if self._doorway is None:
                await self._loop.connect_accepted_socket(make, accepted)
            else:
                await self._doorway.connect(accepted, make)
        except (OSError, asyncio.CancelledError) as error:
            accepted.close()
            self._clients.gone(owner, made[0] if made else None)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning("a client's connection could not be accepted: %s", error.strerror or error)
        self._loop.remove_reader(listener.fileno())

        def again() -> None:
            self._pauses.discard(pause)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

        pause = self._loop.call_later(PAUSE_SECONDS, again)
        self._pauses.add(pause)

    def _refuse(self, accepted: socket.socket) -> None:
        if self._doorway is not None and self._doorway.accepts == "tls":
            accepted.close()  # no answer could be read
            return
        accepted.setblocking(False)
        with suppress(OSError):
            accepted.send(self._refusal)
            accepted.shutdown(socket.SHUT_WR)
        self._refused.append(accepted)
        if len(self._refused) > REFUSED_HELD_MAX:
            self._forget_refused()
        else:
            self._loop.call_later(REFUSED_SECONDS, self._forget_refused)

    def _forget_refused(self) -> None:
        """A socket with unread bytes would end with a reset, which may overtake the answer."""
        if self._refused:
            oldest = self._refused.popleft()
            with suppress(OSError):
                oldest.recv(65536)
            oldest.close()


async def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """Every address of `host`, bound. "::" takes IPv4, too. Raises OSError where one is not to be had."""
    if host == "::" and socket.has_dualstack_ipv6():
        return [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name: that may take long
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # Python's own word for what no name can be
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            made.append(socket.create_server(address[:2], family=family))
    except OSError:
        for each in made:
            each.close()
        raise
    return made
