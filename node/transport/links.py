"""Handshake and messages above a carrier: who speaks, whether we listen, and what was said.

Why it exists: the same handshake and codec serve the real network and the simulated one, so it is synchronous and
free of asyncio, clock and sockets. It must not judge messages by the state of the core.

The handshake is one frame each way, because a link has one direction: whoever dialled says `Hello` first, and says
it again on the same link when it was born meanwhile. The receiver accepts a hello whose name is the carrier's
peer, with whom it has a version in common, and whose cluster is ours; an empty cluster id on either side is accepted,
because the messages of birth travel before there is one (the core itself compares name and incarnation with its
configuration).
Among the processes of one name the one that said hello last is the living one: a lane that still carries an
earlier process is ended at its next frame, and if the guess was wrong the living process dials again and wins.
"""

from typing import Protocol

import msgspec

from node.raft.messages import (
    AppendReply,
    Birth,
    CommandReply,
    Lane,
    Message,
    Report,
    SnapshotPieceReply,
    lane_of,
)
from node.raft.types import Member
from node.transport.checks import FrameError
from node.transport.codec import (
    PROTOCOL_OLDEST,
    PROTOCOL_VERSION,
    DamagedFrame,
    Hello,
    common_version,
    decode,
    encode,
)
from node.transport.port import FRAME_BYTES_MAX, Carrier
from node.transport.processes import OnProcess, Processes

LANES = (Lane.CONTROL, Lane.BULK)


class Deliver(Protocol):
    """Takes a message of a peer that said a valid hello. Must not block."""

    def __call__(self, sender: Member, message: Message) -> None: ...


class OnLink(Protocol):
    """Told of every change, for the trace. `direction`: "out" (dialled here) or "in"; `reason`: empty when up."""

    def __call__(self, peer: str, lane: Lane, direction: str, up: bool, reason: str) -> None: ...


def _nobody_asks(_member: Member, _boot: str) -> None:
    """For those who do not want to know of processes."""


class Door(Protocol):
    """Who may come in. Called within `on_frame`; may change the carrier's peers."""

    def is_guest(self, name: str) -> bool:
        """Whether that one is no member as far as this node knows."""

    def admit(self, name: str, host: str, port: int) -> str:
        """A valid hello came from `name`, whose peer listener is there (an empty host: it does not say). Why it may not
        stay, in a sentence; empty: it may."""


_OF_GUESTS = (Birth, AppendReply, SnapshotPieceReply, Report, CommandReply)
"""All that a server has to say which is not born; from a member it is the core that judges."""


class LinkCounters(msgspec.Struct):
    """What went wrong since the start of this process, in frames."""

    refused_hellos: int = 0
    damaged_frames: int = 0
    """Whose checksum was wrong: a bit flipped on the way."""
    bad_frames: int = 0
    stale_frames: int = 0
    oversized_frames: int = 0
    refused_sends: int = 0

    def by_reason(self) -> dict[str, int]:
        """The same in words for people: what was not taken (the first four), and what was not sent."""
        return {
            "damaged": self.damaged_frames,
            "impossible": self.bad_frames,
            "hello": self.refused_hellos,
            "stale": self.stale_frames,
            "oversized": self.oversized_frames,
            "link full or down": self.refused_sends,
        }


class Traffic(msgspec.Struct):
    """Messages exchanged with one peer since the start of this process, both lanes; bytes are those of frames."""

    messages_sent: int = 0
    messages_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class _Session(msgspec.Struct):
    """An inbound link after its hello. `ended`: why its next frame closes it; empty while it is good."""

    hello: Hello
    sender: Member
    ended: str = ""


class PeerLinks:
    """Satisfies `node.transport.port.Receiver` (below) and `node.runtime.ports.Links` (above).

    `cluster_id` is empty while this node is not born. `address` is told in every hello. `on_process_up` hears who says
    hello on a new link, before any message of it; `on_process_gone` see processes.py. Call `attach` once, before the
    carrier starts; `open_door` where others than the carrier's peers may come in.
    """

    def __init__(
        self,
        *,
        name: str,
        incarnation: str,
        boot: str,
        cluster_id: str,
        deliver: Deliver,
        on_link: OnLink,
        on_process_up: OnProcess = _nobody_asks,
        on_process_gone: OnProcess = _nobody_asks,
        address: tuple[str, int] = ("", 0),
    ) -> None:
        self._address = address
        self._door: Door | None = None
        self._me = Member(name, incarnation)
        self._boot = boot
        self._cluster_id = cluster_id
        self._deliver = deliver
        self._on_link = on_link
        self._on_process_up = on_process_up
        self._processes = Processes(on_process_gone)
        self._carrier: Carrier | None = None
        self._sessions: dict[tuple[str, Lane], _Session] = {}
        self._greeted: dict[tuple[str, Lane], None] = {}
        self._owed: dict[tuple[str, Lane], None] = {}
        """Links that did not take a hello: it is said before anything else that they take."""
        self.counters = LinkCounters()
        self.traffic: dict[str, Traffic] = {}
        """By peer; a name that a carrier never connects has none."""

    def attach(self, carrier: Carrier) -> None:
        """The carrier that moves the frames; it must know this object as its receiver."""
        self._carrier = carrier

    def open_door(self, door: Door) -> None:
        """From now on it decides about those that are no peers."""
        self._door = door

    def hears(self, name: str) -> bool:
        """Whether a link of that name is up that said a valid hello."""
        return any((name, lane) in self._sessions for lane in LANES)

    def forget(self, name: str) -> None:
        """That one is gone, and was no member: keep nothing of it."""
        self.traffic.pop(name, None)

    def set_cluster_id(self, cluster_id: str) -> None:
        """This node was born: say hello again with the id on every link, and end links of other clusters."""
        self._cluster_id = cluster_id
        for peer, lane in list(self._greeted):
            self._say_hello(peer, lane)
        for session in self._sessions.values():
            session.ended = session.ended or self._foreign(session.hello)

    def send(self, to: str, message: Message) -> bool:
        """See `node.runtime.ports.Links.send`."""
        frame = encode(message)
        if len(frame) > FRAME_BYTES_MAX:
            self.counters.oversized_frames += 1
            return False
        lane = lane_of(message)
        if (to, lane) in self._owed:
            self._say_hello(to, lane)
        if self._carrier is not None and self._carrier.send(to, lane, frame):
            traffic = self.traffic.get(to) or self.traffic.setdefault(to, Traffic())
            traffic.messages_sent += 1
            traffic.bytes_sent += len(frame)
            return True
        self.counters.refused_sends += 1
        return False

    def flush(self) -> None:
        """See `node.runtime.ports.Links.flush`."""
        if self._carrier is not None:
            self._carrier.flush()

    def connected(self, to: str) -> bool:
        """See `node.runtime.ports.Links.connected`: both outbound lanes are up (whether the peer listens to what
        is said there is not known here; a peer that refuses our hello closes the link)."""
        return self._carrier is not None and all(self._carrier.outbound_up(to, lane) for lane in LANES)

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """See `node.transport.port.Receiver`."""
        if up:
            self._greeted[peer, lane] = None
            self._say_hello(peer, lane)
        else:
            self._greeted.pop((peer, lane), None)
            self._owed.pop((peer, lane), None)
        self._on_link(peer, lane, "out", up, reason)
        self._processes.outbound(peer, lane, up, reason)

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """See `node.transport.port.Receiver`. The link counts as up when its hello was accepted."""
        session = self._sessions.pop((peer, lane), None)
        if not up and (session is not None or self._door is None or not self._door.is_guest(peer)):
            # A name that was not admitted is anybody's word, and what is told is counted by name.
            self._on_link(peer, lane, "in", False, reason)
        self._processes.inbound(peer, lane, up)

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        """See `node.transport.port.Receiver`."""
        session = self._sessions.get((peer, lane))
        if session is not None and session.ended:
            self.counters.stale_frames += 1
            return session.ended
        try:
            message = decode(frame)
        except DamagedFrame as error:
            self.counters.damaged_frames += 1
            return str(error)
        except FrameError as error:
            self.counters.bad_frames += 1
            return str(error)
        if isinstance(message, Hello):
            return self._hear_hello(peer, lane, message)
        if session is None:
            self.counters.bad_frames += 1
            return "the first frame is not a hello"
        if not isinstance(message, _OF_GUESTS) and self._is_unborn_guest(session):
            self.counters.bad_frames += 1
            return f"{peer} is not born, so it has nothing of this kind to say"
        traffic = self.traffic.get(peer) or self.traffic.setdefault(peer, Traffic())
        traffic.messages_received += 1
        traffic.bytes_received += len(frame)
        self._deliver(session.sender, message)
        return None

    def _is_unborn_guest(self, session: _Session) -> bool:
        unborn = bool(self._cluster_id) and not session.hello.cluster_id
        return unborn and self._door is not None and self._door.is_guest(session.sender.name)

    def _say_hello(self, peer: str, lane: Lane) -> None:
        me, version = self._me, PROTOCOL_VERSION
        hello = Hello(
            version, self._cluster_id, me.name, me.incarnation, self._boot, lane, *self._address, PROTOCOL_OLDEST
        )
        if self._carrier is not None and self._carrier.send(peer, lane, encode(hello)):
            self._owed.pop((peer, lane), None)
        else:
            self.counters.refused_sends += 1
            self._owed[peer, lane] = None

    def _hear_hello(self, peer: str, lane: Lane, hello: Hello) -> str | None:
        refusal = self._refusal(peer, lane, hello)
        if not refusal and self._door is not None:
            refusal = self._door.admit(peer, hello.host, hello.port)
        if refusal:
            self.counters.refused_hellos += 1
            self._sessions.pop((peer, lane), None)
            return refusal
        again = (peer, lane) in self._sessions
        self._sessions[peer, lane] = _Session(hello, Member(hello.name, hello.incarnation))
        for other in LANES:
            session = self._sessions.get((peer, other))
            if session is not None and session.hello.boot != hello.boot:
                session.ended = f"{peer} restarted: boot {hello.boot} replaced {session.hello.boot}"
        if not again:
            self._on_link(peer, lane, "in", True, "")
            self._processes.hello(Member(hello.name, hello.incarnation), hello.boot)
            self._on_process_up(Member(hello.name, hello.incarnation), hello.boot)
        return None

    def _refusal(self, peer: str, lane: Lane, hello: Hello) -> str:
        if not common_version(hello):
            theirs = _versions(hello.oldest or hello.version, hello.version)
            ours = _versions(PROTOCOL_OLDEST, PROTOCOL_VERSION)
            return f"no protocol in common: {theirs} there, {ours} here (UPGRADING.md)"
        if hello.name != peer:
            return f"the hello names {hello.name}, the link {peer}"
        if hello.lane is not lane:
            return f"the hello names lane {hello.lane.name.lower()}, the link {lane.name.lower()}"
        return self._foreign(hello)

    def _foreign(self, hello: Hello) -> str:
        if hello.cluster_id and self._cluster_id and hello.cluster_id != self._cluster_id:
            return f"cluster id {hello.cluster_id} is not ours ({self._cluster_id})"
        return ""


def _versions(oldest: int, newest: int) -> str:
    return f"version {newest}" if oldest == newest else f"versions {oldest} to {newest}"
