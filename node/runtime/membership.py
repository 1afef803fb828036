"""Who belongs to this cluster, and where each is reached: the one list that everything beside the core asks.

Why it exists: links, views, commands, faults and look-ups must all speak of the same nodes, and those change while the
node runs. Before birth they are the seeds of the settings; afterwards they are the members of the configuration in
force, learners included. It must not decide who belongs: the log does (architecture, decisions 5 and 6).

Where both say how a member is reached, the settings win. An address in the log can only be changed by a leader, and
there is none while the members look for each other at addresses that are no longer true; the settings of one node can
be put right by whoever starts it.
"""

from collections.abc import Callable, Sequence

from node.raft.types import Configuration, Member, MemberAddress

Observer = Callable[[], None]
"""Told after a change, within the step that made it: it may look, and must neither step the core nor block."""


class Membership:
    """`seeds`: how each seed of the settings is reached. This node itself need not be one of them."""

    def __init__(self, own_name: str, seeds: Sequence[MemberAddress]) -> None:
        self.own_name = own_name
        self._seeds = {seed.name: seed for seed in seeds}
        self._configuration = Configuration(())
        self._leaving: tuple[Member, ...] = ()
        self._left: dict[str, MemberAddress] = {}
        """How those are reached that are leaving: the configuration does not say so any more."""
        self._observers: list[Observer] = []
        self.peers: tuple[str, ...] = ()
        """The others by name, sorted."""
        self.names: tuple[str, ...] = ()
        """The same and this node, sorted. It is there as well where it is no member: it can be asked, and asks."""
        self._name_all()

    def observe(self, observer: Observer) -> None:
        """Tell `observer` of every change from now on, after those that asked earlier."""
        self._observers.append(observer)

    def adopt(self, configuration: Configuration, leaving: tuple[Member, ...] = ()) -> None:
        """This configuration is in force now; an empty one means: not born (the seeds count again). `leaving`: members
        before it, who belong until this comes again without them: they are to hear that they left."""
        if configuration == self._configuration and leaving == self._leaving:
            return
        known = ((member.name, self.where(member.name)) for member in leaving)
        self._left = {name: address for name, address in known if address is not None}
        self._configuration, self._leaving = configuration, leaving
        self._name_all()
        for observer in self._observers:
            observer()

    def where(self, name: str) -> MemberAddress | None:
        """How that node is reached; None where neither the settings nor the configuration say so."""
        told, seed = self._configuration.address(name) or self._left.get(name), self._seeds.get(name)
        if seed is None or not seed.host or told is None:
            return told or seed
        return MemberAddress(name, seed.host, seed.port, told.client_url)

    def incarnation(self, name: str) -> str:
        """The disk of the member of that name, as the configuration in force has it; empty where it has none."""
        configuration = self._configuration
        members = (*configuration.voters, *configuration.learners, *configuration.outgoing, *self._leaving)
        return next((member.incarnation for member in members if member.name == name), "")

    def addresses(self) -> dict[str, tuple[str, int]]:
        """Host and port of every node in `names` whose address is known."""
        known = {name: self.where(name) for name in self.names}
        return {name: (address.host, address.port) for name, address in known.items() if address is not None}

    def _name_all(self) -> None:
        configuration = self._configuration
        members = (*configuration.voters, *configuration.learners, *configuration.outgoing, *self._leaving)
        named = {member.name for member in members} or self._seeds.keys()
        self.peers = tuple(sorted(name for name in named if name != self.own_name))
        self.names = tuple(sorted((self.own_name, *self.peers)))
