"""One dial: where the peer is, a connection to one of its addresses, and why there is none.

Why it exists: a dial has many ends, and who reads the reasons acts on them: refused is not silent, and neither is a
name that nobody knows. It must not repeat anything.
"""

import asyncio
import errno
import socket
import ssl
from typing import Protocol

import aiohttp
from yarl import URL

from node.raft.messages import Lane
from node.tls.peers import PeerTls
from node.transport.framework import DialledSocket
from node.transport.port import REFUSED
from node.transport.settings import LinkSettings

LINK_PATH = "/raft-link"
ADDRESSES_MAX = 4
"""How many of a name's addresses one dial tries."""
REFUSAL_HEADER = "Raft-Link-Refused"
"""The header in which a peer's port says why it opens no link."""
REFUSAL_CHARS_MAX = 200
"""How much of it is told on."""
ANSWER_BYTES_MAX = 1024
"""The longest message accepted on a link that was dialled here: there are only pongs and a closing sentence."""


class Resolver(Protocol):
    """Where a peer is, asked anew for every dial. Raises OSError where that is not known."""

    async def resolve(self, name: str) -> list[tuple[str, int]]: ...


class DialFailed(Exception):
    """The message is the reason for `Receiver.on_outbound`."""


class Dialler:
    """Dials one lane of `peer`. `tls` None: plain."""

    def __init__(
        self,
        name: str,
        peer: str,
        lane: Lane,
        session: aiohttp.ClientSession,
        resolver: Resolver,
        settings: LinkSettings,
        tls: PeerTls | None = None,
    ) -> None:
        self._tls = tls
        self._query = {"from": name, "to": peer, "lane": lane.name.lower()}
        self._peer = peer
        self._session = session
        self._resolver = resolver
        self._settings = settings

    async def dial(self, *, after_loss: bool = False) -> DialledSocket:
        """An open connection. Raises `DialFailed`; `REFUSED` is the reason only where every address refused.

        `after_loss`: there may be nobody any more, and many who dial at this moment, so each address is asked for a
        bare connection first: to be refused one costs half of what it costs to be refused a WebSocket."""
        timeout_s = self._settings.dial_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                addresses = (await self._resolver.resolve(self._peer))[:ADDRESSES_MAX]
        except TimeoutError:
            raise DialFailed(f"the name {self._peer} was not resolved within {timeout_s} s") from None
        except OSError as error:
            raise DialFailed(str(error)) from None
        reasons: dict[str, None] = {}
        for host, port in addresses:
            try:
                async with asyncio.timeout(timeout_s / len(addresses)):
                    if after_loss:
                        await _knock(host, port)
                    return await self._connect(host, port)
            except TimeoutError:
                reasons[f"silence: no answer to a dial within {timeout_s} s"] = None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                reasons[_dial_reason(error)] = None
        if reasons.keys() != {REFUSED}:
            reasons.pop(REFUSED, None)
        raise DialFailed("; ".join(reasons) or f"the name {self._peer} has no address")

    async def _connect(self, host: str, port: int) -> DialledSocket:
        context = self._tls.dial if self._tls is not None else None
        url = URL.build(scheme="https" if context else "http", host=host, port=port, path=LINK_PATH, query=self._query)
        timeout = aiohttp.ClientWSTimeout(ws_close=self._settings.close_timeout_s)
        dialled = await self._session.ws_connect(
            url, timeout=timeout, autoping=False, compress=0, max_msg_size=ANSWER_BYTES_MAX, ssl=context or False
        )
        if not isinstance(dialled, DialledSocket):
            raise TypeError("the client session must make DialledSocket objects")
        doubt = self._tls.doubt(self._peer, dialled.transport) if self._tls is not None else ""
        if doubt:
            dialled.abort()
            raise ValueError(doubt)
        return dialled


async def _knock(host: str, port: int) -> None:
    """A connection, and its end. Raises OSError where there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as knocking:
        knocking.setblocking(False)
        await asyncio.get_running_loop().sock_connect(knocking, (host, port))


def _dial_reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return REFUSED
    if isinstance(error, aiohttp.WSServerHandshakeError):
        said = error.headers.get(REFUSAL_HEADER, "")[:REFUSAL_CHARS_MAX] if error.headers else ""
        sentence = f"the peer's port answered HTTP {error.status} instead of opening a link"
        return f"{sentence}: {said}" if said.isprintable() and said else sentence
    tls = _tls_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return f"the dial failed: the peer's certificate is of no use here ({tls.verify_message})"
    if tls is not None:
        words = (tls.reason or "unknown").lower().replace("_", " ")
        whose = "the peer refuses this node's certificate" if "alert" in words else "no handshake of TLS"
        return f"the dial failed: {whose} ({words})"
    return f"the dial failed: {error}"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What is behind an error of aiohttp's."""
    while error is not None and (isinstance(error, aiohttp.ClientError) or not isinstance(error, ssl.SSLError)):
        error = error.__cause__
    return error
