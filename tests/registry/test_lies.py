"""What a registry says in bad faith, or lets others say, costs a moment and no node whose address is in the list."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from node.discovery.asking import LOOK_UP_S_MAX
from node.discovery.lookup import Lookup
from node.discovery.port import ResolutionError
from node.discovery.registered import LIST_S_MAX, REGISTERED_S_MAX, RegistryDiscovery
from node.discovery.static import StaticDiscovery
from node.discovery.words import ANSWER_BYTES_MAX, PER_NAME_MAX, Found, Listed, Registration
from node.registry.book import Book
from node.registry.server import RegistryServer
from node.transport.dialling import ADDRESSES_MAX
from node.transport.settings import LinkSettings

LISTED = ("127.0.0.9", 1)


def said(host: str, port: int, boot: str = "p1", **more: Any) -> Registration:
    return Registration(name="n1", boot=boot, incarnation="disk", host=host, port=port, **more)


class Liar:
    """A registry that says this whatever is asked."""

    url = "http://registry"

    def __init__(self, *places: tuple[str, int]) -> None:
        told = (Listed(registration=said(*place), since_ms=1, age_ms=1) for place in places)
        self._found = Found(name="n1", registrations=tuple(told))

    async def find(self, _name: str) -> Found:
        return self._found


MANY = [(f"10.0.0.{last}", 1) for last in range(1, 200)]
NOWHERE = [(f"nowhere-{number}", 1) for number in range(200)]


@pytest.mark.parametrize("lies", [MANY[:1], MANY[:4], MANY, NOWHERE[:1], NOWHERE, [*NOWHERE, *MANY], [*MANY, *NOWHERE]])
async def test_the_list_is_among_what_a_dial_tries_in_its_time_however_many_lies_there_are(
    lies: list[tuple[str, int]],
) -> None:
    """Names that no name server answers for are looked up in vain, for a minute."""
    go_on = threading.Event()

    def hangs(_host: str) -> list[str]:
        go_on.wait(60)
        return []

    discovery = RegistryDiscovery(StaticDiscovery({"n1": LISTED}), Liar(*lies), lambda _name: "", Lookup(hangs))
    try:
        for _ in range(3):
            async with asyncio.timeout(10):  # of the minute that a name takes
                found = await discovery.resolve("n1")
            assert LISTED in found[:ADDRESSES_MAX]
    finally:
        go_on.set()
        await discovery.close()


def test_all_that_is_waited_for_together_leaves_a_dial_some_of_its_time() -> None:
    assert LinkSettings().dial_timeout_s > LOOK_UP_S_MAX + REGISTERED_S_MAX + LIST_S_MAX


async def test_the_newest_word_is_still_dialled_first_and_those_after_it_beside_the_list() -> None:
    discovery = RegistryDiscovery(StaticDiscovery({"n1": LISTED}), Liar(*MANY[:3]), lambda _name: "")
    assert await discovery.resolve("n1") == [MANY[0], LISTED, MANY[1], MANY[2]]
    await discovery.close()


HOSTILE: list[Callable[[], Registration]] = [
    lambda: said("127.0.0.1\n12:00:00 n1 leader/7 INFO all is well", 1),
    lambda: said("\x1b[2J", 1),
    lambda: said("127.0.0.1", 1, boot="a\n"),
    lambda: said("127.0.0.1", 1, cluster="\u202e"),
    lambda: said("127.0.0.1", 1, role="leader\x07"),
    lambda: said("127.0.0.1", 1, url="http://a\x1b[2J"),
    lambda: msgspec.structs.replace(said("127.0.0.1", 1), name="n1\n"),
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_nothing_that_could_write_a_line_or_move_a_cursor_is_taken_by_either_side(
    hostile: Callable[[], Registration],
) -> None:
    told = Found(name="n1", registrations=(Listed(registration=hostile(), since_ms=1, age_ms=1),))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(told), type=Found)
    server = RegistryServer(Book())
    await server.open("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
            name = hostile().name.replace("\n", "%0A")
            async with http.put(f"/nodes/{name}", data=msgspec.json.encode(hostile())) as answer:
                assert (answer.status, (await answer.json())["error"]) == (400, "malformed")
    finally:
        await server.close()


def test_the_longest_registrations_of_one_name_fit_into_what_a_node_reads() -> None:
    word = "a" * 64
    longest = Registration(
        name="n" * 63,
        boot=word,
        incarnation=word,
        host="a" * 253,
        port=65535,
        url="http://" + "a" * 293,
        role=word,
        leader=word,
        term=2**63 - 1,
        cluster=word,
        ttl_ms=60_000,
    )
    told = Found(
        name="n" * 63, registrations=(Listed(registration=longest, since_ms=10**9, age_ms=60_000),) * PER_NAME_MAX
    )
    body = msgspec.json.encode(told)
    assert msgspec.json.decode(body, type=Found) == told
    assert len(body) <= ANSWER_BYTES_MAX


async def test_a_name_of_which_only_lies_are_known_is_not_found_and_says_so() -> None:
    discovery = RegistryDiscovery(
        StaticDiscovery({"n1": ("", 0)}), Liar(("nowhere", 1)), lambda _name: "", Lookup(lambda _: [])
    )
    with pytest.raises(ResolutionError, match="no address of n1"):
        await discovery.resolve("n1")
    await discovery.close()
