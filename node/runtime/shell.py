"""The event loop round one driver: its clock, its timer, and the inbox in which everything that arrives waits.

Why it exists: the only place, beside app.py, that knows what time it is. One `call_soon` takes what waits to the driver
as one step, so that a busy node does one fsync and one acknowledgement for many messages. It must not know what a
message means, or what a client or an operator wants: see handle.py and obeying.py.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from node.raft.core import Raft
from node.raft.events import Deadline, PeerGone, PeerUp
from node.raft.messages import Message
from node.raft.types import Member
from node.runtime.driver import Driver
from node.runtime.heldup import HeldUp
from node.runtime.inbox import Inbox
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantRelay, WantWrite
from node.runtime.ports import CommandOutcome, NotProposed, ReadFailed, Readiness, SnapshotView
from node.runtime.readiness import ReadyWatch
from node.runtime.snapshot_taking import Ended

GRACE_TURNS = 4
"""Turns of the loop between a timer and its Deadline: what has arrived meanwhile is handled first, so that a process
that was stalled does not campaign while the heartbeat already lies in its buffer (architecture, decision 2)."""

TIMER_EARLY_US = 1_000
"""By how much a timer of the loop may be too early: it counts in milliseconds."""

STOPPING = "the node is stopping"

Refusal = tuple[Literal["stopping", "overloaded"], str]
"""Why nothing is taken now: a code for programs and one sentence for people."""


def monotonic_us() -> int:
    """The core's clock: never set back, goes on while the process is paused."""
    return time.monotonic_ns() // 1000


def wall_us() -> int:
    """Microseconds since the epoch, for people and for log time."""
    return time.time_ns() // 1000


class Shell:
    """In two phases: whoever brings inputs may be given its methods at once; `attach` the driver before `start`.

    `fatal` is told once when the driver cannot go on. `request_timeout_us`: how long a request waits that names no
    limit of its own. `election_timeout_us`: the longest that is drawn. `deadline_is_due` is told when a deadline is
    due, and when it was served: meanwhile nothing new should be begun for clients. Call `stop` before ports are closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fatal: Callable[[Exception], None],
        request_timeout_us: int,
        election_timeout_us: int,
        deadline_is_due: Callable[[bool], None] = lambda _due: None,
    ) -> None:
        self.started_us = monotonic_us()
        self.fatal = ""
        """Why the node is about to stop, else empty."""
        self.stopped = False
        self._loop = loop
        self._on_fatal = fatal
        self._deadline_is_due = deadline_is_due
        self._request_timeout_us = request_timeout_us
        self._ready = ReadyWatch(election_timeout_us)
        self._held_up = HeldUp(election_timeout_us)
        self._ran_us = self.started_us
        self._inbox = Inbox()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_us: int | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()  # nobody asks

    def attach(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def core(self) -> Raft:
        """To look at; only the driver steps it."""
        return self._driver.core

    def snapshot_view(self, now: int) -> SnapshotView:
        """What there is of snapshots."""
        return self._driver.snapshot_view(now)

    def want_snapshot(self, done: Ended) -> Callable[[], None]:
        """See `Driver.want_snapshot`. Call what is returned once it is not wanted any more."""
        forget = self._driver.want_snapshot(done)
        self.wake()
        return forget

    def start(self) -> None:
        """Begin; from now on the driver runs on this loop."""
        self.guarded(lambda: self._driver.start(monotonic_us()))
        self._arm()

    def leave(self) -> None:
        """The node was asked to stop: from now on it is not ready, and serves all the same."""
        self._ready.leaving = True

    async def quiet(self, timeout_s: float) -> None:
        """Wait, not longer than that, until no write waits here, those of other nodes' clients included."""
        self._quiet.clear()
        self.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()

    def stop(self) -> None:
        """End: every waiting request is answered, nothing is taken any more."""
        if self.stopped:
            return
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._deadline_is_due(False)  # it will not be served, and whoever waits for it must hear that we stop
        _refuse(self._inbox.drain())
        self._driver.stop()
        self._quiet.set()

    # --- the inbox ---------------------------------------------------------------------------------------------

    def deliver(self, sender: Member, message: Message) -> None:
        """A message came in: the links' callback."""
        if self._inbox.offer(Arrived(sender, message)):
            self.wake()

    def process_up(self, member: Member, boot: str) -> None:
        """The links' callback, as the next: they wait behind what came before them, and are never dropped."""
        self.post(PeerUp(member, boot))

    def process_gone(self, member: Member, boot: str) -> None:
        self.post(PeerGone(member, boot))

    @property
    def dropped(self) -> Mapping[type, int]:
        """Messages that came in while too much waited, by type."""
        return self._inbox.dropped

    def refusal(self) -> Refusal | None:
        """Why nothing may be posted for a client or an operator now; None: it may."""
        if self.stopped:
            return "stopping", STOPPING
        if self._inbox.full:
            return "overloaded", "too much waits on this node; try again later"
        return None

    def post(self, item: Input) -> None:
        """Handle it in one of the next turns. Ask `refusal` first."""
        self._inbox.post(item)
        self.wake()

    def wake(self) -> None:
        """Something completed: the driver's hook."""
        if not self._scheduled and not self.stopped:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def _take_inputs(self) -> list[Input]:
        """What is handled in this turn, oldest first; for the rest there will be another."""
        inputs = self._inbox.take_turn()
        if self._inbox.waits:
            self.wake()
        return inputs

    def _drain(self) -> None:
        self._scheduled = False
        if self.stopped:
            return
        inputs = self._take_inputs()
        now = monotonic_us()
        self._ran_us = now
        ready, driver = self._ready, self._driver
        ready.saw(driver.core.leader, now)
        try:
            driver.handle(inputs, now, wall_us())
        except Exception as error:
            self._broken(error)
        if not ready.caught_up and ready.wants_barrier(driver.core.leader, now):
            self.post(WantRead(self.until_us(None), self._barrier_ended))
        if not (self._quiet.is_set() or driver.writes_wait or self._inbox.waits):
            self._quiet.set()
        self._arm()

    def _barrier_ended(self, failed: ReadFailed | None) -> None:
        self._ready.barrier_ended(failed is None, monotonic_us())

    def guarded(self, action: Callable[[], None]) -> None:
        """A broken invariant, or a bug, stops the node: to go on could lose what was promised (decision 13)."""
        try:
            action()
        except Exception as error:
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        self.fatal = f"{type(error).__name__}: {error}"
        self._on_fatal(error)
        self.stop()

    # --- time --------------------------------------------------------------------------------------------------

    def until_us(self, timeout_us: int | None) -> int:
        """The end of a wait that begins now, on the core's clock; None: as long as the settings say."""
        return monotonic_us() + (self._request_timeout_us if timeout_us is None else timeout_us)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it after so long, unless the node has stopped by then."""
        self._loop.call_later(delay_s, lambda: None if self.stopped else action())

    def readiness(self) -> Readiness:
        """What `/readyz` judges beside the core."""
        return self._ready.view(self.core.leader, monotonic_us())

    def loop_age_us(self) -> int:
        """Microseconds since the driver last ran. An idle one runs with every Report."""
        return monotonic_us() - self._ran_us

    def log_time_us(self) -> int:
        """See `NodeHandle`."""
        return self._driver.expiring.log_time_us(monotonic_us())

    def _arm(self) -> None:
        """Keep exactly one timer, at the driver's deadline. An earlier timer than needed is left to fire in vain:
        deadlines move with every heartbeat, and re-arming each time costs more."""
        deadline = self._driver.deadline
        if self.stopped or deadline is None:
            return
        if self._timer is not None:
            if self._timer_at_us is not None and self._timer_at_us <= deadline:
                return
            self._timer.cancel()
            self._deadline_is_due(False)
        self._timer_at_us = deadline
        delay_s = max(0, deadline - monotonic_us()) / 1e6
        self._timer = self._loop.call_later(delay_s, self._timer_fired, GRACE_TURNS)

    def _timer_fired(self, turns_left: int) -> None:
        if turns_left == GRACE_TURNS and self._timer_at_us is not None:
            now = monotonic_us()
            self._held_up.saw(now - self._timer_at_us, now)
            deadline = self._driver.deadline
            if not self.stopped and (deadline is None or deadline > now + TIMER_EARLY_US):
                self._timer = self._timer_at_us = None  # it has moved on, as most do: nobody need make way for it
                self._arm()
                return
        self._deadline_is_due(turns_left > 0 and not self.stopped)
        if turns_left:
            # A handle for each turn; `_timer` stays set, so that `_arm` sees a deadline under way.
            self._timer = None if self.stopped else self._loop.call_later(0, self._timer_fired, turns_left - 1)
            return
        self._timer = None
        self._timer_at_us = None
        deadline = self._driver.deadline
        if deadline is not None and monotonic_us() >= deadline:
            self.post(Deadline(self._held_up.us))
        else:
            self._arm()


def _refuse(inputs: list[Input]) -> None:
    for item in inputs:
        if isinstance(item, WantWrite):
            item.reply(NotProposed("stopping", STOPPING))
        elif isinstance(item, WantRead):
            item.reply(ReadFailed("stopping", STOPPING))
        elif isinstance(item, WantOrder | WantRelay):
            item.reply(CommandOutcome(item.command, "", "stopping", STOPPING))
