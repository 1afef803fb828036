"""A change of members reaches look-ups, links and commands together: real links on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from node.discovery.static import StaticDiscovery
from node.network import PeerNetwork
from node.raft.messages import Lane
from node.raft.types import Configuration, Member, MemberAddress
from node.runtime.commanding import Commander, Looks
from node.runtime.membership import Membership
from node.runtime.ports import PeerView, Status
from node.runtime.views import Views
from node.transport.websocket import WebSocketCarrier
from tests.conformance.carrier_suite import Record
from tests.observe.status import node_status

WAIT_S = 10.0


class Node:
    """One end: membership, discovery, carrier and the network that joins them."""

    def __init__(self, name: str, seeds: dict[str, int]) -> None:
        self.name = name
        self._changed = asyncio.Event()
        self.record = Record(self._changed.set)
        self.membership = Membership(name, [MemberAddress(seed, "127.0.0.1", port) for seed, port in seeds.items()])
        self.discovery = StaticDiscovery(self.membership.addresses())
        self.carrier = WebSocketCarrier(
            name=name,
            peers=self.membership.peers,
            host="127.0.0.1",
            port=0,
            resolver=self.discovery,
            receiver=self.record,
            chance=Random(1),
        )
        self.network = PeerNetwork(self.membership, self.discovery, self.carrier, self.carrier)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def linked(self, peer: str) -> bool:
        return all(self.carrier.outbound_up(peer, lane) for lane in Lane)

    async def close(self) -> None:
        await self.carrier.close()
        await self.discovery.close()


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[Node, Node]]:
    """n1, which knows itself alone, and n4, which waits for n1's links."""
    n1, n4 = Node("n1", {"n1": 1}), Node("n4", {"n1": 1})
    for node in (n1, n4):
        await node.carrier.start()
    yield n1, n4
    for node in (n1, n4):
        await node.close()


def members(*names: str, **ports: int) -> Configuration:
    voters = tuple(Member(name, f"{name}-disk") for name in names)
    addresses = tuple(MemberAddress(name, "127.0.0.1", port, f"http://{name}") for name, port in ports.items())
    return Configuration(voters, addresses=addresses)


async def test_a_member_that_the_configuration_names_is_found_and_linked_and_one_that_it_drops_is_not(
    nodes: tuple[Node, Node],
) -> None:
    n1, n4 = nodes
    n1.membership.adopt(members("n1", "n4", n4=n4.carrier.bound_port))
    await n1.until(lambda: n1.linked("n4"))
    assert n1.network.addresses()["n4"].port == n4.carrier.bound_port
    await n4.until(lambda: len(n4.record.inbound) == len(Lane))
    n1.membership.adopt(members("n1"))
    assert not n1.linked("n4")
    assert "n4" not in n1.network.addresses()
    await n4.until(lambda: [up for _, _, up, _ in n4.record.inbound].count(False) == len(Lane))


async def test_a_member_whose_address_nobody_says_is_told_and_is_linked_once_somebody_does(
    nodes: tuple[Node, Node],
) -> None:
    n1, n4 = nodes
    n1.membership.adopt(members("n1", "n4"))
    await n1.until(lambda: bool(n1.record.reasons("n4", Lane.BULK)))
    assert n1.record.reasons("n4", Lane.BULK) == ["n4 is not in the list of nodes (n1)"]
    n1.membership.adopt(members("n1", "n4", n4=n4.carrier.bound_port))
    await n1.until(lambda: n1.linked("n4"))


class _Looks(Looks):
    """A shell that shows one status and the views that follow the membership."""

    def __init__(self, membership: Membership) -> None:
        self._views = Views("n1", membership)

    def status(self) -> Status:
        return node_status(links_up=())

    def views(self) -> tuple[PeerView, ...]:
        return self._views.all(self.status(), 0)

    def timers_us(self) -> dict[str, int]:
        return {}

    def loop_age_us(self) -> int:
        return 0

    def tell_everyone(self, answer: bool) -> None:
        return

    def backup_done(self) -> None:
        return


async def test_commands_know_the_members_of_now(nodes: tuple[Node, Node]) -> None:
    n1, _ = nodes
    commander = Commander("n1", n1.membership, _Looks(n1.membership), n1.network, None)
    assert commander.plan("reset_links", {"peer": "n4"}).outcome.message == "n4 is no peer of n1; there are none"
    n1.membership.adopt(members("n1", "n4", n4=9))
    assert commander.plan("reset_links", {"peer": "n4"}).outcome.code == "ok"
    assert commander.plan("sync_known_nodes", {}).outcome.data["dialled"] == ["n4"]
    shown = commander.plan("show_known_nodes", {}).outcome.data["nodes"]
    assert [(row["name"], row["port"], row["client_url"]) for row in shown] == [
        ("n1", 1, "http://127.0.0.1:8001"), ("n4", 9, "http://n4"),
    ]  # fmt: skip
