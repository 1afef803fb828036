"""How links of a simulated network come up, and why they do not.

Why it exists: what a dial meets (a closed port, silence, a process of the same name) decides what a node may conclude.
"""

from node.raft.messages import Lane
from node.simulation.carrier import Link, SimCarrier
from node.simulation.wires import Wires
from node.transport.port import LOST, REFUSED

NOT_ACCEPTED = "the peer's port does not accept this link"


class Dialling(Wires):
    """Wires that are dialled."""

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
            elif target is None or target.label in self._closed or not target.accepts(carrier.name):
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
        link = Link(carrier, target, lane)
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
        back = target.diallers.get((carrier.name, lane))
        if back is not None and back.failing:
            self._plan_dial(target, carrier.name, lane, 0)

    def _dial_failed(self, carrier: SimCarrier, peer: str, lane: Lane, reason: str) -> None:
        dialler = carrier.diallers[peer, lane]
        self._plan_redial(carrier, peer, lane)
        dialler.failing = True
        if reason != dialler.reported:
            dialler.reported = reason
            carrier.receiver.on_outbound(peer, lane, False, reason)
