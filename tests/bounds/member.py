"""One member of three behind its links, on a loop that is turned by hand: frames in, frames out, its work counted.

Why it exists: what peers say, and what a driver does between two messages, is walked without sockets and without time:
the links, the inbox, the driver, the core and the state machine are those of production, the disk completes at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, cast

import pytest

from node.observe.trace import Trace
from node.raft.core import Raft
from node.raft.events import Deadline
from node.raft.messages import Lane, Message, PreVote, PreVoteReply, Vote, VoteReply, lane_of
from node.raft.settings import RaftSettings
from node.raft.state import Identity
from node.raft.types import Configuration, Entry, EntryKind, HardState, MemberAddress, Role
from node.raft.types import Member as RaftMember
from node.runtime import shell as shell_module
from node.runtime.driver import Driver
from node.runtime.hooks import Hooks
from node.runtime.membership import Membership
from node.runtime.shell import Shell
from node.runtime.views import Views
from node.statemachine.store import KeyValueStore
from node.transport.codec import PROTOCOL_VERSION, Hello, decode, encode
from node.transport.links import PeerLinks
from tests.bounds.meter import Meter, Work
from tests.runtime.doubles import BOOT, MEMBERS, Disk
from tests.runtime.snapshots_in_memory import MemorySnapshots

BIRTH = Entry(1, 0, EntryKind.CONFIGURATION, Configuration(MEMBERS).encode())
TURNS_MAX = 20_000


class ManualLoop:
    """What `Shell` needs of a loop. Timers never fire: tests post what they are for."""

    def __init__(self) -> None:
        self.ready: deque[Callable[[], Any]] = deque()

    def call_soon(self, action: Callable[..., Any], *arguments: Any) -> None:
        self.ready.append(lambda: action(*arguments))

    def call_later(self, _delay: float, _action: Callable[..., Any], *_arguments: Any) -> asyncio.Handle:
        return cast(asyncio.Handle, _Timer())


class _Timer:
    def cancel(self) -> None: ...


class Wire:
    """A carrier that takes everything."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []

    def send(self, peer: str, _lane: Lane, frame: bytes) -> bool:
        self.frames.append((peer, frame))
        return True

    def flush(self) -> None: ...

    def outbound_up(self, _peer: str, _lane: Lane) -> bool:
        return True

    def reset(self, peer: str | None = None) -> None: ...

    def set_peers(self, peers: tuple[str, ...]) -> None: ...


class Member:
    """n1, restarted with `entries` in its log (the birth comes first); `born` False: with nothing."""

    def __init__(
        self, store: KeyValueStore, entries: Sequence[Entry] = (), *, born: bool = True, committed: int = 1
    ) -> None:
        self.now = 1_000_000
        self.meter = Meter()
        self.loop = ManualLoop()
        self.wire = Wire()
        self.store = store
        identity = Identity("n1", "n1-disk", BOOT, ("n1", "n2", "n3"))
        term = entries[-1].term if entries else 0
        log = (BIRTH, *entries) if born else ()
        self.shell = Shell(cast(asyncio.AbstractEventLoop, self.loop), self._fail, 10_000_000, 300_000)
        links = PeerLinks(
            name="n1",
            incarnation="n1-disk",
            boot=BOOT,
            cluster_id="",
            deliver=self.shell.deliver,
            on_link=lambda peer, lane, direction, up, reason: None,
        )
        links.attach(self.wire)
        self.links = links
        membership = Membership("n1", [MemberAddress(name, "h", 1) for name in ("n1", "n2", "n3")])
        views = Views("n1", membership)

        def heard(sender: RaftMember, body: bytes) -> None:
            views.heard(sender, body, self.now)

        hooks = Hooks(
            wake=self.shell.wake,
            configuration=lambda change: membership.adopt(change.configuration, change.leaving),
            report=heard,
        )
        core = Raft(identity, RaftSettings(), Random(1), HardState(term, "", committed if born else 0), log)
        trace = Trace("n1", BOOT, lambda: self.now)
        self.driver = Driver(core, BOOT, Disk(), store, links, trace, hooks, snapshots=MemorySnapshots())
        self.shell.attach(self.driver)
        self.failed: Exception | None = None

    def begin(self) -> None:
        """Start, and hear the hellos of the others."""
        self.loop.call_soon(self.shell.start)
        for member in MEMBERS[1:]:
            for lane in Lane:
                hello = Hello(PROTOCOL_VERSION, "", member.name, member.incarnation, f"boot-{member.name}", lane)
                self.links.on_inbound(member.name, lane, True, "")
                assert self.links.on_frame(member.name, lane, encode(hello)) is None
        self.turns()

    def _fail(self, error: Exception) -> None:
        raise error

    @property
    def core(self) -> Raft:
        return self.driver.core

    def turn(self) -> None:
        """All that is ready, as one turn; a millisecond passes."""
        self.now += 1_000
        ready, self.loop.ready = self.loop.ready, deque()

        def act() -> None:
            for action in ready:
                action()

        self.meter.turn(act)

    def turns(self) -> None:
        """Until nothing is to be done any more."""
        for _ in range(TURNS_MAX):
            if not self.loop.ready:
                return
            self.turn()
        raise AssertionError("it never comes to rest")

    def hear(self, message: Message, sender: int = 2) -> None:
        """A frame of n2 (or n3) comes in; then everything that follows."""
        frame, peer, lane = encode(message), f"n{sender}", lane_of(message)
        refused: list[str | None] = []
        self.loop.call_soon(lambda: refused.append(self.links.on_frame(peer, lane, frame)))
        self.turns()
        assert refused == [None]

    def pass_time(self, us: int) -> None:
        """A deadline came."""
        self.now += us
        self.shell.post(Deadline())
        self.turns()

    def said(self, kind: type) -> list[Any]:
        """Messages of one kind that left, and forget all."""
        messages = [decode(frame) for _, frame in self.wire.frames]
        self.wire.frames.clear()
        return [message for message in messages if isinstance(message, kind)]

    def lead(self) -> None:
        """Win an election with n2's vote. Nothing is acknowledged."""
        self.wire.frames.clear()
        self.pass_time(400_000)
        asked = self.said(PreVote)[0]
        self.hear(PreVoteReply(asked.term, True, asked.campaign))
        self.hear(VoteReply(self.said(Vote)[0].term, True))
        assert self.core.role is Role.LEADER
        self.wire.frames.clear()

    def walk(self, action: Callable[[], Any]) -> Work:
        """The longest turn of what `action` begins, until all is at rest."""
        self.meter.reset()
        with self.meter.counting():
            action()
            self.turns()
        return self.meter.worst


@contextmanager
def member(
    monkeypatch: pytest.MonkeyPatch,
    store: KeyValueStore | None = None,
    entries: Sequence[Entry] = (),
    *,
    born: bool = True,
    committed: int = 1,
) -> Iterator[Member]:
    """It has begun."""
    made = Member(store or KeyValueStore(), entries, born=born, committed=committed)
    monkeypatch.setattr(shell_module, "monotonic_us", lambda: made.now)
    monkeypatch.setattr(shell_module, "wall_us", lambda: made.now)
    made.begin()
    yield made
