"""The event loop round one driver: clock, timers, the inbox, and the NodeHandle that the API sees.

Why it exists: the only place, beside app.py, that knows what time it is. Everything that arrives waits in one inbox;
one `call_soon` takes all of it to the driver as one step, so that a busy node does one fsync and one acknowledgement
for many messages. It must not know what a message means.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

import msgspec

from node.raft.effects import ConfigChanged
from node.raft.events import Deadline
from node.raft.messages import Message, Report
from node.raft.status import CoreStatus
from node.raft.types import Entry, Member
from node.runtime.commanding import Commander
from node.runtime.commands import BadArgument, Value, check, find
from node.runtime.driver import Driver
from node.runtime.hooks import CommandReplied
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantRelay, WantWrite
from node.runtime.ports import (
    Address,
    CommandOutcome,
    Faults,
    LogLine,
    NotProposed,
    Outcome,
    PeerView,
    ReadFailed,
    Readiness,
    Status,
)
from node.runtime.readiness import ReadyWatch
from node.runtime.relaying import ORDERS
from node.runtime.views import Views, encode_report

DRAIN_INPUTS_MAX = 4096
"""Inputs handed to the driver in one turn of the loop; the rest waits for the next turn."""

INBOX_INPUTS_MAX = 100_000
"""Inputs that may wait; messages above it are dropped (Raft repeats them), client requests are refused."""

GRACE_TURNS = 4
"""Turns of the loop between a timer and its Deadline: what has arrived meanwhile is handled first, so that a process
that was stalled does not campaign while the heartbeat already lies in its buffer (architecture, decision 2)."""

REPORT_INTERVAL_S = 0.5
"""How often a node tells its peers its status, for `/cluster`."""

LOG_LINES_MAX = 1000
"""Entries in one answer of `log`."""


RELAYED_TIMEOUT_US = 10_000_000
"""How long a command that a peer relayed may take here; the peer's own client gives up earlier."""

LAST_WORD_S = 0.05
"""Between the answer to a relayed command and the command: it may cut the link that the answer leaves by."""


def monotonic_us() -> int:
    """The core's clock: never set back, goes on while the process is paused."""
    return time.monotonic_ns() // 1000


def wall_us() -> int:
    """Microseconds since the epoch, for people and for log time."""
    return time.time_ns() // 1000


class Surroundings(msgspec.Struct, frozen=True):
    """What the shell reports and is told about beside the driver."""

    boot: str
    version: str
    client_url: str
    request_timeout_us: int
    peers: tuple[str, ...]
    links_up: Callable[[], tuple[str, ...]]
    send: Callable[[str, Message], bool]
    fatal: Callable[[Exception], None]
    reset_links: Callable[[str | None], None] = lambda _peer: None
    faults: Faults | None = None
    """None: not enabled."""
    describe: Callable[[Entry], str] = lambda _entry: ""
    """An entry in a few words, for people."""
    election_timeout_us: int = 0
    """The longest that is drawn."""
    addresses: Callable[[], Mapping[str, Address]] = dict
    """Where each node is dialled, by name: for people, never for a dial."""
    look_up: Callable[[], None] = lambda: None
    """Look every name up anew, and dial at once whom no link leads to."""


class Shell:
    """Satisfies `NodeHandle`. Give it its driver with `attach` before `start`; `stop` before closing ports."""

    def __init__(self, surroundings: Surroundings, name: str) -> None:
        self._surroundings = surroundings
        self._started_us = monotonic_us()
        self._ran_us = self._started_us
        self._views = Views(name, surroundings.peers)
        self._inbox: list[Input] = []
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_us: int | None = None
        self._report_timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._fatal = ""
        self._name = name
        self._last_words: asyncio.TimerHandle | None = None
        around = surroundings
        self._commander = Commander(name, around.peers, self, lambda peer: around.reset_links(peer), around.faults)
        self._ready = ReadyWatch(around.election_timeout_us)
        self._quiet = asyncio.Event()

    def attach(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        self._driver = driver
        self._loop = loop

    def start(self) -> None:
        """Begin; from now on the driver runs on this loop."""
        self.guarded(lambda: self._driver.start(monotonic_us()))
        self._arm()
        self._report()

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
        if self._stopped:
            return
        self._stopped = True
        for timer in (self._timer, self._report_timer, self._last_words):
            if timer is not None:
                timer.cancel()
        self._refuse(self._inbox)
        self._inbox = []
        self._driver.stop()
        self._quiet.set()

    # --- the inbox ---------------------------------------------------------------------------------------------

    def deliver(self, sender: Member, message: Message) -> None:
        """A message came in: the links' callback."""
        if len(self._inbox) < INBOX_INPUTS_MAX:
            self._post(Arrived(sender, message))

    def wake(self) -> None:
        """Something completed: the driver's hook."""
        if not self._scheduled and not self._stopped:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def on_report(self, sender: Member, body: bytes) -> None:
        self._views.heard(sender, body, monotonic_us())

    def on_configuration(self, change: ConfigChanged) -> None:
        """Nothing to do yet: membership changes will add and remove peers here."""

    def _post(self, item: Input) -> None:
        self._inbox.append(item)
        self.wake()

    def _drain(self) -> None:
        self._scheduled = False
        if self._stopped:
            return
        inputs = self._inbox[:DRAIN_INPUTS_MAX]
        del self._inbox[:DRAIN_INPUTS_MAX]
        if self._inbox:
            self.wake()
        now = monotonic_us()
        self._ran_us = now
        self._ready.saw(self._driver.core.leader, now)
        self.guarded(lambda: self._driver.handle(inputs, now, wall_us()))
        if self._ready.wants_barrier(self._driver.core.leader, now):
            self._post(WantRead(self._until_us(None), self._barrier_ended))
        if not (self._driver.writes_wait or self._inbox):
            self._quiet.set()
        self._arm()

    def _barrier_ended(self, failed: ReadFailed | None) -> None:
        self._ready.barrier_ended(failed is None, monotonic_us())

    def guarded(self, action: Callable[[], None]) -> None:
        """A broken invariant, or a bug, stops the node: to go on could lose what was promised (decision 13)."""
        try:
            action()
        except Exception as error:
            self._fatal = f"{type(error).__name__}: {error}"
            self._surroundings.fatal(error)
            self.stop()

    # --- time --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Keep exactly one timer, at the driver's deadline. An earlier timer than needed is left to fire in vain:
        deadlines move with every heartbeat, and re-arming each time costs more."""
        deadline = self._driver.deadline
        if self._stopped or deadline is None:
            return
        if self._timer is not None:
            if self._timer_at_us is not None and self._timer_at_us <= deadline:
                return
            self._timer.cancel()
        self._timer_at_us = deadline
        delay_s = max(0, deadline - monotonic_us()) / 1e6
        self._timer = self._loop.call_later(delay_s, self._timer_fired, GRACE_TURNS)

    def _timer_fired(self, turns_left: int) -> None:
        if turns_left:
            # A handle for each turn; `_timer` stays set, so that `_arm` sees a deadline under way.
            self._timer = None if self._stopped else self._loop.call_later(0, self._timer_fired, turns_left - 1)
            return
        self._timer = None
        self._timer_at_us = None
        deadline = self._driver.deadline
        if deadline is not None and monotonic_us() >= deadline:
            self._post(Deadline())
        else:
            self._arm()

    def tell_everyone(self, answer: bool = False) -> None:
        """Send this node's Report to every peer; `answer`: ask for theirs."""
        message = Report(encode_report(self.status()), 0, answer)
        for peer in self._surroundings.peers:
            self._surroundings.send(peer, message)

    def on_report_wanted(self, peer: str) -> None:
        """A peer asks: the driver's hook."""
        self._surroundings.send(peer, Report(encode_report(self.status())))

    def _report(self) -> None:
        self.tell_everyone()
        self.wake()  # an idle driver without a deadline, such as one that waits for its birth alone, is alive, too
        self._report_timer = self._loop.call_later(REPORT_INTERVAL_S, self._report)

    # --- NodeHandle --------------------------------------------------------------------------------------------

    async def propose(self, command: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0) -> Outcome:
        """See NodeHandle."""
        if self._stopped or len(self._inbox) >= INBOX_INPUTS_MAX:
            return NotProposed("stopping", "the node is stopping") if self._stopped else _overloaded()
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._post(WantWrite(command, self._until_us(timeout_us), _resolver(future), session, sequence))
        return await future

    async def read_barrier(self, timeout_us: int | None) -> ReadFailed | None:
        """See NodeHandle."""
        if self._stopped:
            return ReadFailed("stopping", "the node is stopping")
        future: asyncio.Future[ReadFailed | None] = self._loop.create_future()
        self._post(WantRead(self._until_us(timeout_us), _resolver(future)))
        return await future

    def submit_write(self, command: bytes, timeout_us: int | None, reply: Callable[[Outcome], None]) -> None:
        """`propose` for a caller that has no task to wait in: `reply` is called once, at once or later."""
        if self._stopped or len(self._inbox) >= INBOX_INPUTS_MAX:
            reply(NotProposed("stopping", "the node is stopping") if self._stopped else _overloaded())
        else:
            self._post(WantWrite(command, self._until_us(timeout_us), reply))

    def submit_read(self, timeout_us: int | None, reply: Callable[[ReadFailed | None], None]) -> None:
        """`read_barrier` likewise."""
        if self._stopped or len(self._inbox) >= INBOX_INPUTS_MAX:
            reply(ReadFailed("stopping", "the node is stopping") if self._stopped else _overloaded_read())
        else:
            self._post(WantRead(self._until_us(timeout_us), reply))

    def _until_us(self, timeout_us: int | None) -> int:
        return monotonic_us() + (self._surroundings.request_timeout_us if timeout_us is None else timeout_us)

    async def command(
        self, name: str, arguments: Mapping[str, object], timeout_us: int, node: str = ""
    ) -> CommandOutcome:
        """See NodeHandle."""
        target = node or self._name
        if self._stopped:
            return CommandOutcome(name, target, "stopping", "the node is stopping")
        if len(self._inbox) >= INBOX_INPUTS_MAX:
            return CommandOutcome(name, target, "overloaded", _overloaded().reason)
        if target != self._name and target not in self._surroundings.peers:
            known = ", ".join((self._name, *self._surroundings.peers))
            return CommandOutcome(
                name, target, "unknown-node", f"there is no node {target[:64]!r} here; known: {known}"
            )
        checked = _checked(name, arguments)
        if isinstance(checked, CommandOutcome):
            return msgspec.structs.replace(checked, node=target)
        future: asyncio.Future[CommandOutcome] = self._loop.create_future()
        reply = _resolver(future)
        deadline_us = monotonic_us() + timeout_us
        if target == self._name:
            self._obey(name, checked, deadline_us, reply, relayed=False)
        else:
            self._post(WantRelay(target, name, msgspec.json.encode(checked), deadline_us, reply))
        return await future

    def on_command(self, name: str, arguments: bytes, reply: CommandReplied) -> None:
        """A member relays a command: the driver's hook."""
        try:
            given = msgspec.json.decode(arguments, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            reply(CommandOutcome(name, self._name, "malformed", "the arguments are no JSON object", field="body"))
            return
        checked = _checked(name, given)
        if isinstance(checked, CommandOutcome):
            reply(msgspec.structs.replace(checked, node=self._name))
            return
        self._obey(name, checked, monotonic_us() + RELAYED_TIMEOUT_US, reply, relayed=True)

    def _obey(
        self, name: str, arguments: Mapping[str, Value], deadline_us: int, reply: CommandReplied, relayed: bool
    ) -> None:
        """Carry out; `reply` is called once. A relayed command's answer leaves before anything changes."""

        def answer(outcome: CommandOutcome) -> None:
            reply(msgspec.structs.replace(outcome, node=self._name))

        if name in ORDERS:
            self._post(WantOrder(name, deadline_us, answer, str(arguments.get("target", ""))))
            return
        plan = self._commander.plan(name, arguments)
        if plan.act is not None and relayed:
            self._last_words = self._loop.call_later(LAST_WORD_S, plan.act)
        elif plan.act is not None:
            plan.act()
        answer(plan.outcome)

    def timers_us(self) -> dict[str, int]:
        """See `commanding.Looks`."""
        return self._driver.core.timers(monotonic_us())

    def status(self) -> Status:
        """See NodeHandle."""
        now = monotonic_us()
        around = self._surroundings
        return Status(
            core=self._with_contacts(self._driver.core.status(now), now),
            boot=around.boot,
            version=around.version,
            uptime_us=now - self._started_us,
            client_url=around.client_url,
            links_up=around.links_up(),
            fatal=self._fatal,
            faults=around.faults.active() if around.faults is not None else (),
            time_us=wall_us(),
            leaving=self._ready.leaving,
        )

    def _with_contacts(self, core: CoreStatus, now: int) -> CoreStatus:
        """Followers say nothing of Raft to each other; their Reports are signs of life all the same."""
        peers = tuple(
            msgspec.structs.replace(peer, contact_age_us=self._views.contact_age_us(peer, now)) for peer in core.peers
        )
        return msgspec.structs.replace(core, peers=peers)

    def views(self) -> tuple[PeerView, ...]:
        """See NodeHandle."""
        return self._views.all(self.status(), monotonic_us())

    def log(self, from_index: int, limit: int) -> Iterator[LogLine]:
        """See NodeHandle."""
        entries = self._driver.core.entries(from_index, min(limit, LOG_LINES_MAX))
        return (_log_line(entry, self._surroundings.describe(entry)) for entry in entries)

    def addresses(self) -> Mapping[str, Address]:
        """See `commanding.Looks`."""
        return self._surroundings.addresses()

    def look_up(self) -> None:
        """See `commanding.Looks`."""
        self._surroundings.look_up()

    def readiness(self) -> Readiness:
        """See NodeHandle."""
        return self._ready.view(self._driver.core.leader, monotonic_us())

    def loop_age_us(self) -> int:
        """See NodeHandle. An idle driver runs with every Report."""
        return monotonic_us() - self._ran_us

    def _refuse(self, inputs: list[Input]) -> None:
        for item in inputs:
            if isinstance(item, WantWrite):
                item.reply(NotProposed("stopping", "the node is stopping"))
            elif isinstance(item, WantRead):
                item.reply(ReadFailed("stopping", "the node is stopping"))
            elif isinstance(item, WantOrder | WantRelay):
                item.reply(CommandOutcome(item.command, "", "stopping", "the node is stopping"))


T = TypeVar("T")


def _checked(name: str, given: Mapping[str, object]) -> dict[str, Value] | CommandOutcome:
    """The command's arguments, complete; or why it is none."""
    spec = find(name)
    if spec is None:
        return CommandOutcome(name, "", "unknown-command", f"there is no command {name[:64]!r}")
    try:
        return check(spec, given)
    except BadArgument as bad:
        return CommandOutcome(name, "", "malformed", str(bad), field=bad.field)


def _overloaded() -> NotProposed:
    return NotProposed("overloaded", f"{INBOX_INPUTS_MAX} inputs wait on this node; try again later")


def _overloaded_read() -> ReadFailed:
    return ReadFailed("overloaded", _overloaded().reason)


def _resolver(future: "asyncio.Future[T]") -> Callable[[T], None]:
    def resolve(value: T) -> None:
        if not future.done():  # the client may have gone meanwhile
            future.set_result(value)

    return resolve


def _log_line(entry: Entry, summary: str) -> LogLine:
    checksum = zlib.crc32(msgspec.msgpack.encode(entry))
    kind = entry.kind.name.lower()
    return LogLine(
        entry.index, entry.term, kind, entry.size_bytes, f"{checksum:08x}", summary, entry.session, entry.sequence
    )
