"""The carrier's suite, run by rank 0 of an MPI world: a is here, b and c in ranks of their own. See mpi_ranks.py."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from node.raft.messages import Lane
from node.transport.mpi.carrier import Nobody
from node.transport.port import Carrier
from tests.conformance.carrier_suite import CarrierSuite, Record
from tests.conformance.mpi_ranks import CALL_BYTES, SOCKETS, WORLD, packed
from tests.conformance.mpi_wire import RANKS, Rank

WAIT_S = 20.0


class FarRecord(Record):
    """What was heard in another rank."""

    def __init__(self, notify: Callable[[], None], far: "Far") -> None:
        self._far = far
        super().__init__(notify)

    @property
    def answer(self) -> str | None:
        return None

    @answer.setter
    def answer(self, value: str | None) -> None:
        if value is not None:
            self._far.call("answer", value)


class Far:
    """A carrier in another rank. A call waits for its answer, and what was heard there before is told first."""

    def __init__(self, link: socket.socket, notify: Callable[[], None]) -> None:
        self._link = link
        self._notify = notify
        self._buffer = b""
        self._answers: list[Any] = []
        self.record = FarRecord(notify, self)
        link.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(link, self._pump)

    def close(self) -> None:
        self._loop.remove_reader(self._link)

    def call(self, what: str, *words: Any) -> Any:
        self._link.setblocking(True)
        try:
            self._link.sendall(packed([what, *words]))
            while not self._answers:
                self._take(self._link.recv(1 << 20))
        finally:
            self._link.setblocking(False)
        return self._answers.pop()

    def _pump(self) -> None:
        try:
            self._take(self._link.recv(1 << 20))
        except BlockingIOError:
            return

    def _take(self, data: bytes) -> None:
        assert data, "the other rank is gone"
        self._buffer += data
        while len(self._buffer) >= CALL_BYTES:
            end = CALL_BYTES + int.from_bytes(self._buffer[:CALL_BYTES])
            if len(self._buffer) < end:
                return
            kind, *words = msgspec.msgpack.decode(self._buffer[CALL_BYTES:end])
            self._buffer = self._buffer[end:]
            if kind == "answer":
                self._answers.append(words[0])
            elif kind == "frame":
                self.record.on_frame(words[0], Lane(words[1]), words[2])
            else:
                tell = self.record.on_outbound if kind == "out" else self.record.on_inbound
                tell(words[0], Lane(words[1]), words[2], words[3])

    # --- Carrier ------------------------------------------------------------------------------------------------

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        return bool(self.call("send", peer, lane.value, frame))

    def flush(self) -> None:
        self.call("flush")

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        return bool(self.call("outbound_up", peer, lane.value))

    def reset(self, peer: str | None = None) -> None:
        self.call("reset", peer)

    def set_peers(self, peers: tuple[str, ...]) -> None:
        self.call("set_peers", peers)


class MpiHarness:
    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._here = Rank("a", WORLD[0])
        WORLD[0].attach(asyncio.get_running_loop(), Nobody(WORLD[0]))
        self._record = Record(self._changed.set)
        self._far = dict(zip("bc", (Far(link, self._changed.set) for link in SOCKETS), strict=True))

    async def start(self, *names: str) -> None:
        for name in names:
            if name == "a":
                self._record = Record(self._changed.set)
                await self._here.start(self._record)
            else:
                self._far[name].record = FarRecord(self._changed.set, self._far[name])
                self._far[name].call("start")
        for name in names:
            if name == "a":
                self._here.held.wait(False)
            else:
                self._far[name].call("wait", False)

    async def kill(self, name: str) -> None:
        if name == "a":
            self._here.kill()
        else:
            self._far[name].call("kill")

    async def leave(self, name: str) -> None:
        if name == "a":
            await self._here.leave()
        else:
            self._far[name].call("leave")

    def close_port(self, name: str) -> None:
        self._far[name].call("close_port")

    def carrier(self, name: str) -> Carrier:
        if name == "a":
            assert self._here.carrier is not None
            return self._here.carrier
        return self._far[name]

    def heard(self, name: str) -> Record:
        return self._record if name == "a" else self._far[name].record

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                self._changed.clear()  # before: to look is a call, within which things are heard
                while not condition():
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            pytest.fail(f"never happened: {what}")

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cut(self, source: str, target: str) -> None:
        self._fault(source, "cut", RANKS[target], True)

    def heal(self, source: str, target: str) -> None:
        self._fault(source, "cut", RANKS[target], False)

    def stall(self, source: str, target: str, lane: Lane) -> None:
        self._stall(source, target, lane, True)

    def release(self, source: str, target: str, lane: Lane) -> None:
        self._stall(source, target, lane, False)

    def _stall(self, source: str, target: str, lane: Lane, on: bool) -> None:
        if source == "a":
            self._here.held.stall(RANKS[target], lane, on)
        else:
            self._far[source].call("stall", RANKS[target], lane.value, on)

    def _fault(self, source: str, what: str, *words: Any) -> None:
        if source == "a":
            getattr(self._here.held, what)(*words)
        else:
            self._far[source].call(what, *words)

    async def close(self) -> None:
        """Twice: what is on its way may be answered."""
        for _ in range(2):
            await self._here.quiet()
            for far in self._far.values():
                far.call("quiet")
        for far in self._far.values():
            far.close()


class TestMpiCarrier(CarrierSuite):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[MpiHarness]:
        harness = MpiHarness()
        yield harness
        await harness.close()
