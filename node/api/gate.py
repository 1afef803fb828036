"""The gate through which all work for clients comes in: so much in one turn of the loop, first come, first served.

Why it exists: one poll of the network may bring requests of hundreds of clients, and whatever comes in together is done
together, before anything else has its turn: heartbeats would leave late, and votes and acknowledgements of peers, which
came a moment later, would wait as long. The gate lets in TURN_SECONDS_MAX of such work in a turn (a handler begins one
turn later, so that what was let in twice may meet); who
does not fit waits, at most one piece and one request of each connection, whose socket is not read meanwhile. Peers do
not come through here, and while a deadline of the algorithm is due the gate is shut.

Who waits is let in client by client, one piece of each: a crowd of a thousand connections of one address stands before
another client for one piece, not for a thousand.

Work has a price in seconds: the express lane's by bytes, a handler's as most of those before it took, which a machine
that has others to serve meanwhile does not make dear. It must not know what comes in.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from node.addresses import NOBODY
from node.observe.turns import Steps, Turns

TURN_SECONDS_MAX = 0.008
"""Work for clients that begins in one turn of the loop. Short enough that a heartbeat, which may wait for two such
turns, is still early; long enough that writes which come together share a sync."""

EXPRESS_SECONDS = 0.00006
"""Price of a request of the express lane: what the driver will have to do for it is part of it."""

BYTE_SECONDS = 2e-9
"""And of each byte of it and of its answer, which may be a value of a megabyte."""

PIECE_SECONDS = 0.00001
"""Price of a piece of HTTP/2, whatever is in it."""

FRAME_SECONDS = 5e-6
"""Price of a frame of HTTP/2, and of a header field that has to be read."""

LINE_SECONDS = 2e-6
"""Price of a line of HTTP/1.1, for the framework: a body may come in chunks of a byte, each with a line of its own."""

HANDOVER_SECONDS = 0.0001
"""Price of a piece of a request that the framework gets, and of the task that it wakes."""

HANDLER_SECONDS = 0.00015
"""Least price of a request's handler, which begins a turn later."""

PRICE_RISES, PRICE_FALLS = 1.5, 0.9
"""The price of a handler rises by this with each step of one that took more than twice of it, and falls with any other:
one that was interrupted counts no more than one that was not. Where requests for long lists come, one begins in a turn,
which costs a moment for each turn and no more."""

HANDSHAKE_SECONDS = 0.002
"""Price of a handshake of TLS: the processor time of both of its turns, the client's certificate included."""
HANDSHAKES_PER_TURN_MAX = 2
"""Handshakes that begin in one turn. They stand in a queue of their own: a crowd that comes, or pretends to, must not
stand before the requests of those who are there."""

UNMARKED_SECONDS = TURN_SECONDS_MAX / 2
"""Below this, the end of the turn is not waited for: few clients must not pay for a wake-up with each request. What
they spent counts until then, so that a crowd that comes next may find half of a turn."""

T = TypeVar("T")
W = TypeVar("W")


class Gate:
    """One for a node. `turns` measures what comes in. Used on the loop's thread alone."""

    def __init__(self, turns: Turns, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self.clock = turns.clock
        self._turns = turns
        self._call_soon = call_soon
        self._spent = 0.0
        self._marked = False
        """Whether the next turn will tell us that it is one."""
        self._shut = False
        self._price = HANDLER_SECONDS
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        """By whose they are, in the order in which it is their turn."""
        self._handshakes: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def shut(self, shut: bool) -> None:
        """Let nobody in until it is opened again: a deadline is due, and is served after this turn."""
        self._shut = shut

    def is_open(self) -> bool:
        """Whether one more may come in now."""
        return not (self._waiting or self._shut) and self._spent < TURN_SECONDS_MAX

    def wait(self, come_in: Callable[[], None], whose: str = NOBODY) -> None:
        """Call `come_in` when it is the turn of whoever it is for; it spends then."""
        self._waiting.setdefault(whose, deque()).append(come_in)
        self._mark()

    def came_in(self, express: bool, began: float, size_bytes: int, lines: int = 0) -> None:
        """A piece of so many bytes and lines was taken, from `began` until now."""
        took = self.clock() - began
        if express:
            self._turns.add("express", took)
            self._spend(EXPRESS_SECONDS + size_bytes * BYTE_SECONDS)
        else:
            self._turns.add("http", took)
            self._spend(HANDOVER_SECONDS + size_bytes * BYTE_SECONDS + lines * LINE_SECONDS)

    def frames_came_in(self, requests: int, began: float, size_bytes: int, work: int) -> None:
        """A piece of HTTP/2 of so many bytes, in which so many requests began, and of so many frames and header fields,
        was taken from `began` until now."""
        self._turns.add("express", self.clock() - began)
        self._spend(requests * EXPRESS_SECONDS + size_bytes * BYTE_SECONDS + work * FRAME_SECONDS + PIECE_SECONDS)

    def answered(self, size_bytes: int) -> None:
        """The express lane wrote an answer of so many bytes."""
        self._spend(size_bytes * BYTE_SECONDS)

    async def handle(self, work: Coroutine[Any, Any, T], whose: str = NOBODY) -> T:
        """Do `work`, the handler of one request, when it is its turn; its steps are measured."""
        if self._waiting or self._shut or self._spent >= TURN_SECONDS_MAX:
            try:
                await self.turn(whose)
            except BaseException:
                work.close()
                raise
        else:
            self._spend(self._price)
        return await Steps(work, self.clock, self._stepped)

    async def turn(self, whose: str = NOBODY) -> None:
        """Return when it is the caller's turn: at once, where there is room. Also for work that goes on in slices,
        before each of them."""
        if self.is_open():
            self._spend(self._price)
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def come_in() -> None:
            if not mine.done():  # its client may have gone meanwhile
                self._spend(self._price)
                mine.set_result(None)

        self.wait(come_in, whose)
        await mine

    async def handshake(self, whose: str = NOBODY) -> None:
        """Return when a handshake of TLS of that client may begin, in a turn to come."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handshakes.setdefault(whose, deque()).append(mine)
        self._mark()
        await mine

    def _begin_handshakes(self) -> None:
        begun = 0
        while self._handshakes and begun < HANDSHAKES_PER_TURN_MAX and not self._shut:
            first = _next(self._handshakes)
            if not first.done():  # its client may have gone meanwhile
                first.set_result(None)
                self._spend(HANDSHAKE_SECONDS)
                begun += 1
        if self._handshakes:
            self._mark()

    def _stepped(self, seconds: float) -> None:
        self._turns.add("http", seconds)
        price = self._price
        if seconds > 2 * price:
            self._spend(seconds - price)
            self._price = min(price * PRICE_RISES, TURN_SECONDS_MAX)
        elif price > HANDLER_SECONDS:
            self._price = max(HANDLER_SECONDS, price * PRICE_FALLS)

    def _spend(self, seconds: float) -> None:
        self._spent += seconds
        if self._spent >= UNMARKED_SECONDS:
            self._mark()

    def _mark(self) -> None:
        if not self._marked:
            self._marked = True
            self._call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._marked = False
        self._spent = 0.0
        self._begin_handshakes()
        waiting = self._waiting
        try:
            while waiting and not self._shut and self._spent < TURN_SECONDS_MAX:
                _next(waiting)()
        finally:  # whoever fails as it comes in must not leave the others waiting for ever
            if waiting:
                self._mark()


def _next(waiting: dict[str, deque[W]]) -> W:
    """The first of whose turn it is, who is last then."""
    whose, theirs = next(iter(waiting.items()))
    del waiting[whose]
    first = theirs.popleft()
    if theirs:
        waiting[whose] = theirs
    return first
