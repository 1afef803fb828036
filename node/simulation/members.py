"""A world whose members change: operators let spare servers in, promote, remove and replace, and lost disks come back.

In half of these worlds nodes are let in by themselves (`auto_members`), as in a StatefulSet; in the others operators do
it. Everything of an ordinary world goes on meanwhile, but for two processes of one name, which `auto_members` forbids.

In the end everything works: then every lost disk must be replaced, every learner promoted, and all members equal.

Why it exists: what a change of members can break needs elections, cuts and crashes in the middle of it.
"""

from collections.abc import Callable, Sequence

from node.raft.core import Raft
from node.raft.status import ApplicantStatus
from node.raft.types import Configuration, Member
from node.runtime.applicants import host_and_port
from node.runtime.ports import CommandOutcome
from node.simulation.chance import pick
from node.simulation.faults import Fault, Faults
from node.simulation.operators import Operators, Order
from node.simulation.scheduler import Scheduler
from node.simulation.server import Server
from node.simulation.striking import Acts, upon
from node.simulation.world import World

MEMBERS_US = 8_000_000
"""How long members change and everything may fail."""
VOTERS_MIN = 3
LOOK_US = 100_000
AT_ONCE = 0.5
"""How often somebody asks for a change in the wrong moment."""
AT_ONCE_US_MAX = 5_000
HEALED_US = 40_000_000
"""Within this time of peace every lost disk is replaced and every learner a voter."""
SERVERS = 5
"""Seeds and spare ones together; few, because each costs time."""


class MemberOperators(Operators):
    """Ask for changes of members as well."""

    def __init__(
        self,
        world: "Members",
        servers: Sequence[Server],
        scheduler: Scheduler,
        acts: Acts,
        on_line: Callable[[bytes], None],
        ends_us: int,
    ) -> None:
        super().__init__(servers, scheduler, acts, on_line, ends_us)
        self._world = world

    def what_they_order(self) -> list[Order]:
        """Half of it is about members."""
        orders = [self._remove, self._promote, self._promote]
        if not self._world.auto:
            orders += [self._let_in, self._let_in, self._replace, self._replace]
        return [*super().what_they_order(), *orders]

    def pause_us(self) -> int:
        """Orders come fast, so that one meets the change of another."""
        return 20_000 + int(self._rng.random() * 600_000)

    def target(self) -> Server:
        """Who asks for a change has mostly looked up who leads."""
        leaders = [server for server in self._servers if server.leads]
        return leaders[0] if leaders and self._rng.random() < 0.8 else super().target()

    def heal(self) -> None:
        """Nothing fails any more: replace what is lost, promote who listens, again and again, until all is well."""
        if self._world.auto:
            self._let_a_seed_lead()
        else:
            self._replace()
        self._promote()

    def _let_a_seed_lead(self) -> bool:
        """Who has an empty disk asks the seeds it was started with, and a leader that is none of them does not hear."""
        leader = self.target()
        voters = leader.driver.core.configuration.voters if leader.driver is not None else ()
        seeds = [voter.name for voter in voters if voter.name in self._world.names]
        if not leader.leads or leader.name in self._world.names or not seeds:
            return False
        return self.order(leader, "transfer_leadership", {"target": pick(self._rng, seeds)})

    def react(self, server: Server, kind: str) -> None:
        """Somebody asks at once: of a leader that has committed nothing yet, or has a change under way."""
        if kind in ("won", "members") and self._scheduler.now() < self._ends_us and self.acts.aside.random() < AT_ONCE:
            at_us = self._scheduler.now() + int(self.acts.aside.random() * AT_ONCE_US_MAX)
            self._scheduler.schedule(at_us, lambda: self.acts.strike(upon(self._change_at_once, server)))

    def _change_at_once(self, leader: Server) -> bool:
        """Whatever change there is to make."""
        if leader.driver is None:
            return False
        learners = leader.driver.core.configuration.learners
        asking = [one for one in self._applicants() if not one.replaces]
        if asking and (not learners or self._rng.random() < 0.5):
            return self._take_in("add_learner", asking, leader)
        return bool(learners) and self.order(leader, "remove_member", {"name": pick(self._rng, learners).name})

    def _let_in(self) -> bool:
        """Somebody who asks and has no member's name."""
        return self._take_in("add_learner", [one for one in self._applicants() if not one.replaces])

    def _replace(self) -> bool:
        """A member's disk is lost, and the operator knows that."""
        lost = [one for one in self._applicants() if one.replaces]
        lost = [one for one in lost if not self._world.has_disk(Member(one.name, one.replaces))]
        return self._take_in("replace_member", lost)

    def _take_in(self, command: str, asking: list[ApplicantStatus], of: Server | None = None) -> bool:
        """The leader need not be one of those that were asked, so the operator says all that it must know."""
        if not asking:
            return False
        one = pick(self._rng, asking)
        address = "" if one.address is None else host_and_port(one.address)
        return self.order(
            of or self.target(), command, {"name": one.name, "incarnation": one.incarnation, "address": address}
        )

    def _promote(self) -> bool:
        leader = self.target()
        learners = leader.driver.core.configuration.learners if leader.driver is not None else ()
        return bool(learners) and self.order(leader, "promote_learner", {"name": pick(self._rng, learners).name})

    def _remove(self) -> bool:
        """Who is removed is stopped, and may come back as a new one, with an empty disk."""
        leader = self.target()
        if leader.driver is None:
            return False
        configuration = leader.driver.core.configuration
        spare = configuration.members if len(configuration.voters) > VOTERS_MIN else configuration.learners
        if not spare:
            return False
        gone = pick(self._rng, spare)
        if len(configuration.voters) > VOTERS_MIN and self._rng.random() < 0.7:
            gone = Member(leader.name, leader.incarnation)  # a leader that goes is another case than a follower
        force = "yes" if self._rng.random() < 0.2 else "no"

        def answered(outcome: CommandOutcome) -> None:
            if outcome.code == "ok":
                after_us = int(self._rng.random() * 1_000_000)
                self._scheduler.schedule(self._scheduler.now() + after_us, lambda: self._world.retire(gone.name))

        return self.order(leader, "remove_member", {"name": gone.name, "force": force}, answered)

    def _applicants(self) -> list[ApplicantStatus]:
        """Who asks whom of the members, as any of these says it."""
        now = self._scheduler.now()
        cores = [server.driver.core for server in self._servers if server.driver is not None]
        return [one for core in cores for one in core.status(now).applicants]


class MemberFaults(Faults):
    """No second process of a name: `auto_members` takes the word of whoever bears one."""

    world: "Members"
    """Set once it is there."""

    def may_be_lost(self, server: Server) -> bool:
        return self.world.can_lose(server)

    def what_may_fail(self) -> list[Fault]:
        return [fault for fault in super().what_may_fail() if fault.__name__ != "_second_of_a_name"]


class Members(World):
    """`run()` raises Violation. `auto`: whether nodes are let in by themselves."""

    safety_us = MEMBERS_US
    auto = False
    operators: MemberOperators

    def retire(self, name: str) -> None:
        """Who was removed is stopped; its next process begins on an empty disk."""
        server = self._server(name)
        if self.configuration.member(name) is None and not server.fresh:
            self.on_line(b"%d retired %s" % (self.scheduler.now(), name.encode()))
            server.wipe()
            self.faults.restart_later(server)

    def _size(self) -> int:
        return 3 if self.rng.random() < 0.7 else 4

    def _found(self) -> list[Server]:
        self.auto = self.rng.random() < 0.5
        self._first_disk: dict[str, str] = {}
        self.scheduler.schedule(LOOK_US, self._look)
        self.happenings.counts["worlds that let nodes in by themselves"] = int(self.auto)
        self._in_force: dict[str, Configuration] = {}
        spares = [self.server(f"n{len(self.names) + number}") for number in range(1, SERVERS - len(self.names) + 1)]
        servers = [*super()._found(), *spares]
        if self.auto:
            for server in servers:
                server.auto_members = ("n*",)
        return servers

    def _operators(self) -> MemberOperators:
        return MemberOperators(self, self.servers, self.scheduler, self._acts("o"), self.on_line, self.safety_us)

    def _faults(self) -> MemberFaults:
        faults = MemberFaults(*self._what_faults_need())
        faults.world = self
        return faults

    # --- whose disk is lost ---------------------------------------------------------------------------------------

    def on_step(self, server: Server, core: Raft) -> None:
        super().on_step(server, core)
        self._in_force[server.name] = core.configuration

    def can_lose(self, server: Server) -> bool:
        """Whether, without this disk, a majority of the voters of every configuration that may decide keeps its disks:
        of the one that is committed, and of those in the logs of its members."""
        committed = self.configuration
        if len(self.invariants.committed) < 2:
            return False
        in_force = [self._in_force[member.name] for member in committed.members if member.name in self._in_force]
        for configuration in (committed, *in_force):
            voters = configuration.voters
            left = [voter for voter in voters if voter.name != server.name and self.has_disk(voter)]
            if 2 * len(left) <= len(voters):
                return False
        return True

    def has_disk(self, member: Member) -> bool:
        """Whether the disk of that member is there."""
        server = self._server(member.name)
        return server.incarnation == member.incarnation and not server.fresh

    def _server(self, name: str) -> Server:
        return next(server for server in self.servers if server.name == name)

    # --- the end --------------------------------------------------------------------------------------------------

    def _members(self) -> list[Server]:
        return [self._server(member.name) for member in self.configuration.members if self.has_disk(member)]

    def _fall_silent(self) -> Server | None:
        """Only where no change is under way that needs this very disk."""
        return None if self._in_change() else super()._fall_silent()

    def _voters(self) -> int:
        return len(self.configuration.voters)

    def _recover(self) -> None:
        self.faults.lost = ""  # every one that was is expected to come back
        super()._recover()
        self._heal()
        self._must(lambda: not self._in_change(), "lost disks were not replaced, or learners not promoted,", HEALED_US)

    def _compare(self) -> None:
        self.faults.lost = ""
        super()._compare()

    def _heal(self) -> None:
        if self._in_change():
            self.operators.heal()
            self.scheduler.schedule(self.scheduler.now() + 2 * LOOK_US, self._heal)

    def _look(self) -> None:
        """Which lost disks are voters again."""
        for member in self.configuration.voters:
            if member.incarnation != self._first_disk.setdefault(member.name, member.incarnation):
                self._first_disk[member.name] = member.incarnation
                self.happenings.counts["lost disks that came back as voters"] += 1
        self.scheduler.schedule(self.scheduler.now() + LOOK_US, self._look)

    def _in_change(self) -> bool:
        configuration = self.configuration
        leaders = [server.driver.core for server in self.servers if server.driver is not None and server.leads]
        settled = [core for core in leaders if core.configuration == configuration]
        lost = [member for member in configuration.members if not self.has_disk(member)]
        return bool(lost or configuration.learners or not settled)
