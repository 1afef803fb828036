"""What lies between the endpoints of a simulated network: frames under way, cuts, and how an end is learned of.

Why it exists: a real network loses, delays and repeats, and its ends learn late of each other's; dialling (dialling.py)
and faults (network.py) stand on that. It must not use real time, global chance, or sets.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from node.raft.messages import Lane
from node.simulation.carrier import Link, SimCarrier
from node.simulation.chance import Chance
from node.simulation.weather import Conditions, NetworkLimits, Schedule
from node.transport.port import LOST


class Wires(ABC):
    """All links. What is up, who is heard, what is under way."""

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
        self._links: dict[Link, None] = {}
        self.flipped_frames = 0

    # Frames

    def transmit(self, link: Link, frame: bytes) -> bool:
        """Put a frame on its way; False where the link is full."""
        limits = self.limits
        if len(frame) > limits.frame_bytes_max or link.queued_frames >= limits.queue_frames_max:
            return False
        if link.queued_frames and link.queued_bytes + len(frame) > limits.queue_bytes_max:
            return False
        weather = self._weather(link)
        first = link.sent_frames == 0
        link.sent_frames += 1
        if self._happens(weather.flip):
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

    def _send_late(self, link: Link, frame: bytes, weather: Conditions) -> None:
        late_us = self._delay_us(weather) + int(self._chance.random() * weather.reorder_max_us)
        self._enqueue(link, frame, max(link.hello_at_us + 1, self._now() + late_us))

    def _enqueue(self, link: Link, frame: bytes, at_us: int) -> None:
        link.queued_frames += 1
        link.queued_bytes += len(frame)
        self._schedule(at_us, lambda: self._arrive(link, frame))

    def _arrive(self, link: Link, frame: bytes) -> None:
        if link.held or self._obstructed(link):
            link.held.append(frame)
        else:
            self._tell(link.target, lambda: self._deliver(link, frame))

    def _deliver(self, link: Link, frame: bytes) -> None:
        link.queued_frames -= 1
        link.queued_bytes -= len(frame)
        if not link.far_open:
            return
        reason = link.target.receiver.on_frame(link.source.name, link.lane, frame)
        if reason and link.far_open:
            self._far_down(link, reason)
            self._later(link, lambda: self._near_down(link, f"the peer closed: {reason}"))

    # Plans to dial

    def _plan_dial(self, carrier: SimCarrier, peer: str, lane: Lane, in_us: int) -> None:
        dialler = carrier.diallers[peer, lane]
        dialler.attempt += 1
        attempt = dialler.attempt

        def dial() -> None:
            if carrier.running and dialler.attempt == attempt:
                self._dial(carrier, peer, lane, attempt)

        self._schedule(self._now() + in_us, lambda: self._tell(carrier, dial))

    @abstractmethod
    def _dial(self, carrier: SimCarrier, peer: str, lane: Lane, attempt: int) -> None: ...

    def _plan_redial(self, carrier: SimCarrier, peer: str, lane: Lane) -> None:
        dialler = carrier.diallers[peer, lane]
        self._plan_dial(carrier, peer, lane, int(dialler.pause_us * (0.5 + self._chance.random() / 2)))
        dialler.pause_us = min(dialler.pause_us * 2, self.limits.redial_max_us)

    # The ends of links

    def _near_down(self, link: Link, reason: str) -> None:
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

    def _far_down(self, link: Link, reason: str) -> None:
        """The accepting end learns it, once; no frame of the link is delivered afterwards."""
        if not link.far_open:
            return
        link.far_open = False
        self._forget(link)
        if link.target.inbound.get((link.source.name, link.lane)) is link:
            del link.target.inbound[link.source.name, link.lane]
        if link.target.running:
            link.target.receiver.on_inbound(link.source.name, link.lane, False, reason)

    def _forget(self, link: Link) -> None:
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

    def _later(self, link: Link, learn: Callable[[], None], *, in_order: bool = False) -> None:
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

    def _obstructed(self, link: Link) -> bool:
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

    def _let_go(self, link: Link) -> None:
        """Held frames arrive together; those that come before this join them, so the order stays."""
        if not self._obstructed(link):
            held, link.held = link.held, []
            for frame in held:
                self._arrive(link, frame)

    def _start_patience(self, link: Link) -> None:
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

    def _weather(self, link: Link) -> Conditions:
        return self._special.get((link.source.label, link.target.label), self.conditions)

    def _delay_us(self, weather: Conditions | None = None) -> int:
        weather = weather or self.conditions
        return weather.delay_min_us + int(self._chance.random() * (weather.delay_max_us - weather.delay_min_us + 1))

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._chance.random() < chance
