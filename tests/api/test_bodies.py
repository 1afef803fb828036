"""Long bodies: so many bytes of all clients, fewer of one; who waits is let in in turn; what is held is given back."""

import asyncio
import base64
import json
from collections import deque

import pytest

from node.api import bodies as limits
from node.api.answers import Problem
from node.api.bodies import SHORT_BYTES_MAX, Bodies
from tests.api.double import client_of, serving

LONG = SHORT_BYTES_MAX + 1


async def waits(bodies: Bodies, whose: str, size: int = LONG) -> "asyncio.Task[int]":
    """One that has begun to wait, or has its room."""
    task = asyncio.create_task(bodies.room(whose, size))
    await asyncio.sleep(0)
    return task


async def test_a_short_body_waits_for_nobody() -> None:
    bodies = Bodies(0, 0)
    assert await bodies.room("a", SHORT_BYTES_MAX) == 0
    bodies.give_back("a", 0)
    assert (bodies.held_bytes, bodies.waited) == (0, 0)


async def test_one_client_waits_for_its_own_and_another_does_not_wait_for_it() -> None:
    bodies = Bodies(10 * LONG, 2 * LONG)
    held = [await bodies.room("a", LONG), await bodies.room("a", LONG)]
    third, fourth = await waits(bodies, "a"), await waits(bodies, "a")
    assert await bodies.room("b", LONG) == LONG
    assert not third.done()
    bodies.give_back("a", held[0])
    assert await third == LONG
    assert not fourth.done()
    assert (bodies.held_bytes, bodies.waited) == (3 * LONG, 2)
    bodies.give_back("a", held[1])
    assert await fourth == LONG


async def test_all_together_have_a_limit_and_come_in_in_turn() -> None:
    bodies = Bodies(2 * LONG, 2 * LONG)
    await bodies.room("a", LONG)
    await bodies.room("b", LONG)
    third, fourth = await waits(bodies, "c"), await waits(bodies, "d")
    bodies.give_back("a", LONG)
    assert await third == LONG
    assert not fourth.done()
    bodies.give_back("b", LONG)
    assert await fourth == LONG


async def test_a_long_one_is_not_overtaken_by_its_clients_next() -> None:
    bodies = Bodies(10 * LONG, 2 * LONG)
    await bodies.room("a", LONG)
    await bodies.room("a", LONG)
    long, next_one = await waits(bodies, "a", 2 * LONG), await waits(bodies, "a")
    bodies.give_back("a", LONG)
    assert not next_one.done(), "there is room for it, and not its turn"
    bodies.give_back("a", LONG)
    assert await long == 2 * LONG
    assert not next_one.done()
    next_one.cancel()
    await asyncio.gather(next_one, return_exceptions=True)
    bodies.give_back("a", 2 * LONG)
    assert (bodies.held_bytes, bodies._waiting, bodies._of, bodies._waits) == (0, deque(), {}, {})


async def test_one_larger_than_a_share_has_the_whole_of_it() -> None:
    bodies = Bodies(2 * LONG, LONG)
    assert await bodies.room("a", 100 * LONG) == LONG


async def test_whose_time_is_up_is_refused_with_a_sentence_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROOM_SECONDS_MAX", 0.01)
    bodies = Bodies(LONG, LONG)
    await bodies.room("a", LONG)
    with pytest.raises(Problem, match="values on their way") as refused:
        await bodies.room("a", LONG)
    assert refused.value.status == 503
    assert (bodies.refused, bodies.waited, bodies.held_bytes) == (1, 1, LONG)
    bodies.give_back("a", LONG)
    assert await bodies.room("a", LONG) == LONG


async def test_who_leaves_as_its_turn_comes_gives_back_what_it_got() -> None:
    bodies = Bodies(LONG, LONG)
    await bodies.room("a", LONG)
    second, third = await waits(bodies, "a"), await waits(bodies, "a")
    bodies.give_back("a", LONG)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert await third == LONG
    assert bodies.held_bytes == LONG


async def test_a_body_that_came_with_its_headers_is_counted_as_one_that_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value of 100 kB is there before its handler runs, and stands before the writes of others like any other."""
    asked: list[int] = []
    room = Bodies.room

    async def counted(self: Bodies, whose: str, size: int) -> int:
        asked.append(size)
        return await room(self, whose, size)

    monkeypatch.setattr(Bodies, "room", counted)
    value = b"v" * 100_000
    body = json.dumps({"key": "aw==", "value": base64.b64encode(value).decode()}).encode()
    async with serving() as server, client_of(server) as client:
        for method, path, data in (("PUT", "/kv/k", value), ("POST", "/v3/kv/put", body)):
            async with client.request(method, path, data=data) as answer:
                assert answer.status == 200
            assert asked.pop() == len(data)
            assert not asked


async def test_a_long_body_waits_for_the_log_to_have_room_and_one_that_it_never_has_comes_in_too() -> None:
    bodies, room = Bodies(10 * LONG, 10 * LONG), [LONG + 1]
    bodies.log_room = lambda: room[0]
    held = await bodies.room("a", LONG)
    second, third = await waits(bodies, "a"), await waits(bodies, "b", 3 * LONG)
    bodies.give_back("a", held)
    assert await second == LONG, "what was given back has made room"
    room[0] = 0
    bodies.give_back("a", LONG)
    bodies._looked()
    assert not third.done()
    room[0] = 3 * LONG - 1
    bodies._looked()
    assert not third.done(), "it would be refused"
    bodies.log_most = 2 * LONG
    assert await third == 3 * LONG, "no log of this size ever has room for all of it"
    assert await bodies.room("b", SHORT_BYTES_MAX) == 0, "short ones do not wait"
    bodies.give_back("b", 3 * LONG)
    assert bodies.held_bytes == 0


async def test_who_waited_for_the_log_in_vain_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROOM_SECONDS_MAX", 0.01)
    bodies = Bodies()
    bodies.log_room = lambda: 0
    with pytest.raises(Problem, match="until a snapshot lets go") as refused:
        await bodies.room("a", LONG)
    assert refused.value.status == 507
