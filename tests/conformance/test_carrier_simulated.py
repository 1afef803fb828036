"""The simulated network keeps the promises of the carrier port."""

import heapq
from collections.abc import Callable
from random import Random

import pytest

from node.simulation.network import SimNetwork
from node.simulation.weather import NetworkLimits
from node.transport.port import Carrier
from tests.conformance.carrier_suite import (
    FRAME_BYTES_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_FRAMES_MAX,
    SILENCE_S,
    CarrierSuite,
    Record,
)

NAMES = ("a", "b")
WAIT_US = 20_000_000


class VirtualTime:
    """A heap of callbacks."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> int:
        return self.now_us

    def schedule(self, at_us: int, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(at_us, self.now_us), self._count, callback))

    def step(self, until_us: int) -> bool:
        """Run the next callback that is due by `until_us`; False where there is none, and it is `until_us` then."""
        if not self._heap or self._heap[0][0] > until_us:
            self.now_us = max(self.now_us, until_us)
            return False
        self.now_us, _, callback = heapq.heappop(self._heap)
        callback()
        return True


class SimulatedHarness:
    def __init__(self, seed: int) -> None:
        self.time = VirtualTime()
        self.network = SimNetwork(
            schedule=self.time.schedule,
            now=self.time.now,
            chance=Random(seed),
            limits=NetworkLimits(
                dial_timeout_us=300_000,
                redial_min_us=10_000,
                redial_max_us=100_000,
                silence_us=int(SILENCE_S * 1_000_000),
                frame_bytes_max=FRAME_BYTES_MAX,
                queue_frames_max=QUEUE_FRAMES_MAX,
                queue_bytes_max=QUEUE_BYTES_MAX,
            ),
        )
        self.carriers: dict[str, Carrier] = {}
        self.records: dict[str, Record] = {}
        self.cut = self.network.cut
        self.heal = self.network.heal
        self.stall = self.network.stall
        self.release = self.network.release

    async def start(self, *names: str) -> None:
        for name in names:
            self.records[name] = Record(lambda: None)
            self.carriers[name] = self.network.endpoint(name, NAMES, self.records[name])

    async def kill(self, name: str) -> None:
        self.network.crash(name)

    async def leave(self, name: str) -> None:
        self.network.leave(name)

    def close_port(self, name: str) -> None:
        self.network.close_port(name)
        self.network.break_inbound(name)

    def carrier(self, name: str) -> Carrier:
        return self.carriers[name]

    def heard(self, name: str) -> Record:
        return self.records[name]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        end_us = self.time.now_us + WAIT_US
        while not condition():
            assert self.time.step(end_us), f"never happened: {what}"

    async def pass_time(self, seconds: float) -> None:
        end_us = self.time.now_us + int(seconds * 1_000_000)
        while self.time.step(end_us):
            pass


class TestSimulatedCarrier(CarrierSuite):
    @pytest.fixture(params=range(3))
    def harness(self, request: pytest.FixtureRequest) -> SimulatedHarness:
        return SimulatedHarness(seed=request.param)
