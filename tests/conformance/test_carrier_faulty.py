"""The fault-injecting wrapper, with no fault active, keeps every promise of the carrier that it wraps."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from node.transport.faulty import FaultyCarrier
from node.transport.port import Carrier, Receiver
from tests.conformance.carrier_suite import CarrierSuite
from tests.conformance.test_carrier_websocket import NAMES, WebSocketHarness


class FaultyHarness(WebSocketHarness):
    """Every carrier in its wrapper, on both sides."""

    def __init__(self, unused_port: int) -> None:
        super().__init__(unused_port)
        self._wrappers: dict[str, FaultyCarrier] = {}

    def _receiver(self, name: str) -> Receiver:
        loop = asyncio.get_running_loop()
        self._wrappers[name] = FaultyCarrier(super()._receiver(name), NAMES, Random(1), loop, lambda *_: None)
        return self._wrappers[name]

    def carrier(self, name: str) -> Carrier:
        self._wrappers[name].attach(super().carrier(name))
        return self._wrappers[name]


class TestFaultyCarrier(CarrierSuite):
    @pytest.fixture
    async def harness(self, unused_tcp_port: int) -> AsyncIterator[FaultyHarness]:
        harness = FaultyHarness(unused_tcp_port)
        yield harness
        await harness.close()
