"""The gate: so much work for clients in a turn of the loop, first come first served, none while a deadline is due."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from node.api.express import Answer, Express
from node.api.gate import (
    BYTE_SECONDS,
    EXPRESS_SECONDS,
    FRAME_SECONDS,
    HANDLER_SECONDS,
    HANDOVER_SECONDS,
    LINE_SECONDS,
    TURN_SECONDS_MAX,
    UNMARKED_SECONDS,
    Gate,
)
from node.api.server import ApiRunner
from node.observe.turns import Turns
from tests.api.test_express import Client, connected, request

EXPRESS_PER_TURN = int(TURN_SECONDS_MAX / EXPRESS_SECONDS) + 1


class Loop:
    """A stand-in: callbacks wait until the test turns it; its clock stands unless work moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: deque[Callable[[], None]] = deque()
        self.turns = Turns(lambda: self.now, lambda: self.now, 10.0)
        self.gate = Gate(self.turns, self.soon.append)
        self.done: list[int] = []

    def turn(self) -> int:
        """One turn: what waits now, nothing that comes meanwhile. How many came in."""
        before = len(self.done)
        for _ in range(len(self.soon)):
            self.soon.popleft()()
        return len(self.done) - before

    def come(self, number: int, size_bytes: int = 0) -> None:
        """A request of the express lane, of so many bytes."""

        def take() -> None:
            self.done.append(number)
            self.gate.came_in(True, self.gate.clock(), size_bytes)

        if self.gate.is_open():
            take()
        else:
            self.gate.wait(take)


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_what_comes_in_together_is_spread_over_turns_in_its_order(loop: Loop) -> None:
    for number in range(1000):
        loop.come(number)
    came = [len(loop.done)]
    while loop.gate.waiting:
        came.append(loop.turn())
    assert max(came) <= EXPRESS_PER_TURN
    assert len(came) == pytest.approx(1000 / EXPRESS_PER_TURN, abs=1.1)
    assert loop.done == list(range(1000))


def test_a_piece_of_http2_has_the_price_of_what_is_read_in_it(loop: Loop) -> None:
    for _ in range(2):
        assert loop.gate.is_open()
        loop.gate.frames_came_in(0, 0.0, 0, int(TURN_SECONDS_MAX / FRAME_SECONDS / 2))
    assert not loop.gate.is_open()


def test_a_piece_of_the_framework_has_the_price_of_its_lines(loop: Loop) -> None:
    """A body in chunks of a byte: what is counted in bytes alone would hold the loop."""
    loop.gate.came_in(False, 0.0, 0, int(TURN_SECONDS_MAX / LINE_SECONDS))
    assert not loop.gate.is_open()


def test_nobody_overtakes_those_that_wait(loop: Loop) -> None:
    for number in range(2 * EXPRESS_PER_TURN):
        loop.come(number)
    assert loop.turn() > 0
    loop.come(-1)
    while loop.gate.waiting:
        loop.turn()
    assert loop.done[-1] == -1


def test_large_requests_fill_a_turn_sooner(loop: Loop) -> None:
    for number in range(10):
        loop.come(number, int(TURN_SECONDS_MAX / 2 / BYTE_SECONDS))
    came = [len(loop.done)]
    while loop.gate.waiting:
        came.append(loop.turn())
    assert came == [2, 2, 2, 2, 2]


def test_a_client_alone_never_waits_and_rarely_wakes_the_loop(loop: Loop) -> None:
    for number in range(1000):
        loop.come(number)
        assert loop.done[-1] == number
        if loop.soon:
            loop.turn()
        assert not loop.gate.waiting
    woken_every = UNMARKED_SECONDS / EXPRESS_SECONDS
    assert woken_every > 10


def test_nobody_comes_in_while_a_deadline_is_due(loop: Loop) -> None:
    loop.gate.shut(True)
    for number in range(3):
        loop.come(number)
    assert [loop.turn() for _ in range(4)] == [0, 0, 0, 0]
    loop.gate.shut(False)
    loop.turn()
    assert loop.done == [0, 1, 2]


def test_who_fails_as_it_comes_in_leaves_nobody_waiting_behind_it(loop: Loop) -> None:
    def fail() -> None:
        raise RuntimeError("planted")

    loop.gate.shut(True)
    loop.gate.wait(fail)
    loop.come(1)
    loop.gate.shut(False)
    with pytest.raises(RuntimeError, match="planted"):
        loop.turn()
    loop.turn()
    assert loop.done == [1]
    assert not loop.gate.waiting


async def test_a_handler_waits_for_its_turn_and_is_charged(loop: Loop) -> None:
    began: list[int] = []

    async def work(number: int) -> int:
        began.append(number)
        return number

    count = 3 * int(TURN_SECONDS_MAX / HANDLER_SECONDS)
    tasks = [asyncio.create_task(loop.gate.handle(work(number))) for number in range(count)]
    await asyncio.sleep(0)
    assert len(began) <= TURN_SECONDS_MAX / HANDLER_SECONDS + 1
    while loop.gate.waiting:
        before = len(began)
        loop.turn()
        await asyncio.sleep(0)
        assert len(began) - before <= TURN_SECONDS_MAX / HANDLER_SECONDS + 1
    assert await asyncio.gather(*tasks) == list(range(count))
    assert began == list(range(count))


async def test_handlers_that_take_long_begin_one_in_a_turn_until_that_is_forgotten(loop: Loop) -> None:
    turns = 0
    began: list[int] = []

    async def work(seconds: float) -> None:
        loop.now += seconds
        began.append(turns)

    for _ in range(12):
        await asyncio.create_task(loop.gate.handle(work(TURN_SECONDS_MAX)))
        loop.turn()
    began.clear()
    tasks = [asyncio.create_task(loop.gate.handle(work(0))) for _ in range(300)]
    await asyncio.sleep(0)
    while loop.gate.waiting:
        turns += 1
        loop.turn()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    in_turn = [began.count(turn) for turn in range(turns + 1)]
    assert max(in_turn[:3]) <= 4
    assert max(in_turn) > 20, "and many again, later"


async def test_a_handler_whose_client_goes_while_it_waits_holds_up_nobody(loop: Loop) -> None:
    async def work() -> str:
        return "done"

    loop.gate.shut(True)
    gone, stays = (asyncio.create_task(loop.gate.handle(work())) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    loop.gate.shut(False)
    loop.turn()
    assert await stays == "done"


# --- real connections -------------------------------------------------------------------------------------------


class Counting:
    """A lane whose requests each take a fifth of a turn's work, by the clock that it gives the gate."""

    def __init__(self) -> None:
        self.now = 0.0
        self.in_turn = 0
        self.most = 0
        self.count = 0
        self.gate = Gate(Turns(lambda: self.now, lambda: self.now, 1000.0), asyncio.get_running_loop().call_soon)
        asyncio.get_running_loop().call_soon(self._turn)
        self.over = False
        self.later = False

    def _turn(self) -> None:
        self.in_turn = 0
        if not self.over:
            asyncio.get_running_loop().call_soon(self._turn)

    def _did(self) -> None:
        self.now += TURN_SECONDS_MAX / 5
        self.in_turn += 1
        self.count += 1
        self.most = max(self.most, self.in_turn)

    def take(self, body: bytes, answer: Answer) -> bool:
        self._did()
        if self.later:
            asyncio.get_running_loop().call_later(0.01, answer, 200, body)
        else:
            answer(200, body)
        return True

    async def usual(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._did()
        return web.Response(body=body)


@asynccontextmanager
async def gated() -> AsyncIterator[tuple[Counting, int]]:
    counting = Counting()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", counting.usual)
    runner = ApiRunner(app, Express({"/lane": counting.take}, ()), gate=counting.gate)
    await runner.setup()
    try:
        await runner.listen("127.0.0.1", 0)
        yield counting, runner.addresses[0][1]
    finally:
        counting.over = True
        await runner.cleanup()


@pytest.mark.parametrize(("path", "most"), [(b"/lane", 11), (b"/usual", 13)])
async def test_many_clients_at_once_are_served_a_few_in_a_turn(
    path: bytes, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request costs a fifth of a turn; what was let in a turn ago may meet what comes in now."""
    monkeypatch.setattr("node.api.gate.EXPRESS_SECONDS", TURN_SECONDS_MAX / 5)
    monkeypatch.setattr("node.api.gate.HANDLER_SECONDS", TURN_SECONDS_MAX / 5)
    async with gated() as (counting, port), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(port)) for _ in range(40)]
        ask = request(bytes(40)).replace(b"/lane", path)
        for _ in range(2):
            assert await asyncio.gather(*(client.ask(ask) for client in clients)) == [(200, bytes(40))] * 40
        assert counting.count == 80
        assert counting.most <= most


async def test_requests_that_one_client_sends_ahead_are_served_a_few_in_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.api.gate.HANDLER_SECONDS", TURN_SECONDS_MAX / 5)
    async with gated() as (counting, port), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(port)) for _ in range(10)]
        ask = request(b"x").replace(b"/lane", b"/usual")

        async def pipeline(client: Client) -> None:
            client.writer.write(ask * 20)
            for _ in range(20):
                assert await client.answer() == (200, b"x")

        await asyncio.gather(*(pipeline(client) for client in clients))
        assert counting.count == 200
        assert counting.most <= 13


async def test_a_body_that_comes_while_its_client_waits_arrives_whole() -> None:
    async with gated() as (counting, port), connected(port) as client:
        body = bytes(range(256)) * 4000
        counting.gate.shut(True)
        client.writer.write(request(body).replace(b"/lane", b"/usual"))
        await asyncio.sleep(0.05)  # as much as is read of one that waits has come
        counting.gate.shut(False)
        assert await client.answer() == (200, body)


async def test_one_that_waited_and_is_answered_later_is_heard_again() -> None:
    async with gated() as (counting, port), connected(port) as client:
        await client.ask(request(b"warm"))
        counting.later = True
        counting.gate.shut(True)
        for body in (b"one", b"two"):
            client.writer.write(request(body))
            while not counting.gate.waiting:  # noqa: ASYNC110 - the gate has no event
                await asyncio.sleep(0.001)
            counting.gate.shut(False)
            assert await client.answer() == (200, body)
            counting.gate.shut(True)
        counting.gate.shut(False)


async def test_what_waits_at_the_gate_when_the_server_ends_is_answered() -> None:
    async with gated() as (counting, port), connected(port) as client:
        await client.ask(request(b"warm"))
        counting.gate.shut(True)
        client.writer.write(request(b"late"))
        while not counting.gate.waiting:  # noqa: ASYNC110 - the gate has no event
            await asyncio.sleep(0.005)
        asyncio.get_running_loop().call_later(0.05, counting.gate.shut, False)
    # the end of `gated` waited for it


def test_prices_are_below_a_turn() -> None:
    assert EXPRESS_SECONDS < HANDOVER_SECONDS < HANDLER_SECONDS < TURN_SECONDS_MAX / 4


async def test_handshakes_begin_two_in_a_turn_and_no_request_waits_behind_them(loop: Loop) -> None:
    begun: list[int] = []

    async def begin(number: int) -> None:
        await loop.gate.handshake()
        begun.append(number)

    tasks = [asyncio.create_task(begin(number)) for number in range(7)]
    await asyncio.sleep(0)
    tasks[1].cancel()  # its client left
    for expected in (2, 4):
        loop.turn()
        await asyncio.sleep(0)
        assert len(begun) == expected
        loop.come(expected)
        assert loop.done[-1] == expected  # at once: the price of two leaves room
    loop.gate.shut(True)
    loop.turn()
    await asyncio.sleep(0)
    assert len(begun) == 4  # a deadline is due
    loop.gate.shut(False)
    loop.turn()
    await asyncio.sleep(0)
    assert begun == [0, 2, 3, 4, 5, 6]
    await asyncio.wait(tasks)


def test_a_crowd_of_one_client_stands_before_another_for_one_piece(loop: Loop) -> None:
    """And those of one client come in as they came."""
    loop.gate.shut(True)
    came: list[str] = []

    def come(whose: str, number: int) -> None:
        def take() -> None:
            came.append(f"{whose}{number}")
            loop.gate.came_in(True, loop.gate.clock(), 0)

        loop.gate.wait(take, whose)

    for number in range(1000):
        come("a", number)
    come("b", 0)
    come("b", 1)
    come("c", 0)
    assert loop.gate.waiting == 1003
    loop.gate.shut(False)
    loop.turn()
    assert came[:7] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    for _ in range(20):
        loop.turn()
    assert [each for each in came if each[0] == "a"] == [f"a{number}" for number in range(1000)]
    assert loop.gate.waiting == 0


async def test_handshakes_begin_client_by_client(loop: Loop) -> None:
    begun: list[str] = []

    async def begin(whose: str) -> None:
        await loop.gate.handshake(whose)
        begun.append(whose)

    tasks = [asyncio.create_task(begin(whose)) for whose in "aaaaab"]
    await asyncio.sleep(0)
    loop.turn()
    await asyncio.sleep(0)
    assert begun == ["a", "b"]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
