"""The real carrier with mutual TLS keeps every promise of the port: who is refused, gone, lost or says goodbye."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import trustme

from node.tls.alerts import TellingContext
from node.tls.counts import TlsCounts
from node.tls.doorway import Doorway, OneATurn
from node.tls.files import TlsFiles
from node.tls.peers import PeerTls
from node.tls.renewal import Renewing
from node.transport.dialling import Dialler
from node.transport.framework import DialledSocket
from tests.conformance.carrier_suite import CarrierSuite, both_up
from tests.conformance.test_carrier_websocket import WebSocketHarness
from tests.tls.certificates import Mounted, now


class TlsHarness(WebSocketHarness):
    """Each node proves its name; all are at one host, which proves nothing."""

    def __init__(self, unused_port: int, folder: Path) -> None:
        super().__init__(unused_port)
        self._folder = folder
        self._ca = trustme.CA()
        self.counts: dict[str, TlsCounts] = {}

    def _tls(self, name: str) -> PeerTls:
        mounted = Mounted(self._folder / name)
        if name not in self.counts:
            mounted.put(name, "127.0.0.1", by=self._ca)
        counts = self.counts[name] = TlsCounts(lambda _kind, _detail: None, asyncio.get_running_loop().time)
        files = TlsFiles(mounted.cert, mounted.key, mounted.ca)
        renewing = Renewing("peer", files, counts, lambda: now().timestamp(), dials=True)
        door = Doorway("peer", "tls", renewing, counts, OneATurn())
        return PeerTls(door, renewing, counts, lambda: dict.fromkeys("abc", "127.0.0.1"), dials=True)


LANE: ContextVar[str] = ContextVar("LANE", default="control")


def _lanes_in_hellos(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay between nodes must know which lane it carries, and sees nothing of it but the first piece of TLS: the
    lane is put there as the name of the server, which nobody else looks at."""
    connect, wrap_bio = Dialler._connect, TellingContext.wrap_bio

    async def connecting(self: Dialler, host: str, port: int) -> DialledSocket:
        LANE.set(self._query["lane"])
        return await connect(self, host, port)

    def wrapped(self: TellingContext, *bios: Any, **options: Any) -> ssl.SSLObject:
        if not options.get("server_side"):
            options["server_hostname"] = f"{LANE.get()}.lane"
        return wrap_bio(self, *bios, **options)

    monkeypatch.setattr(Dialler, "_connect", connecting)
    monkeypatch.setattr(TellingContext, "wrap_bio", wrapped)


class TestTlsCarrier(CarrierSuite):
    @pytest.fixture
    async def harness(
        self, unused_tcp_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[TlsHarness]:
        _lanes_in_hellos(monkeypatch)
        harness = TlsHarness(unused_tcp_port, tmp_path)
        yield harness
        await harness.close()
        assert all(not counts.refused.get(("peer", "name")) for counts in harness.counts.values())

    async def test_all_links_are_of_tls(self, harness: TlsHarness) -> None:
        await both_up(harness)
        for name in ("a", "b"):
            handshakes = harness.counts[name].handshakes
            assert (list(handshakes), handshakes["peer"] >= 2) == (["peer"], True)
