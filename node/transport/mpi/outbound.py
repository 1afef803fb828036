"""One outbound link over MPI: dials a rank's lane for ever, says what is queued, judges by pongs whether it lives.

Why it exists: what `node.transport.outbound` does on a WebSocket, in words of MPI; same limits, same reasons. A link
has no age: its way never changes. It must not retry frames.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from node.raft.messages import Lane
from node.transport.mpi.words import Kind, Word, spoken
from node.transport.port import GOODBYE, LOST, REFUSED, Chance, Receiver
from node.transport.queue import FrameQueue
from node.transport.settings import LinkSettings


class Post(Protocol):
    """What a link needs of the MPI world."""

    def post(self, rank: int, lane: Lane, message: bytes) -> bool: ...
    def room(self, rank: int, lane: Lane) -> bool: ...
    def taken(self, rank: int, lane: Lane) -> int: ...


class OutboundLink:
    """Made at rest; `start` dials. `rank` None: no rank has that name. All calls on the loop's thread."""

    def __init__(
        self,
        *,
        name: str,
        peer: str,
        rank: int | None,
        lane: Lane,
        world: Post,
        receiver: Receiver,
        chance: Chance,
        settings: LinkSettings,
        first_link: int,
    ) -> None:
        self.up = False
        self._greeting = f"{name}\0{peer}".encode()
        self._peer, self._rank, self._lane = peer, rank, lane
        self._world, self._receiver, self._chance, self._settings = world, receiver, chance, settings
        self._loop = asyncio.get_running_loop()
        self._queue = FrameQueue(settings)
        self._link = first_link
        self._dialling = False
        self._leaving = False
        self._reported: str | None = None
        self._pause_s = settings.redial_min_s
        self._up_at_s = self._heard_s = 0.0
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None
        self._may_hurry = False

    def start(self) -> None:
        """Dial."""
        self._timer = None
        self._may_hurry = False
        if self._leaving:
            return
        if self._rank is None:
            self._failed(f"{self._peer} is no rank of this MPI world")
            return
        self._link += 1
        self._dialling = True
        self._say(Kind.DIAL, self._greeting)
        seconds = self._settings.dial_timeout_s
        self._later(seconds, lambda: self._failed(f"silence: no answer to a dial within {seconds} s"))

    def hear(self, word: Word) -> None:
        """What the rank that was dialled says of this lane."""
        if word.link != self._link or not (self._dialling or self.up):
            return
        if self._dialling:
            if word.kind is Kind.OPEN:
                self._come_up()
            elif word.kind is Kind.NOBODY:
                self._failed(REFUSED)
            elif word.kind is Kind.NO:
                self._failed(f"refused by the peer: {word.rest.decode(errors='replace')}")
            elif word.kind in (Kind.CLOSED, Kind.LOST):
                self._failed("the peer closed before the link was up")
            return
        self._heard_s = self._loop.time()
        if word.kind is Kind.CLOSED:
            said = word.rest.decode(errors="replace")
            self._go_down(f"the peer closed: {said}" if said else GOODBYE)
        elif word.kind in (Kind.LOST, Kind.NOBODY):
            self._go_down(LOST)

    def send(self, frame: bytes) -> bool:
        """See `Carrier.send`."""
        return self.up and self._queue.add(frame)

    def flush(self) -> None:
        """See `Carrier.flush`: packs leave while the rank takes them."""
        while self.up and self._queue and self._rank is not None and self._world.room(self._rank, self._lane):
            pack = self._queue.take()
            self._say(Kind.PACK, pack)

    def reset(self) -> None:
        """Drop the link without goodbye, and the queue with it."""
        if self.up:
            self._say(Kind.RESET)
            self._go_down("reset")

    def dial_now(self) -> None:
        """The peer was just heard of: if dials failed so far, do not sit out the pause."""
        if self._may_hurry and self._timer is not None:
            self._timer.cancel()
            self.start()

    def retire(self, reason: str) -> None:
        """Say goodbye after what is queued, and dial no more; `reason` is what the receiver is told."""
        self._leaving = True
        self._stop_timer()
        if not self.up:
            return
        self.up = False
        self._reported = reason
        self._receiver.on_outbound(self._peer, self._lane, False, reason)
        self._farewell(self._loop.time() + self._settings.close_timeout_s)

    @property
    def ended(self) -> bool:
        """After `retire`: nothing of it is left to be said."""
        return self._leaving and not self._queue and self._timer is None

    def _farewell(self, until_s: float) -> None:
        self._timer = None
        while self._queue and self._rank is not None and self._world.room(self._rank, self._lane):
            pack = self._queue.take()
            self._say(Kind.PACK, pack)
        if self._queue and self._loop.time() < until_s:
            self._later(0.002, lambda: self._farewell(until_s))
            return
        self._queue.clear()
        self._say(Kind.BYE)

    def abandon(self) -> None:
        """As a process that is killed: nothing is told here, and what stood is lost to the peer."""
        self._leaving = True
        self._stop_timer()
        if self.up:
            self.up = False
            self._queue.clear()
            self._say(Kind.RESET)

    def _come_up(self) -> None:
        self._dialling = False
        self._stop_timer()
        self.up = True
        self._reported = None
        self._up_at_s = self._heard_s = self._loop.time()
        self._later(self._settings.ping_interval_s, lambda: self._ping(self._up_at_s))
        self._receiver.on_outbound(self._peer, self._lane, True, "")

    def _ping(self, due_s: float) -> None:
        """Silence is judged by this process's clock, so a turn that comes late judges nobody; and a rank that takes
        messages lives."""
        interval_s, timeout_s = self._settings.ping_interval_s, self._settings.pong_timeout_s
        now = self._loop.time()
        taken = self._world.taken(self._rank, self._lane) if self._rank is not None else 0
        if now > due_s + 2 * interval_s or (self._queue and taken != self._taken):
            self._heard_s = now
        self._taken = taken
        if now - self._heard_s > timeout_s:
            self._say(Kind.RESET)
            self._go_down(f"silence: no pong within {timeout_s} s")
            return
        self._say(Kind.PING)
        self._later(interval_s, lambda: self._ping(now))

    def _failed(self, reason: str) -> None:
        self._dialling = False
        self._stop_timer()
        if reason != self._reported:
            after_loss = self._reported == LOST
            self._reported = reason
            self._receiver.on_outbound(self._peer, self._lane, False, reason)
            if after_loss and reason == REFUSED:
                self._pause_s = min(max(self._pause_s, self._settings.redial_gone_s), self._settings.redial_max_s)
        self._redial(may_hurry=True)

    def _go_down(self, reason: str) -> None:
        self.up = False
        self._stop_timer()
        self._queue.clear()
        self._reported = reason
        stood_long = self._loop.time() - self._up_at_s >= self._settings.redial_max_s
        if stood_long:
            self._pause_s = self._settings.redial_min_s
        self._redial(may_hurry=False, at_once=stood_long)
        self._receiver.on_outbound(self._peer, self._lane, False, reason)

    def _redial(self, *, may_hurry: bool, at_once: bool = False) -> None:
        if self._leaving:
            return
        pause_s = 0.0 if at_once else self._pause_s * (0.5 + self._chance.random() / 2)
        self._pause_s = min(self._pause_s * 2, self._settings.redial_max_s)
        self._may_hurry = may_hurry
        self._later(pause_s, self.start)

    def _say(self, kind: Kind, rest: bytes = b"") -> None:
        if self._rank is not None:
            self._world.post(self._rank, self._lane, spoken(kind, self._link, rest))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
