"""The links of a lab: carried, cut both ways or one way, healed, and healed by themselves; other links go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from chaos.lab.links import Links
from chaos.listeners import listen_no_more
from tests.ports import free_base_port

NAMES = {"a1": "n1", "a2": "n2", "a3": "n3"}


class Dialer:
    """A connection that says whose it is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def say(self, text: str) -> str:
        """The echo; empty: none came."""
        try:
            self.writer.write(text.encode())
            async with asyncio.timeout(0.5):
                return (await self._reader.read(1000)).decode()
        except (TimeoutError, ConnectionError):
            return ""

    async def is_closed(self) -> bool:
        try:
            async with asyncio.timeout(2.0):
                return not await self._reader.read(1000)
        except ConnectionError:
            return True
        except TimeoutError:
            return False


class World:
    """Three nodes that say what they hear, and the links before them."""

    def __init__(self) -> None:
        base = free_base_port(13)  # all of them free, and none that the system gives to whoever dials
        self.behind = {name: base + number for number, name in enumerate(("n1", "n2", "n3"))}
        self.before = {name: port + 10 for name, port in self.behind.items()}
        self.links = Links(self.behind, NAMES)
        self._servers: list[asyncio.Server] = []
        self._open: list[Dialer] = []
        self.heard = dict.fromkeys(self.behind, "")
        """What reached each node."""
        self._echoing: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        for node, port in self.behind.items():
            self._servers.append(await asyncio.start_server(self._echo, "127.0.0.1", port))
            await self.links.listen(node, self.before[node])

    async def end(self) -> None:
        for one in self._open:
            one.writer.transport.abort()
        await self.links.end()
        await listen_no_more(*self._servers)
        for writer in list(self._echoing):
            writer.transport.abort()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def dial(self, who: str, node: str) -> Dialer:
        made = Dialer(*await asyncio.open_connection("127.0.0.1", self.before[node]))
        self._open.append(made)
        number = next(number for number, name in NAMES.items() if name == who)
        await made.say(f"GET /raft/stream HTTP/1.1\r\nX-Server-From: {number}\r\n\r\n")
        return made

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._echoing.add(writer)
        with contextlib.suppress(ConnectionError):
            node = next(name for name, port in self.behind.items() if port == writer.get_extra_info("sockname")[1])
            while piece := await reader.read(1000):
                self.heard[node] += piece.decode()
                writer.write(piece)
        writer.close()

    async def carries(self, who: str, node: str) -> bool:
        return await (await self.dial(who, node)).say("hello") == "hello"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.start()
    try:
        yield made
    finally:
        await made.end()


async def test_a_cut_both_ways_closes_what_is_open_and_what_is_dialled_and_nothing_else(world: World) -> None:
    there, back, other = await world.dial("n1", "n2"), await world.dial("n2", "n1"), await world.dial("n1", "n3")
    world.links.cut("n1", "n2", ("out", "in"), 60.0)
    assert await there.is_closed()
    assert await back.is_closed()
    assert await other.say("still here") == "still here"
    assert not await world.carries("n1", "n2")
    assert not await world.carries("n2", "n1")
    assert await world.carries("n3", "n2")
    assert [(peer, way) for peer, way, _ in world.links.cuts_of("n1")] == [("n2", "out"), ("n2", "in")]
    world.links.heal("n1", "n2", ("out", "in"))
    assert await world.carries("n1", "n2")
    assert await world.carries("n2", "n1")


async def test_what_both_ends_cut_is_carried_once_both_have_healed_it(world: World) -> None:
    for node, peer in (("n1", "n2"), ("n2", "n1")):
        world.links.cut(node, peer, ("out", "in"), 60.0)
    world.links.heal("n1", "n2", ("out", "in"))
    assert not await world.carries("n1", "n2")
    world.links.heal("n2", "n1", ("out", "in"))
    assert await world.carries("n1", "n2")


async def test_a_cut_one_way_swallows_that_way_and_the_torn_connection_ends_when_it_is_healed(world: World) -> None:
    there, back = await world.dial("n1", "n2"), await world.dial("n2", "n1")
    world.links.cut("n1", "n2", ("out",), 60.0)
    assert await there.say("lost") == ""
    await back.say("this way is open")
    assert "this way is open" in world.heard["n1"]
    assert "lost" not in world.heard["n2"]
    world.links.heal("n1", "n2", ("out",))
    assert await there.say("after") == ""
    assert await there.is_closed()
    assert await world.carries("n1", "n2")


async def test_a_member_that_cannot_say_anything_may_ask_to_hear(world: World) -> None:
    """An etcd dials to be told: what comes back over that connection is not what it says itself."""
    world.links.cut("n1", "n2", ("out",), 60.0)
    asking = Dialer(*await asyncio.open_connection("127.0.0.1", world.before["n2"]))
    assert await asking.say("GET /raft/stream/msgapp/bb HTTP/1.1\r\nX-Server-From: a1\r\n\r\n") != ""
    assert await asking.say("anything else") == ""
    asking.writer.close()


async def test_a_cut_ends_by_itself(world: World) -> None:
    world.links.cut("n1", "n2", ("out", "in"), 0.2)
    assert not await world.carries("n1", "n2")
    async with asyncio.timeout(5.0):
        while world.links.cuts_of("n1"):  # noqa: ASYNC110 - that is the event
            await asyncio.sleep(0.02)
    assert await world.carries("n1", "n2")


async def test_who_does_not_say_its_name_gets_nowhere_near_a_cut(world: World) -> None:
    world.links.cut("n1", "n2", ("out", "in"), 60.0)
    for node, answer in (("n2", ""), ("n3", "GET /raft/probing")):
        stranger = Dialer(*await asyncio.open_connection("127.0.0.1", world.before[node]))
        assert await stranger.say("GET /raft/probing") == answer
        stranger.writer.close()


async def test_a_reset_closes_connections_and_new_ones_are_carried(world: World) -> None:
    there = await world.dial("n1", "n2")
    world.links.reset("n2", "n1")
    assert await there.is_closed()
    assert await world.carries("n1", "n2")
