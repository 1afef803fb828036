"""The real carrier keeps the promises of the carrier port, on loopback sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from node.raft.messages import Lane
from node.tls.peers import PeerTls
from node.transport.port import Carrier, Receiver
from node.transport.settings import LinkSettings
from node.transport.websocket import WebSocketCarrier
from tests.conformance.carrier_suite import (
    FRAME_BYTES_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_FRAMES_MAX,
    SILENCE_S,
    CarrierSuite,
    Record,
)
from tests.conformance.loopback_proxy import Relay

NAMES = ("a", "b")
"""The peers that each begins with."""
ALL = ("a", "b", "c")
WAIT_S = 10.0
SETTINGS = LinkSettings(
    dial_timeout_s=0.3,
    redial_min_s=0.01,
    redial_max_s=0.1,
    ping_interval_s=0.1,
    pong_timeout_s=SILENCE_S,
    handshake_timeout_s=10 * WAIT_S,  # links of the suite say no hello; those that say none are in tests/transport
    frame_bytes_max=FRAME_BYTES_MAX,
    queue_frames_max=QUEUE_FRAMES_MAX,
    queue_bytes_max=QUEUE_BYTES_MAX,
)


class Addresses:
    """The resolver of one node: each other is reached through a relay, whose port changes with every start.
    It answers once all that start together listen, so that no dial is refused by accident."""

    def __init__(
        self, relays: dict[tuple[str, str], Relay], source: str, unused_port: int, ready: asyncio.Event
    ) -> None:
        self._relays = relays
        self._source = source
        self._unused_port = unused_port
        self._ready = ready

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        await self._ready.wait()
        relay = self._relays.get((self._source, name))
        return [("127.0.0.1", relay.port if relay is not None else self._unused_port)]


class WebSocketHarness:
    def __init__(self, unused_port: int) -> None:
        self._unused_port = unused_port
        self._carriers: dict[str, WebSocketCarrier] = {}
        self._records: dict[str, Record] = {}
        self._relays: dict[tuple[str, str], Relay] = {}
        self._old_relays: list[Relay] = []
        self._changed = asyncio.Event()

    async def start(self, *names: str) -> None:
        ready = asyncio.Event()
        for name in names:
            self._records[name] = Record(self._changed.set)
            self._carriers[name] = WebSocketCarrier(
                name=name,
                peers=NAMES,
                host="127.0.0.1",
                port=0,
                resolver=Addresses(self._relays, name, self._unused_port, ready),
                receiver=self._receiver(name),
                chance=Random(1),
                settings=SETTINGS,
                tls=self._tls(name),
            )
            await self._carriers[name].start()
            for source in ALL:
                relay = Relay(self._carriers[name].bound_port)
                await relay.start()
                self._old_relays.append(relay)
                self._relays[source, name] = relay
        ready.set()

    def _tls(self, name: str) -> PeerTls | None:
        """How it speaks TLS; none here."""
        return None

    def _receiver(self, name: str) -> Receiver:
        """Whom the carrier tells; a wrapper puts itself here."""
        return self._records[name]

    async def kill(self, name: str) -> None:
        for pair, relay in self._relays.items():
            if name in pair:
                relay.lose_connections()
        self._close_port_of(name)
        await self._carriers.pop(name).close()

    async def leave(self, name: str) -> None:
        carrier = self._carriers.pop(name)
        self._close_port_of(name)
        await carrier.close()

    def close_port(self, name: str) -> None:
        self._close_port_of(name)
        for (_, target), relay in self._relays.items():
            if target == name:
                relay.lose_connections()

    def _close_port_of(self, name: str) -> None:
        for (_, target), relay in self._relays.items():
            if target == name:
                relay.stop_listening()

    async def close(self) -> None:
        for carrier in self._carriers.values():
            await carrier.close()
        for relay in self._old_relays:
            await relay.close()

    def carrier(self, name: str) -> Carrier:
        return self._carriers[name]

    def heard(self, name: str) -> Record:
        return self._records[name]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"never happened: {what}")

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cut(self, source: str, target: str) -> None:
        for lane in Lane:
            self.stall(source, target, lane)

    def heal(self, source: str, target: str) -> None:
        for lane in Lane:
            self.release(source, target, lane)

    def stall(self, source: str, target: str, lane: Lane) -> None:
        self._relays[source, target].hold(lane)

    def release(self, source: str, target: str, lane: Lane) -> None:
        self._relays[source, target].let_go(lane)


class TestWebSocketCarrier(CarrierSuite):
    @pytest.fixture
    async def harness(self, unused_tcp_port: int) -> AsyncIterator[WebSocketHarness]:
        harness = WebSocketHarness(unused_tcp_port)
        yield harness
        await harness.close()
