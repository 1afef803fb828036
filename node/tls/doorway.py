"""From an accepted socket to a connection: plain or TLS, as the first byte says, bounded in number, time and work.

Why it exists: a handshake costs one or two milliseconds of the processor before anybody has said who they are. So one
begins when its client has begun to speak and it is its turn, and whoever says nothing gives way: of the client that has
most of those who are coming. The clients' port and
the peers' port let their connections in by the same rules. It must not know what is spoken afterwards.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from node.addresses import whose
from node.tls.alerts import FAILED
from node.tls.counts import TlsCounts
from node.tls.renewal import Renewing

HANDSHAKE_SECONDS_MAX = 5.0
"""From the accepted connection to the end of its handshake."""
COMING_MAX = 256
"""Connections at a time that are not through. To the next one gives way that has been coming for longest, of the client
that has most of them: a crowd crowds out itself."""
CLOSING_SECONDS_MAX = 10.0
"""How long an end waits until all is sent, and for the client's own."""

HANDSHAKE_RECORD = 0x16
"""The first byte of TLS, and of nothing else that a node speaks."""
_PLAIN_ANSWER = b"this port speaks TLS: use https://\n"
_PLAIN_REFUSAL = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Raft-Link-Refused: this port speaks TLS\r\n"  # for a peer that dials; see node.transport.dialling
    b"Content-Length: %d\r\n\r\n%s" % (len(_PLAIN_ANSWER), _PLAIN_ANSWER)
)
_REFUSED_SECONDS = 0.2
"""A refused connection is held open for so long, so that the answer arrives before the end does."""

Accepts = Literal["plain", "both", "tls"]
Factory = Callable[[], asyncio.BaseProtocol]

_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("no-certificate", "it showed no certificate, and one is demanded"),
    "HTTP_REQUEST": ("plain", "it does not speak TLS"),
    "WRONG_VERSION_NUMBER": ("plain", "it does not speak TLS"),
    "NO_SHARED_CIPHER": ("protocol", "it offers no cipher that is accepted here"),
    "UNSUPPORTED_PROTOCOL": ("protocol", "it offers no version of TLS that is accepted here: 1.2 is the least"),
    "TLSV1_ALERT_UNKNOWN_CA": ("refused-us", "it does not trust the authority of this node's certificate"),
    "SSLV3_ALERT_BAD_CERTIFICATE": ("refused-us", "it refuses this node's certificate"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": ("refused-us", "it finds this node's certificate expired"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ("refused-us", "it refuses this node's certificate"),
}
_VERIFY_NOT_YET, _VERIFY_EXPIRED, _VERIFY_UNKNOWN_CA = 9, 10, (2, 18, 19, 20, 21, 27)
"""OpenSSL's codes (X509_V_ERR_...)."""


class Doorway:
    """One for a port. `renewing` None: all is plain. `turn` returns when a handshake of a client may begin."""

    def __init__(
        self,
        port: str,
        accepts: Accepts,
        renewing: Renewing | None,
        counts: TlsCounts,
        turn: Callable[[str], Awaitable[None]],
        coming_max: int = COMING_MAX,
        seconds_max: float = HANDSHAKE_SECONDS_MAX,
    ) -> None:
        self.accepts: Accepts = accepts if renewing is not None else "plain"
        self._port, self._renewing, self._counts, self._turn = port, renewing, counts, turn
        self._coming_max, self._seconds_max = coming_max, seconds_max
        self._loop = asyncio.get_running_loop()
        self._coming: dict[asyncio.Task[object], str] = {}
        """Who is not through, with whose it is; those who have to give way are not here any more."""
        self._giving_way: set[asyncio.Task[object]] = set()
        self.shaking = 0
        """Handshakes under way."""

    async def connect(self, accepted: socket.socket, factory: Factory) -> asyncio.Transport:
        """A connection of what was accepted, which is non-blocking. Raises OSError where it does not come to that; the
        socket is the caller's to close then."""
        renewing = self._renewing
        if renewing is None or self.accepts == "plain":
            return (await self._loop.connect_accepted_socket(factory, accepted))[0]
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection comes in a task of its own")
        owner = whose(_peer(accepted))
        self._make_way()
        self._coming[task] = owner
        failed: list[ssl.SSLError] = []
        FAILED.set(failed)
        try:
            async with asyncio.timeout(self._seconds_max):
                first = await self._first_byte(accepted)
                if first == HANDSHAKE_RECORD:
                    return await self._shake(accepted, factory, renewing, failed, owner)
            if self.accepts == "both":
                self._counts.came_plain(self._port)
                return (await self._loop.connect_accepted_socket(factory, accepted))[0]
            self._counts.refuse(self._port, "plain", "it does not speak TLS")
            with suppress(OSError):
                accepted.send(_PLAIN_REFUSAL)
                accepted.shutdown(socket.SHUT_WR)
                await asyncio.sleep(_REFUSED_SECONDS)
                accepted.recv(65536)
            raise ConnectionAbortedError("it does not speak TLS")
        except TimeoutError:
            if failed:
                self._count(failed[0])
            else:
                self._counts.refuse(self._port, "silent", f"no handshake within {self._seconds_max:g} s")
            raise ConnectionAbortedError("no handshake in time") from None
        except asyncio.CancelledError:
            if task not in self._giving_way:
                raise
            task.uncancel()
            self._counts.refuse(self._port, "gave-way", f"{self._coming_max} newer ones came meanwhile")
            raise ConnectionAbortedError("others came meanwhile") from None
        finally:
            self._coming.pop(task, None)
            self._giving_way.discard(task)

    def close(self) -> None:
        """Whoever is not through does not come in any more."""
        for task in (*self._coming, *self._giving_way):
            task.cancel()

    def _make_way(self) -> None:
        if len(self._coming) >= self._coming_max:
            [(most, _)] = Counter(self._coming.values()).most_common(1)
            oldest = next(task for task, owner in self._coming.items() if owner == most)
            del self._coming[oldest]
            self._giving_way.add(oldest)
            oldest.cancel()

    async def _first_byte(self, accepted: socket.socket) -> int:
        """Seen, and left where it is. Raises ConnectionError where none comes any more."""
        while True:
            try:
                seen = accepted.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                await _readable(self._loop, accepted)
                continue
            if not seen:
                raise ConnectionResetError("it left without a word")
            return seen[0]

    async def _shake(
        self, accepted: socket.socket, factory: Factory, renewing: Renewing, failed: list[ssl.SSLError], owner: str
    ) -> asyncio.Transport:
        self.shaking += 1
        try:
            await self._turn(owner)
            transport, _ = await self._loop.connect_accepted_socket(
                factory,
                accepted,
                ssl=renewing.now.accept,
                ssl_handshake_timeout=self._seconds_max,
                ssl_shutdown_timeout=CLOSING_SECONDS_MAX,
            )
        except OSError as error:
            self._count(failed[0] if failed else error)
            raise
        finally:
            self.shaking -= 1
        self._counts.accepted(self._port)
        return transport

    def _count(self, error: OSError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self._counts.refuse(self._port, *_of_certificate(error))
        elif isinstance(error, ssl.SSLError):
            reason = error.reason or "unknown"
            words = reason.lower().replace("_", " ")
            self._counts.refuse(self._port, *_REASONS.get(reason, ("other", f"the handshake failed: {words}")))
        else:
            self._counts.refuse(self._port, "left", "it left in the middle of its handshake")


def _of_certificate(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    if error.verify_code == _VERIFY_EXPIRED:
        return "expired", "its certificate has expired"
    if error.verify_code == _VERIFY_NOT_YET:
        return "not-yet-valid", "its certificate is not valid yet"
    if error.verify_code in _VERIFY_UNKNOWN_CA:
        return "unknown-ca", f"its certificate is of no authority that is trusted here ({error.verify_message})"
    return "certificate", f"its certificate is of no use here ({error.verify_message})"


class OneATurn:
    """Handshakes begin one in a turn of the loop, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __call__(self, _whose: str) -> None:
        async with self._lock:
            await asyncio.sleep(0)


def _peer(accepted: socket.socket) -> object:
    try:
        return accepted.getpeername()
    except OSError:
        return None


async def _readable(loop: asyncio.AbstractEventLoop, waits_for: socket.socket) -> None:
    waits: asyncio.Future[None] = loop.create_future()
    loop.add_reader(waits_for.fileno(), lambda: None if waits.done() else waits.set_result(None))
    try:
        await waits
    finally:
        loop.remove_reader(waits_for.fileno())
