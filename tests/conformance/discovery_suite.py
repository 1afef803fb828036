"""What every discovery must do, whoever answers: the promises of `node.discovery.port` as tests.

Why it exists: whoever dials does not know whether a list, DNS or a registry answers. A harness hides how a node comes
to be somewhere: it is written into a list, a zone, or registered.
"""

import asyncio
from typing import Protocol

import pytest

from node.discovery.port import FollowedDiscovery, ResolutionError


class Harness(Protocol):
    """`discovery` knows the names a and b from the start; nobody knows where they are."""

    discovery: FollowedDiscovery

    async def place(self, name: str, address: str) -> int:
        """That node is at that address of 127.0.0.0/8 now, and nowhere else; at which port, is answered."""

    async def take_away(self, name: str) -> None:
        """Nobody knows any more where it is."""


class DiscoverySuite:
    """Subclasses provide the fixture `harness`; all of these take nothing else, so that they can be run elsewhere."""

    async def test_names_are_those_of_the_list_whoever_is_found(self, harness: Harness) -> None:
        assert harness.discovery.names() == ("a", "b")
        await harness.place("b", "127.0.0.2")
        assert harness.discovery.names() == ("a", "b")

    async def test_a_node_is_found_where_it_is(self, harness: Harness) -> None:
        port = await harness.place("a", "127.0.0.2")
        other = await harness.place("b", "127.0.0.3")
        assert await harness.discovery.resolve("a") == [("127.0.0.2", port)]
        assert await harness.discovery.resolve("b") == [("127.0.0.3", other)]

    async def test_no_answer_is_remembered_neither_a_miss_nor_an_address(self, harness: Harness) -> None:
        with pytest.raises(ResolutionError):
            await harness.discovery.resolve("a")
        for address in ("127.0.0.2", "127.0.0.3"):
            port = await harness.place("a", address)
            assert await harness.discovery.resolve("a") == [(address, port)]
        await harness.take_away("a")
        with pytest.raises(ResolutionError):
            await harness.discovery.resolve("a")

    async def test_a_name_that_nobody_knows_is_an_oserror_that_names_it(self, harness: Harness) -> None:
        with pytest.raises(OSError, match=r"\bx\b.*not in the list of nodes"):
            await harness.discovery.resolve("x")

    async def test_many_may_ask_at_once(self, harness: Harness) -> None:
        port = await harness.place("a", "127.0.0.2")
        found = await asyncio.gather(*(harness.discovery.resolve("a") for _ in range(50)))
        assert found == [[("127.0.0.2", port)]] * 50

    async def test_what_was_found_is_shown_with_its_time_and_changes_no_answer(self, harness: Harness) -> None:
        assert harness.discovery.seen()["a"].at_s is None
        port = await harness.place("a", "127.0.0.2")
        await harness.discovery.resolve("a")
        seen = harness.discovery.seen()["a"]
        assert (seen.port, seen.addresses, seen.error) == (port, ("127.0.0.2",), "")
        assert seen.at_s is not None
        moved = await harness.place("a", "127.0.0.4")
        assert await harness.discovery.resolve("a") == [("127.0.0.4", moved)]

    async def test_a_round_of_look_ups_shows_where_all_are(self, harness: Harness) -> None:
        await harness.place("a", "127.0.0.2")
        await harness.place("b", "127.0.0.3")
        harness.discovery.look_up_all()
        (round_of_all,) = [task for task in asyncio.all_tasks() if task.get_name() == "look up all names"]
        harness.discovery.look_up_all()
        await asyncio.wait([round_of_all])
        seen = harness.discovery.seen()
        assert (seen["a"].addresses, seen["b"].addresses) == (("127.0.0.2",), ("127.0.0.3",))

    async def test_who_is_in_the_list_no_more_is_not_found_any_more(self, harness: Harness) -> None:
        await harness.place("a", "127.0.0.2")
        await harness.place("b", "127.0.0.3")
        await harness.discovery.resolve("b")
        harness.discovery.set_peers({"a": ("127.0.0.2", 7)})
        assert harness.discovery.names() == ("a",)
        assert set(harness.discovery.seen()) == {"a"}
        with pytest.raises(ResolutionError):
            await harness.discovery.resolve("b")
