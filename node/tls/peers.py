"""TLS between nodes: how links are accepted and dialled, and whether a certificate proves the name of a peer.

Why it exists: the carrier needs all of it together, and both directions of a link follow one rule. It must not know
what a link carries.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping

from node.tls.counts import TlsCounts
from node.tls.doorway import Doorway
from node.tls.names import proof_of, proves, told
from node.tls.renewal import Renewing

PORT = "peer"


class PeerTls:
    """`hosts`: where each member is reached, by name, as settings and configuration say now. `dials`: whether peers are
    dialled with TLS."""

    def __init__(
        self,
        doorway: Doorway,
        renewing: Renewing,
        counts: TlsCounts,
        hosts: Callable[[], Mapping[str, str]],
        *,
        dials: bool,
    ) -> None:
        self.doorway = doorway
        self._renewing, self._counts, self._hosts, self._dials = renewing, counts, hosts, dials

    @property
    def dial(self) -> ssl.SSLContext | None:
        """What a link is dialled with now; None: plain."""
        return self._renewing.now.dial if self._dials else None

    def doubt(self, name: str, transport: asyncio.BaseTransport) -> str:
        """Why the other side's certificate does not prove that name, in a sentence; empty: it does. Whoever speaks no
        TLS shows none, and whether it may come at all was asked before."""
        if transport.get_extra_info("sslcontext") is None:
            return ""
        certificate = transport.get_extra_info("peercert")
        if proves(certificate, proof_of(name, self._hosts())):
            return ""
        return f"the certificate of who says it is {name} proves {told(certificate)}"

    def refused(self, doubt: str) -> None:
        """A link was refused for that."""
        self._counts.refuse(PORT, "name", doubt)
