"""Who is no member is heard and answered all the same, so that it can be let in: real links on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Protocol

import pytest

from node import guests
from node.discovery.static import StaticDiscovery
from node.network import PeerNetwork
from node.raft.messages import Birth, Heartbeat, Lane, Message, Vote
from node.raft.types import Configuration, Member, MemberAddress
from node.runtime.membership import Membership
from node.transport.links import PeerLinks
from node.transport.settings import LinkSettings
from node.transport.websocket import WebSocketCarrier

WAIT_S = 10.0
ASKS = Birth((), b"", answer=True)
SAYS = Birth((), b"", answer=False)


class Node:
    """Everything between the driver and the network."""

    def __init__(self, name: str, cluster_id: str, seeds: dict[str, int], guests_max: int, port: int) -> None:
        self._changed = asyncio.Event()
        self.got: list[tuple[str, Message]] = []
        self.refusals: list[str] = []
        self.membership = Membership(name, [MemberAddress(seed, "127.0.0.1", at) for seed, at in seeds.items()])
        self.discovery = StaticDiscovery(self.membership.addresses())
        self.links = PeerLinks(
            name=name,
            incarnation=f"{name}-disk",
            boot=f"{name}-boot",
            cluster_id=cluster_id,
            deliver=self._deliver,
            on_link=self._on_link,
            address=("127.0.0.1", port),
        )
        self.carrier = WebSocketCarrier(
            name=name,
            peers=self.membership.peers,
            host="127.0.0.1",
            port=port,
            resolver=self.discovery,
            receiver=self.links,
            chance=Random(1),
            settings=LinkSettings(guests_max=guests_max, redial_max_s=0.05),
        )
        self.links.attach(self.carrier)
        self.network = PeerNetwork(
            self.membership,
            self.discovery,
            self.carrier,
            self.carrier,
            guests_max,
            hears=self.links.hears,
            forget=self.links.forget,
        )
        self.links.open_door(self.network)

    def _deliver(self, sender: Member, message: Message) -> None:
        self.got.append((sender.name, message))
        self._changed.set()

    def _on_link(self, peer: str, lane: Lane, direction: str, up: bool, reason: str) -> None:
        self.refusals.append(reason)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        self.network.close()
        await self.carrier.close()
        await self.discovery.close()


class Start(Protocol):
    async def __call__(
        self, name: str, cluster_id: str = "", seeds: tuple[str, ...] = ("n1",), guests_max: int = 16
    ) -> Node: ...


@pytest.fixture
async def start(unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Start]:
    ports: dict[str, int] = {}
    async with AsyncExitStack() as stack:

        async def started(
            name: str, cluster_id: str = "", seeds: tuple[str, ...] = ("n1",), guests_max: int = 16
        ) -> Node:
            port = ports[name] = unused_tcp_port_factory()
            node = Node(name, cluster_id, {seed: ports[seed] for seed in seeds}, guests_max, port)
            await node.carrier.start()
            stack.push_async_callback(node.close)
            return node

        yield started


async def test_who_asks_to_be_let_in_is_heard_and_gets_its_answer(start: Start) -> None:
    n1, n4 = await start("n1", "c1"), await start("n4")
    await n4.until(lambda: n4.links.send("n1", ASKS))
    await n1.until(lambda: ("n4", ASKS) in n1.got)
    await n1.until(lambda: n1.links.send("n4", SAYS))
    await n4.until(lambda: ("n1", SAYS) in n4.got)
    assert n1.membership.peers == ()


async def test_a_leader_that_a_follower_does_not_know_yet_is_answered(start: Start) -> None:
    behind = await start("n1", "c1")
    leader = await start("n5", "c1")
    await leader.until(lambda: leader.links.send("n1", Heartbeat(7, 1)))
    await behind.until(lambda: ("n5", Heartbeat(7, 1)) in behind.got)
    await behind.until(lambda: behind.links.send("n5", SAYS))


async def test_who_is_not_born_may_only_ask(start: Start) -> None:
    n1, n4 = await start("n1", "c1"), await start("n4")
    await n4.until(lambda: n4.links.send("n1", Vote(9, 9, 9)))
    await n4.until(lambda: any("not born" in reason for reason in n4.refusals))
    assert not [message for _, message in n1.got if isinstance(message, Vote)]


async def test_who_is_of_another_cluster_is_not_heard(start: Start) -> None:
    n1 = await start("n1", "c1")
    other = await start("n4", "c2")
    await other.until(lambda: "the peer closed: cluster id c2 is not ours (c1)" in other.refusals)
    assert n1.got == []
    assert n1.refusals == [], "what is told is counted by name, and this name is anybody's word"


async def test_names_of_guests_are_bounded_however_many_come_and_go(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters by name are kept for as long as the process runs."""
    monkeypatch.setattr(guests, "GUEST_NAMES_MAX", 1)
    monkeypatch.setattr(guests, "GUEST_SILENCE_S", 0.05)
    n1 = await start("n1", "c1")
    n4 = await start("n4")
    await n4.until(lambda: n4.links.send("n1", ASKS))
    await n1.until(lambda: bool(n1.got))
    n5 = await start("n5")
    await n5.until(lambda: any("1 names that are no members have come" in reason for reason in n5.refusals))
    assert {name for name, _ in n1.got} == {"n4"}


async def test_guests_are_bounded(start: Start) -> None:
    n1 = await start("n1", "c1", guests_max=1)
    n4 = await start("n4")
    await n4.until(lambda: n4.links.send("n1", ASKS))
    await n1.until(lambda: bool(n1.got))
    n5 = await start("n5")
    await n5.until(lambda: any("n5" not in reason and "no member" in reason for reason in n5.refusals))
    assert {name for name, _ in n1.got} == {"n4"}


async def test_a_guest_that_left_is_forgotten_and_makes_room(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "GUEST_SILENCE_S", 0.05)
    n1 = await start("n1", "c1", guests_max=1)
    n4 = await start("n4")
    await n4.until(lambda: n4.links.send("n1", ASKS))
    await n1.until(lambda: bool(n1.got))
    await n4.carrier.close()
    n5 = await start("n5")
    async with asyncio.timeout(WAIT_S):
        while ("n5", ASKS) not in n1.got:  # what is said on a link that is then refused is lost
            n5.links.send("n1", ASKS)
            await asyncio.sleep(0.01)
    assert "n4" not in n1.links.traffic


async def test_a_member_is_reached_as_it_said_itself_where_nobody_else_says(start: Start) -> None:
    n1, n4 = await start("n1", "c1"), await start("n4")
    await n4.until(lambda: n4.links.send("n1", ASKS))
    await n1.until(lambda: ("n4", ASKS) in n1.got)
    n1.membership.adopt(Configuration((Member("n1", "n1-disk"),), (Member("n4", "n4-disk"),)))
    await n1.until(lambda: n1.links.send("n4", SAYS))
    await n4.until(lambda: ("n1", SAYS) in n4.got)
