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

from node.raft.messages import Lane
from node.simulation.carrier import Dialler, SimCarrier
from node.simulation.dialling import Dialling
from node.simulation.weather import Conditions
from node.transport.port import GOODBYE, LOST, NO_PEER, Receiver


class SimNetwork(Dialling):
    """All endpoints and everything between them. `endpoint` starts one; faults may change at any moment."""

    # Life of an endpoint

    def endpoint(
        self, name: str, peers: tuple[str, ...], receiver: Receiver, label: str = "", guests_max: int = 0
    ) -> SimCarrier:
        """Start (or start again) the node `name`: it accepts links from `peers` and dials them from now on.

        A second process of one name has another `label`, which faults know it by. `guests_max`: so many that are
        no peers may dial as well.
        """
        carrier = SimCarrier(self, name, peers, receiver, label or name, guests_max)
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
            elif link.target is carrier and link.source.name not in carrier.peers:
                self._far_down(link, NO_PEER)
                self._later(link, lambda link=link: self._near_down(link, GOODBYE))  # type: ignore[misc]
        for peer in gone:
            for lane in Lane:
                carrier.diallers.pop((peer, lane)).attempt += 1  # dials under way come to nothing
        for peer in carrier.peers:
            if peer not in before:
                for lane in Lane:
                    carrier.diallers[peer, lane] = Dialler(self.limits.redial_min_us)
                    self._plan_dial(carrier, peer, lane, 0)
