"""A world of changing members in which no removed disk is thrown away: who was removed comes back with the one it had.

Removed servers run on, or are killed, and come back with all that they promised, some before they have heard that they
were removed. Operators let them in again under the number of that very disk, as `raft-node members fit` does, while
others are removed, elected, cut off and killed.

Why it exists: that such a server is only a late one is an argument about its term, its vote and its log, and about what
it believes before it hears of its removal. It must not make another rule for these servers than the core has.
"""

from node.raft.types import Configuration, Member
from node.runtime.applicants import host_and_port
from node.simulation.chance import pick
from node.simulation.invariants import Violation
from node.simulation.members import SERVERS, MemberOperators, Members
from node.simulation.operators import Order
from node.simulation.server import Server, address_of

RUNS_ON = 0.4
"""How often nobody ends the process of who was removed."""
TRIES, TRY_US = 5, 400_000
"""So often, at about this distance, it is asked to come back after it was removed."""


class ReturningOperators(MemberOperators):
    """Let in again whom they removed."""

    _world: "Returning"

    def what_they_order(self) -> list[Order]:
        return [*super().what_they_order(), *[self._remove] * 3, *[self._promote] * 3, *[self._bring_back] * 3]

    def heal(self) -> None:
        super().heal()
        self._bring_back()

    def bring_back_soon(self) -> None:
        """Whoever changed their mind asks again and again, as the command does."""
        at_us = self._scheduler.now()
        for _ in range(TRIES):
            at_us += int(self.acts.aside.random() * 2 * TRY_US)
            self._scheduler.schedule(at_us, lambda: self.acts.strike(self._bring_back))

    def _bring_back(self) -> bool:
        """As a list of names has it: of what the leader goes by, whoever is missing and answers with this cluster's
        log. Whether it knows that it was removed plays no part."""
        leader = self.target()
        configuration = leader.driver.core.configuration if leader.driver is not None else Configuration(())
        left = [server for server in self._servers if self._world.has_left(server, configuration)]
        if not left:
            return False
        server = pick(self._rng, left)
        given = {"incarnation": server.incarnation, "address": host_and_port(address_of(server.name))}
        return self.order(leader, "add_learner", {"name": server.name, **given})


class Returning(Members):
    """`run()` raises Violation."""

    safety_us = 12_000_000
    operators: ReturningOperators

    def retire(self, name: str) -> None:
        """Who was removed is stopped, or not; its disk stays."""
        server = self._server(name)
        gone = self.configuration.member(name) is None and server.driver is not None
        if gone:
            self.operators.bring_back_soon()
        if gone and self.operators.acts.aside.random() >= RUNS_ON:
            self.on_line(b"%d retired %s, which keeps its disk" % (self.scheduler.now(), name.encode()))
            server.kill()
            self.faults.restart_later(server)

    def has_left(self, server: Server, configuration: Configuration) -> bool:
        """Whether it answers with a log of the cluster, and is no member under its name."""
        if server.driver is None or not configuration.voters or configuration.member(server.name) is not None:
            return False
        return bool(server.driver.core.status(self.scheduler.now()).cluster_id)

    def _size(self) -> int:
        return SERVERS

    def _found(self) -> list[Server]:
        self._were_members: dict[Member, bool] = {}
        return super()._found()

    def _in_change(self) -> bool:
        left = [server for server in self.servers if self.has_left(server, self.configuration)]
        return super()._in_change() or bool(left)

    def _compare(self) -> None:
        super()._compare()
        for server in self._members():
            if server.driver is not None and server.driver.core.status(self.scheduler.now()).removed:
                raise Violation(f"{server.label} is a member, and says that it was removed")

    def _operators(self) -> ReturningOperators:
        return ReturningOperators(self, self.servers, self.scheduler, self._acts("o"), self.on_line, self.safety_us)

    def _look(self) -> None:
        """Which disks have become voters again that were none in between."""
        now = dict.fromkeys(self.configuration.voters, True)
        for member in now:
            if self._were_members.get(member) is False:
                self.happenings.counts["removed disks that came back as voters"] += 1
        self._were_members = {**dict.fromkeys(self._were_members, False), **now}
        super()._look()
