"""A network of carriers on virtual time: one seed, one history.

Why it exists: the production handshake, codec and driver run above it, so every delay, cut, crash and reset that a
real network has must be possible here, and repeatable. It must not use real time, global chance, or sets.

A link is what one endpoint dialled for one peer and lane, as in the real carrier: frames of a link arrive in order,
and a cut of A -> B stops what A dialled towards B, not what B dialled towards A. While a link is cut or stalled its
frames wait (TCP would repeat them); after `silence_us` the dialler gives it up. Dropping, duplicating and reordering
single frames are faults that one TCP connection does not show, but Raft must survive: they are off unless
`Conditions` switch them on, and spare a link's first frame, because the handshake belongs to the link. A flipped bit
spares nothing.

Two processes may bear one name at one time, as after a forced move of a pod. A dial of that name reaches either, by
chance, and of two that dial the one that came last is listened to. Cuts tell the two apart by their labels.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from node.raft.messages import Lane
from node.transport.port import (
    FRAME_BYTES_MAX,
    GOODBYE,
    LOST,
    NO_PEER,
    QUEUE_BYTES_MAX,
    QUEUE_FRAMES_MAX,
    REFUSED,
    Receiver,
)

NOT_ACCEPTED = "the peer's port does not accept this link"


class Schedule(Protocol):
    """Runs `callback` at virtual time `at_us` (never earlier than now, ties in the order of scheduling)."""

    def __call__(self, at_us: int, callback: Callable[[], None]) -> None: ...


class Chance(Protocol):
    def random(self) -> float: ...


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The weather of one direction, or of all. Chances are 0 to 1 a frame; durations microseconds, evenly spread."""

    delay_min_us: int = 100
    delay_max_us: int = 1_000
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_max_us: int = 20_000
    """A reordered or duplicate frame is late by up to this, and later frames pass it."""
    corrupt: float = 0.0
    """One bit of the frame is flipped on its way."""


class NetworkLimits(msgspec.Struct, frozen=True, kw_only=True):
    """As `node.transport.settings.LinkSettings`, in microseconds of virtual time."""

    dial_timeout_us: int = 1_000_000
    redial_min_us: int = 20_000
    redial_max_us: int = 1_000_000
    silence_us: int = 2_000_000
    inbound_silence_us: int = 5_000_000
    frame_bytes_max: int = FRAME_BYTES_MAX
    queue_frames_max: int = QUEUE_FRAMES_MAX
    queue_bytes_max: int = QUEUE_BYTES_MAX


class _Link:
    """One connection. Each end is open until it has learned of the end; frames arrive only while the far end is."""

    def __init__(self, source: "SimCarrier", target: "SimCarrier", lane: Lane) -> None:
        self.source = source
        self.target = target
        self.lane = lane
        self.near_open = False
        self.ever_up = False
        self.far_open = True
        self.queued_frames = 0
        self.queued_bytes = 0
        self.sent_frames = 0
        self.floor_us = 0
        self.hello_at_us = 0
        self.held: list[bytes] = []
        self.blocked_since_us: int | None = None


class _Dialler:
    """The state of one outbound lane. `attempt` makes scheduled dials of the past recognisable."""

    def __init__(self, pause_us: int) -> None:
        self.link: _Link | None = None
        self.attempt = 0
        self.pause_us = pause_us
        self.up_at_us = 0
        self.failing = False
        self.reported: str | None = None


class SimCarrier:
    """One endpoint in one life (a restart makes a new one). Satisfies `node.transport.port.Carrier`."""

    def __init__(
        self, network: "SimNetwork", name: str, peers: tuple[str, ...], receiver: Receiver, label: str
    ) -> None:
        self.name = name
        self.label = label
        self.peers = tuple(peer for peer in peers if peer != name)
        self.receiver = receiver
        self.running = True
        self.paused = False
        self.backlog: list[Callable[[], None]] = []
        self.inbound: dict[tuple[str, Lane], _Link] = {}
        pause_us = network.limits.redial_min_us
        self.diallers = {(peer, lane): _Dialler(pause_us) for peer in self.peers for lane in Lane}
        self._network = network

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """See `Carrier.send`."""
        dialler = self.diallers.get((peer, lane))
        if dialler is None or dialler.link is None or not self.running:
            return False
        return self._network.transmit(dialler.link, frame)

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """See `Carrier.outbound_up`."""
        dialler = self.diallers.get((peer, lane))
        return dialler is not None and dialler.link is not None

    def reset(self, peer: str | None = None) -> None:
        """See `Carrier.reset`."""
        self._network.reset(self, self.peers if peer is None else (peer,))

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """See `Carrier.set_peers`."""
        before, self.peers = self.peers, tuple(peer for peer in peers if peer != self.name)
        self._network.change_peers(self, before)


class SimNetwork:
    """All endpoints and everything between them. `endpoint` starts one; faults may change at any moment."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        now: Callable[[], int],
        chance: Chance,
        conditions: Conditions | None = None,
        limits: NetworkLimits | None = None,
    ) -> None:
        self.limits = limits or NetworkLimits()
        self.conditions = conditions or Conditions()
        self._schedule = schedule
        self._now = now
        self._chance = chance
        self._endpoints: dict[str, list[SimCarrier]] = {}
        self._special: dict[tuple[str, str], Conditions] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._stalls: dict[tuple[str, str, Lane], None] = {}
        self._closed: dict[str, None] = {}
        self._links: dict[_Link, None] = {}
        self.flipped_frames = 0

    # Life of an endpoint

    def endpoint(self, name: str, peers: tuple[str, ...], receiver: Receiver, label: str = "") -> SimCarrier:
        """Start (or start again) the node `name`: it accepts links from `peers` and dials them from now on.

        A second process of one name has another `label`, which faults know it by.
        """
        carrier = SimCarrier(self, name, peers, receiver, label or name)
        living = [other for other in self._endpoints.get(name, ()) if other.running and other.label != carrier.label]
        self._endpoints[name] = [*living, carrier]
        for peer, lane in carrier.diallers:
            self._plan_dial(carrier, peer, lane, 0)
        return carrier

    def crash(self, label: str) -> None:
        """The process is gone, its port closed; the peers' machines notice that, unless they are cut off from it."""
        self._stop(self._labelled(label), LOST)

    def leave(self, label: str) -> None:
        """The process ends on purpose and says goodbye."""
        self._stop(self._labelled(label), GOODBYE)

    def pause(self, label: str) -> None:
        """SIGSTOP: nothing is received, dialled or judged there until `resume`; its connections stay open."""
        self._labelled(label).paused = True
        self._review()

    def resume(self, label: str) -> None:
        """SIGCONT: everything that came meanwhile is heard now, in order."""
        carrier = self._labelled(label)
        carrier.paused = False
        backlog, carrier.backlog = carrier.backlog, []
        for number, event in enumerate(backlog):
            if carrier.paused:
                carrier.backlog[:0] = backlog[number:]
                break
            if carrier.running:
                event()
        self._review()

    def _labelled(self, label: str) -> SimCarrier:
        return next(one for living in self._endpoints.values() for one in living if one.label == label)

    # Faults

    def weather(self, source: str, target: str, conditions: Conditions | None) -> None:
        """Other conditions for one direction; None: the general ones again."""
        self._special.pop((source, target), None)
        if conditions is not None:
            self._special[source, target] = conditions

    def cut(self, source: str, target: str) -> None:
        """Nothing that `source` says reaches `target`; the other direction is untouched."""
        self._cuts[source, target] = None
        self._review()

    def heal(self, source: str, target: str) -> None:
        """Undo `cut`."""
        self._cuts.pop((source, target), None)
        self._review()

    def partition(self, *groups: tuple[str, ...]) -> None:
        """Cut every pair of nodes that stand in different groups, both directions."""
        for here in groups:
            for there in groups:
                if here is not there:
                    self._cuts.update({(a, b): None for a in here for b in there})
        self._review()

    def heal_all(self) -> None:
        """Undo every cut and every stall, and open every port."""
        self._cuts.clear()
        self._closed.clear()
        self._stalls.clear()
        self._review()

    def stall(self, source: str, target: str, lane: Lane) -> None:
        """Frames of one lane are taken and not delivered, until `release` or until the dialler gives the link up."""
        self._stalls[source, target, lane] = None
        self._review()

    def release(self, source: str, target: str, lane: Lane) -> None:
        """Undo `stall`."""
        self._stalls.pop((source, target, lane), None)
        self._review()

    def close_port(self, label: str) -> None:
        """The process lives, but dials to it are refused, until `open_port`; its links stand."""
        self._closed[label] = None

    def open_port(self, label: str) -> None:
        """Undo `close_port`."""
        self._closed.pop(label, None)

    def break_inbound(self, label: str) -> None:
        """The links that others dialled to this process break, as when a proxy before it ends; its own stand."""
        for link in list(self._links):
            if link.target.label == label:
                self._far_down(link, LOST)
                self._later(link, lambda link=link: self._near_down(link, LOST))  # type: ignore[misc]

    def fair_weather(self) -> None:
        """Nothing special in any direction, and nothing lost, late or flipped in general."""
        self._special.clear()
        self.conditions = Conditions()

    def reset(self, carrier: SimCarrier, peers: tuple[str, ...]) -> None:
        """Break all links between `carrier` and `peers`; see `Carrier.reset`."""
        for link in list(self._links):
            if link.source is carrier and link.target.name in peers:
                if link.ever_up:
                    self._near_down(link, "reset")
                elif carrier.running:  # the answer to this dial is still on its way: dial anew, and ignore it
                    self._plan_redial(carrier, link.target.name, link.lane)
                self._later(link, lambda link=link: self._far_down(link, LOST))  # type: ignore[misc]
            elif link.target is carrier and link.source.name in peers:
                self._far_down(link, "reset")
                self._later(link, lambda link=link: self._near_down(link, LOST))  # type: ignore[misc]

    def change_peers(self, carrier: SimCarrier, before: tuple[str, ...]) -> None:
        """End the links with those that are peers no more, dial those that are new; see `Carrier.set_peers`."""
        gone = tuple(peer for peer in before if peer not in carrier.peers)
        for link in list(self._links):
            if link.source is carrier and link.target.name in gone:
                self._near_down(link, NO_PEER)
                self._later(link, lambda link=link: self._far_down(link, GOODBYE), in_order=True)  # type: ignore[misc]
            elif link.target is carrier and link.source.name in gone:
                self._far_down(link, NO_PEER)
                self._later(link, lambda link=link: self._near_down(link, GOODBYE))  # type: ignore[misc]
        for peer in gone:
            for lane in Lane:
                carrier.diallers.pop((peer, lane)).attempt += 1  # dials under way come to nothing
        for peer in carrier.peers:
            if peer not in before:
                for lane in Lane:
                    carrier.diallers[peer, lane] = _Dialler(self.limits.redial_min_us)
                    self._plan_dial(carrier, peer, lane, 0)

    # Frames

    def transmit(self, link: _Link, frame: bytes) -> bool:
        """Put a frame on its way; False where the link is full."""
        limits = self.limits
        if len(frame) > limits.frame_bytes_max or link.queued_frames >= limits.queue_frames_max:
            return False
        if link.queued_frames and link.queued_bytes + len(frame) > limits.queue_bytes_max:
            return False
        weather = self._weather(link)
        first = link.sent_frames == 0
        link.sent_frames += 1
        if self._happens(weather.corrupt):
            frame = self._flip_a_bit(frame)
        if not first and self._happens(weather.drop):
            return True
        if not first and self._happens(weather.duplicate):
            self._send_late(link, frame, weather)
        if not first and self._happens(weather.reorder):
            self._send_late(link, frame, weather)
            return True
        link.floor_us = max(link.floor_us, self._now() + self._delay_us(weather))
        if first:
            link.hello_at_us = link.floor_us
        self._enqueue(link, frame, link.floor_us)
        return True

    def _flip_a_bit(self, frame: bytes) -> bytes:
        bit = int(self._chance.random() * len(frame) * 8)
        self.flipped_frames += 1
        return frame[: bit // 8] + bytes((frame[bit // 8] ^ 1 << bit % 8,)) + frame[bit // 8 + 1 :]

    def _send_late(self, link: _Link, frame: bytes, weather: Conditions) -> None:
        late_us = self._delay_us(weather) + int(self._chance.random() * weather.reorder_max_us)
        self._enqueue(link, frame, max(link.hello_at_us + 1, self._now() + late_us))

    def _enqueue(self, link: _Link, frame: bytes, at_us: int) -> None:
        link.queued_frames += 1
        link.queued_bytes += len(frame)
        self._schedule(at_us, lambda: self._arrive(link, frame))

    def _arrive(self, link: _Link, frame: bytes) -> None:
        if link.held or self._obstructed(link):
            link.held.append(frame)
        else:
            self._tell(link.target, lambda: self._deliver(link, frame))

    def _deliver(self, link: _Link, frame: bytes) -> None:
        link.queued_frames -= 1
        link.queued_bytes -= len(frame)
        if not link.far_open:
            return
        reason = link.target.receiver.on_frame(link.source.name, link.lane, frame)
        if reason and link.far_open:
            self._far_down(link, reason)
            self._later(link, lambda: self._near_down(link, f"the peer closed: {reason}"))

    # Dialling

    def _plan_dial(self, carrier: SimCarrier, peer: str, lane: Lane, in_us: int) -> None:
        dialler = carrier.diallers[peer, lane]
        dialler.attempt += 1
        attempt = dialler.attempt

        def dial() -> None:
            if carrier.running and dialler.attempt == attempt:
                self._dial(carrier, peer, lane, attempt)

        self._schedule(self._now() + in_us, lambda: self._tell(carrier, dial))

    def _dial(self, carrier: SimCarrier, peer: str, lane: Lane, attempt: int) -> None:
        dialler = carrier.diallers[peer, lane]
        dialler.failing = False
        gives_up_at_us = self._now() + self.limits.dial_timeout_us

        def fail(reason: str) -> None:
            if carrier.running and dialler.attempt == attempt:
                self._dial_failed(carrier, peer, lane, reason)

        def knock() -> None:
            if not carrier.running or dialler.attempt != attempt:
                return
            target = self._somebody(peer)
            label = peer if target is None else target.label
            blocked = (carrier.label, label) in self._cuts or (carrier.label, label, lane) in self._stalls
            if blocked or (target is not None and target.paused):
                silence = "silence: no answer to a dial"
                self._schedule(gives_up_at_us, lambda: self._tell(carrier, lambda: fail(silence)))
            elif target is None or target.label in self._closed or carrier.name not in target.peers:
                reason = REFUSED if target is None or target.label in self._closed else NOT_ACCEPTED
                self._schedule(self._now() + self._delay_us(), lambda: self._tell(carrier, lambda: fail(reason)))
            else:
                self._accept(carrier, target, lane, attempt)

        self._schedule(self._now() + self._delay_us(), knock)

    def _somebody(self, name: str) -> SimCarrier | None:
        """The living process of that name; of two, either."""
        living = [carrier for carrier in self._endpoints.get(name, ()) if carrier.running]
        if len(living) > 1:
            return living[int(self._chance.random() * len(living))]
        return living[0] if living else None

    def _accept(self, carrier: SimCarrier, target: SimCarrier, lane: Lane, attempt: int) -> None:
        link = _Link(carrier, target, lane)
        older = target.inbound.get((carrier.name, lane))
        if older is not None:
            self._far_down(older, "replaced by a newer link")
            self._later(older, lambda: self._near_down(older, LOST))
        target.inbound[carrier.name, lane] = link
        self._links[link] = None
        dialler = carrier.diallers[target.name, lane]

        def come_up() -> None:
            if not (carrier.running and link.far_open and dialler.attempt == attempt):
                self._far_down(link, LOST)
                if carrier.running and dialler.attempt == attempt:
                    self._dial_failed(carrier, target.name, lane, LOST)
                return
            link.near_open = link.ever_up = True
            dialler.link = link
            dialler.up_at_us = self._now()
            dialler.reported = None
            carrier.receiver.on_outbound(target.name, lane, True, "")
            self._review()

        self._schedule(self._now() + self._delay_us(), lambda: self._tell(carrier, come_up))
        target.receiver.on_inbound(carrier.name, lane, True, "")
        back = target.diallers[carrier.name, lane]
        if back.failing:
            self._plan_dial(target, carrier.name, lane, 0)

    def _dial_failed(self, carrier: SimCarrier, peer: str, lane: Lane, reason: str) -> None:
        dialler = carrier.diallers[peer, lane]
        self._plan_redial(carrier, peer, lane)
        dialler.failing = True
        if reason != dialler.reported:
            dialler.reported = reason
            carrier.receiver.on_outbound(peer, lane, False, reason)

    def _plan_redial(self, carrier: SimCarrier, peer: str, lane: Lane) -> None:
        dialler = carrier.diallers[peer, lane]
        self._plan_dial(carrier, peer, lane, int(dialler.pause_us * (0.5 + self._chance.random() / 2)))
        dialler.pause_us = min(dialler.pause_us * 2, self.limits.redial_max_us)

    # The ends of links

    def _near_down(self, link: _Link, reason: str) -> None:
        """The dialler learns that its link is down, once, and dials anew."""
        carrier = link.source
        if not link.near_open:
            return
        link.near_open = False
        self._forget(link)
        dialler = carrier.diallers.get((link.target.name, link.lane))
        if dialler is None or dialler.link is not link:
            return
        dialler.link = None
        stood = self._now() - dialler.up_at_us >= self.limits.redial_max_us
        if stood:
            dialler.pause_us = self.limits.redial_min_us
        dialler.reported = reason
        if carrier.running:
            if stood:
                self._plan_dial(carrier, link.target.name, link.lane, 0)
            else:
                self._plan_redial(carrier, link.target.name, link.lane)
            carrier.receiver.on_outbound(link.target.name, link.lane, False, reason)

    def _far_down(self, link: _Link, reason: str) -> None:
        """The accepting end learns it, once; no frame of the link is delivered afterwards."""
        if not link.far_open:
            return
        link.far_open = False
        self._forget(link)
        if link.target.inbound.get((link.source.name, link.lane)) is link:
            del link.target.inbound[link.source.name, link.lane]
        if link.target.running:
            link.target.receiver.on_inbound(link.source.name, link.lane, False, reason)

    def _forget(self, link: _Link) -> None:
        if not link.near_open and not link.far_open:
            self._links.pop(link, None)

    def _stop(self, carrier: SimCarrier, reason: str) -> None:
        carrier.running = False
        carrier.backlog.clear()
        carrier.paused = False
        for link in list(self._links):
            if link.source is carrier:
                link.near_open = False
                self._later(link, lambda link=link: self._far_down(link, reason), in_order=True)  # type: ignore[misc]
            elif link.target is carrier:
                link.far_open = False
                self._later(link, lambda link=link: self._near_down(link, reason))  # type: ignore[misc]
        for dialler in carrier.diallers.values():
            dialler.link = None

    def _later(self, link: _Link, learn: Callable[[], None], *, in_order: bool = False) -> None:
        """The other end learns of an end after a delay; across a cut only its own patience tells it.

        `in_order`: after the frames that are under way, as the end of a TCP stream comes."""
        at_us = self._now() + self._delay_us(self._weather(link))
        other = link.target if link.far_open else link.source

        def arrive() -> None:
            if self._obstructed(link):
                self._schedule(self._now() + self.limits.inbound_silence_us, lambda: self._tell(other, learn))
            else:
                self._tell(other, learn)

        self._schedule(max(at_us, link.floor_us) if in_order else at_us, arrive)

    # Who can hear whom

    def _obstructed(self, link: _Link) -> bool:
        pair = (link.source.label, link.target.label)
        return pair in self._cuts or (*pair, link.lane) in self._stalls

    def _review(self) -> None:
        """After any change of cuts, stalls and pauses: start or stop every link's patience, let held frames go."""
        for link in list(self._links):
            obstructed = self._obstructed(link)
            unanswered = obstructed or link.target.paused or link.source.paused
            if unanswered and link.blocked_since_us is None:
                self._start_patience(link)
            elif not unanswered:
                link.blocked_since_us = None
            if not obstructed and link.held:
                at_us = self._now() + self._delay_us(self._weather(link))
                self._schedule(at_us, lambda link=link: self._let_go(link))  # type: ignore[misc]

    def _let_go(self, link: _Link) -> None:
        """Held frames arrive together; those that come before this join them, so the order stays."""
        if not self._obstructed(link):
            held, link.held = link.held, []
            for frame in held:
                self._arrive(link, frame)

    def _start_patience(self, link: _Link) -> None:
        since_us = link.blocked_since_us = self._now()

        def dialler_gives_up() -> None:
            if link.blocked_since_us == since_us and link.near_open and not link.source.paused:
                self._near_down(link, "silence: no pong")
                self._later(link, lambda: self._far_down(link, LOST), in_order=True)

        def acceptor_gives_up() -> None:
            if link.blocked_since_us == since_us and link.far_open and not link.target.paused:
                self._far_down(link, "silence: nothing came")
                self._later(link, lambda: self._near_down(link, LOST))

        self._schedule(since_us + self.limits.silence_us, dialler_gives_up)
        self._schedule(since_us + self.limits.inbound_silence_us, acceptor_gives_up)

    def _tell(self, carrier: SimCarrier, event: Callable[[], None]) -> None:
        """Call `event` unless the process is stopped: then when it goes on."""
        if carrier.paused:
            carrier.backlog.append(event)
        else:
            event()

    # Chance

    def _weather(self, link: _Link) -> Conditions:
        return self._special.get((link.source.label, link.target.label), self.conditions)

    def _delay_us(self, weather: Conditions | None = None) -> int:
        weather = weather or self.conditions
        return weather.delay_min_us + int(self._chance.random() * (weather.delay_max_us - weather.delay_min_us + 1))

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._chance.random() < chance
