"""TLS of one node, put together from its settings: what clients meet, what peers meet, and what renews it.

Why it exists: app.py has the order of start and end, and the rooms that listen do not know `Settings`. It may know
every concrete class and must not decide anything.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from node.access.tokens import TokenFile
from node.api.gate import Gate
from node.observe.trace import Trace
from node.settings import Settings
from node.tls.counts import TlsCounts
from node.tls.doorway import Doorway, OneATurn
from node.tls.files import CLIENT_PROTOCOLS, TlsFiles
from node.tls.peers import PORT as PEER
from node.tls.peers import PeerTls
from node.tls.renewal import Looked, Renewing, Watcher
from node.transport.settings import LinkSettings

CLIENT = "client"
OPERATIONS = "operations"


class Secured(NamedTuple):
    """`clients`, `operations` None: they speak plain text alone. `peers` is told where members are reached; None:
    no TLS at all."""

    counts: TlsCounts
    clients: Doorway | None
    operations: Doorway | None
    peers: "Callable[[Callable[[], Mapping[str, str]]], PeerTls] | None"
    watcher: Watcher


def secure(
    settings: Settings, trace: Trace, gate: Gate, wall_us: Callable[[], int], tokens: TokenFile | None
) -> Secured:
    """Read the files; nothing listens and nothing watches yet. `tokens` are looked at, too. Raises TlsError."""
    loop = asyncio.get_running_loop()

    def tell(kind: str, detail: dict[str, str | int | bool]) -> None:
        trace.transition(kind, trace.term, trace.role, detail)

    def wall_s() -> float:
        return wall_us() / 1e6

    counts = TlsCounts(tell, loop.time)
    watched: list[Looked] = [] if tokens is None else [tokens]
    clients = None
    if settings.tls_accept != "plain":
        files = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        renewing = Renewing(CLIENT, files, counts, wall_s, protocols=CLIENT_PROTOCOLS)
        watched.append(renewing)
        clients = Doorway(CLIENT, settings.tls_accept, renewing, counts, gate.handshake)
    operations = None
    if settings.operations_port and settings.operations_tls != "plain":
        files = TlsFiles(settings.tls_cert, settings.tls_key)  # whoever scrapes or probes has no certificate to show
        shown = Renewing(OPERATIONS, files, counts, wall_s, protocols=CLIENT_PROTOCOLS[:1])
        watched.append(shown)
        operations = Doorway(OPERATIONS, settings.operations_tls, shown, counts, gate.handshake)
    peers = None
    if settings.peer_tls_accept != "plain" or settings.peer_tls_dial != "plain":
        files = TlsFiles(settings.peer_tls_cert, settings.peer_tls_key, settings.peer_tls_ca)
        between = Renewing(PEER, files, counts, wall_s, dials=True)
        watched.append(between)
        limits = LinkSettings()
        doorway = Doorway(
            PEER,
            settings.peer_tls_accept,
            between,
            counts,
            OneATurn(),
            coming_max=limits.half_open_max,
            seconds_max=limits.handshake_timeout_s,
        )

        def peers(hosts: Callable[[], Mapping[str, str]]) -> PeerTls:
            return PeerTls(doorway, between, counts, hosts, dials=settings.peer_tls_dial == "tls")

    return Secured(counts, clients, operations, peers, Watcher(watched, loop))
