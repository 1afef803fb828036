"""An MPI world with a network in front of it that a test can cut and stall; and one carrier in one rank behind it.

Why it exists: MPI itself cannot be cut. What a rank says to another is dropped or held here before MPI has it, and
nothing else is different from what a node runs.
"""

import asyncio
from collections.abc import Callable
from random import Random

from node.raft.messages import Lane
from node.transport.mpi.carrier import MpiCarrier, Nobody
from node.transport.mpi.words import BY_DIALLER, heard
from node.transport.mpi.world import SENDS_MAX, Hearer, MpiWorld
from node.transport.port import Receiver
from node.transport.settings import LinkSettings
from tests.conformance.carrier_suite import FRAME_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX, SILENCE_S

RANKS = {"a": 0, "b": 1, "c": 2}
PEERS = ("a", "b")
SETTINGS = LinkSettings(
    dial_timeout_s=0.3,
    redial_min_s=0.01,
    redial_max_s=0.1,
    ping_interval_s=0.1,
    pong_timeout_s=SILENCE_S,
    frame_bytes_max=FRAME_BYTES_MAX,
    queue_frames_max=QUEUE_FRAMES_MAX,
    queue_bytes_max=QUEUE_BYTES_MAX,
)


class HeldWorld:
    """What this rank dialled and says there may be cut, or held; answers to others pass, as through a relay."""

    def __init__(self, world: MpiWorld) -> None:
        self._world = world
        self._cut: set[int] = set()
        self._stalled: set[tuple[int, Lane]] = set()
        self._waits = False
        self._held: list[tuple[int, Lane, bytes]] = []

    def attach(self, loop: asyncio.AbstractEventLoop, hearer: Hearer) -> None:
        self._world.attach(loop, hearer)

    def post(self, rank: int, lane: Lane, message: bytes) -> bool:
        word = heard(message)
        if word is None or word.kind not in BY_DIALLER:
            return self._world.post(rank, lane, message)
        if rank in self._cut:
            return True
        if self._waits or (rank, lane) in self._stalled:
            self._held.append((rank, lane, message))
            return True
        return self._world.post(rank, lane, message)

    def room(self, rank: int, lane: Lane) -> bool:
        if (rank, lane) in self._stalled:
            return [held[:2] for held in self._held].count((rank, lane)) < SENDS_MAX
        return self._world.room(rank, lane)

    def taken(self, rank: int, lane: Lane) -> int:
        return self._world.taken(rank, lane)

    def wait(self, on: bool) -> None:
        """Nothing leaves until those that start together have all started."""
        self._waits = on
        self._let_go()

    def cut(self, rank: int, on: bool) -> None:
        (self._cut.add if on else self._cut.discard)(rank)

    def stall(self, rank: int, lane: Lane, on: bool) -> None:
        (self._stalled.add if on else self._stalled.discard)((rank, lane))
        self._let_go()

    def clear(self) -> None:
        self._cut.clear()
        self._stalled.clear()
        self._held.clear()

    def _let_go(self) -> None:
        if self._waits:
            return
        held, self._held = self._held, []
        for rank, lane, message in held:
            self.post(rank, lane, message)


class Rank:
    """The carriers of one rank, one after the other."""

    def __init__(self, name: str, world: MpiWorld) -> None:
        self.name = name
        self.world = world
        self.held = HeldWorld(world)
        self.carrier: MpiCarrier | None = None
        self._life = 0

    async def start(self, receiver: Receiver) -> MpiCarrier:
        self._life += 1
        self.carrier = MpiCarrier(
            name=self.name,
            peers=PEERS,
            ranks=RANKS,
            world=self.held,
            receiver=receiver,
            chance=Random(1),
            settings=SETTINGS,
            life=self._life,
        )
        self.held.wait(True)
        await self.carrier.start()
        await asyncio.sleep(0)  # the dials begin, and are held
        return self.carrier

    def kill(self) -> None:
        if self.carrier is not None:
            self.carrier.abandon()
        self.carrier = None

    async def leave(self) -> None:
        assert self.carrier is not None
        await self.carrier.close()
        self.carrier = None

    async def quiet(self) -> None:
        """Nobody listens, and nothing of before is on its way from here."""
        self.kill()
        self.held.wait(False)
        self.held.clear()
        self.world.attach(asyncio.get_running_loop(), Nobody(self.world))
        await until_so(lambda: self.world.quiet)


async def until_so(holds: Callable[[], bool]) -> None:
    """MPI has no event for this."""
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("words are on their way for ever")
