"""A world that loses a majority of its disks for good, in the middle of everything that may fail; then the survivors
are forced to go on as docs/operations.md says, and the others let in on empty disks.

What only the lost disks held is lost; what a survivor knew to be committed is not (invariants/known_is_kept.py). The
cluster that goes on is judged by all invariants, beginning with its state. In most worlds old disks come back although
they should stay off, fewer than a majority: they must do nothing, neither in the old cluster nor in the new one.

Why it exists: what an operator decides by hand has to hold whatever the survivors' logs look like. What a crash in the
middle of the command leaves is a matter of real files, not of this.
"""

from node.raft.status import ApplicantStatus
from node.raft.types import Role
from node.runtime.applicants import host_and_port
from node.simulation.chance import pick, up_to
from node.simulation.faults import Fault, Faults
from node.simulation.invariants import Invariants, Violation
from node.simulation.invariants.known_is_kept import KnownIsKept
from node.simulation.lost_quorum import make, read, who_goes_on
from node.simulation.server import Server
from node.simulation.world import CLIENTS, World
from node.storage.errors import StorageError
from node.survivors import Survivor

TROUBLED_US_MIN, TROUBLED_US_MAX = 2_000_000, 6_000_000
"""When the disks are lost."""
CUT_OFF_BEFORE, CUT_OFF_US_MAX = 0.5, 2_000_000
"""How often, and for how long, the survivors were cut off before."""
SETTLE_US = 200_000
"""After that: what was on its way has arrived nowhere."""
START_US_MAX = 1_000_000
GHOSTS_US_MAX = 4_000_000
"""How long old disks are back."""
LOOK_US = 200_000
LET_IN_US = 40_000_000
"""Within this time of peace everybody votes in the new cluster."""


class LastFaults(Faults):
    """As ever, until the disks are lost: from then on nobody is started but by an operator."""

    off = False

    def what_may_fail(self) -> list[Fault]:
        """No second process of a name: here two disks bear one anyhow, in the end."""
        return [fault for fault in super().what_may_fail() if fault.__name__ != "_second_of_a_name"]

    def stop_everything(self) -> None:
        """Every process ends, by kill or power failure; network, clocks and the disks that are left are good again."""
        self.off = True
        self._network.heal_all()
        self._network.fair_weather()
        for server in self._servers:
            server.wall_offset_us = 0
            (server.cut_power if self._rng.random() < 0.5 else server.kill)()
            server.disk.recover()

    @property
    def damaged(self) -> str:
        """On whose disk a bit has flipped that nobody has read yet."""
        return self._flipped

    def _ensure(self, server: Server) -> None:
        if not self.off:
            super()._ensure(server)


class Survivors(World):
    """`run()` raises Violation."""

    faults: LastFaults

    def run(self) -> None:
        self._ghosts: dict[str, None] = {}
        self._old = self.invariants
        self._begin()
        self.scheduler.run_until(self.safety_us)
        if len(self._old.committed) < 2:
            self._heal_and_end()  # born too late to lose anything
            return
        found = self._lose_a_majority()
        best = self._go_on(found)
        self._come_back(best)
        self._must(self._all_vote, "not everybody was let in again", LET_IN_US)
        self._end()

    def judge_of(self, server: Server) -> Invariants:
        """Who came back with an old disk still belongs to the old cluster."""
        return self._old if server.label in self._ghosts else self.invariants

    @property
    def entries_committed(self) -> int:
        """In both clusters."""
        new = 0 if self.invariants is self._old else len(self.invariants.committed) - self._base_index
        return len(self._old.committed) + new

    def _size(self) -> int:
        self.safety_us = TROUBLED_US_MIN + up_to(self.rng, TROUBLED_US_MAX - TROUBLED_US_MIN)
        return 3 if self.rng.random() < 0.3 else 5

    def _faults(self) -> LastFaults:
        return LastFaults(*self._what_faults_need())

    # --- the disks are lost ---------------------------------------------------------------------------------------

    def _lose_a_majority(self) -> dict[str, Survivor]:
        """Who is left, by name, as its disk can be read: fewer than a majority. Now and then these were cut off before,
        so that the others went on without them."""
        order = sorted(self.servers, key=lambda _: self.rng.random())
        most = 1 + up_to(self.rng, (len(order) - 1) // 2)
        if self.rng.random() < CUT_OFF_BEFORE:
            labels = [server.label for server in order]
            self.network.heal_all()
            self.network.partition(tuple(labels[:most]), tuple(labels[most:]))
            self.scheduler.run_until(self.scheduler.now() + up_to(self.rng, CUT_OFF_US_MAX))
        for client in self.clients:
            client.stopped = True
        self.faults.stop_everything()
        self.scheduler.run_until(self.scheduler.now() + SETTLE_US)
        found: dict[str, Survivor] = {}
        for server in order:
            survivor = read(server.disk) if len(found) < most else None
            if isinstance(survivor, Survivor):
                found[server.name] = survivor
            elif survivor is not None:
                self._must_be_unreadable(server, survivor)
        self.on_line(b"%d only these are left: %s" % (self.scheduler.now(), " ".join(found).encode()))
        return found

    def _must_be_unreadable(self, server: Server, error: StorageError) -> None:
        """It was damaged or is empty, or else the command refuses a good disk."""
        expected = (self.faults.damaged, self.faults.lost)
        if server.name not in expected and "no log of a cluster" not in str(error):
            raise Violation(f"the disk of {server.name} cannot be read: {error}")

    def _go_on(self, found: dict[str, Survivor]) -> list[str]:
        """Those that end last begin a new cluster, which is judged anew."""
        judge = KnownIsKept(self._old.history)
        best = who_goes_on(found)
        lost = judge.goes_on(found, best)
        chance = "" if len(best) > 1 else f"{self.rng.random()}"
        made = {name: make(found[name], self._server(name).disk, best, chance) for name in best}
        judge.made(found[best[0]], [one.info for one in made.values()], [one.digest for one in made.values()])
        base = made[best[0]].info.base
        self._judge, self._base_index = judge, base.index
        for name, one in made.items():
            self._server(name).disk = one.disk
        self.invariants = Invariants()
        self.invariants.founded(base, self.scheduler.now())
        self._count(found, best, lost)
        self.on_line(b"%d %s go on as %s" % (self.scheduler.now(), " ".join(best).encode(), base.cluster_id.encode()))
        return best

    def _count(self, found: dict[str, Survivor], best: list[str], lost: int) -> None:
        position, counts = found[best[0]].position, self.happenings.counts
        counts["committed entries that only lost disks held"] += lost
        counts["entries kept that nobody knew to be committed"] += position.end.index - position.committed.index
        counts["worlds in which several go on together"] += len(best) > 1
        counts["survivors that had nothing to add"] += len(found) - len(best)
        ends = {survivor.position.end for survivor in found.values()}
        counts["survivors left out although their logs end last"] += max(ends) > position.end

    # --- and everybody comes back ---------------------------------------------------------------------------------

    def _come_back(self, best: list[str]) -> None:
        """Those that go on; some with their old disks, for a while; and then all others with empty ones."""
        others = [server for server in self.servers if server.name not in best]
        back = [server for server in others if isinstance(read(server.disk), Survivor)]
        back = back[: up_to(self.rng, len(self.servers) // 2 + 1)]
        self.faults.lost = ""
        self.happenings.counts["old disks that came back"] += len(back)
        self._ghosts = {server.label: None for server in back}
        for server in self.servers:
            if server in others and server not in back:
                server.wipe()
            self._start_soon(server)
        for server in back:
            at_us = self.scheduler.now() + START_US_MAX + up_to(self.rng, GHOSTS_US_MAX - START_US_MAX)
            self.scheduler.schedule(at_us, lambda server=server: self._end_ghost(server))  # type: ignore[misc]
        self.tallies.seen_index = 0  # what clients have seen may be lost
        self.clients = self._clients(CLIENTS)
        for client in self.clients:
            client.begin()
        self._let_in()

    def _start_soon(self, server: Server) -> None:
        at_us = self.scheduler.now() + up_to(self.rng, START_US_MAX)
        self.scheduler.schedule(at_us, lambda: self.faults.start(server))

    def _end_ghost(self, server: Server) -> None:
        """The operator notices: that folder is deleted as the others were."""
        core = server.driver.core if server.driver is not None else None
        if core is None or core.role is Role.LEADER or core.status(0).cluster_id == self.invariants.birth.cluster_id:
            raise Violation(f"{server.label} came back with its old disk as {core and core.status(0)}")
        self._judge.stays_over()
        server.wipe()
        del self._ghosts[server.label]
        self._start_soon(server)

    def _let_in(self) -> None:
        """One after the other, by whoever leads; again and again, until all vote."""
        leader = next((s for s in self.servers if s.leads and s.label not in self._ghosts), None)
        if leader is not None and leader.driver is not None:
            learners, asking = leader.driver.core.configuration.learners, self._applicants()
            if learners:
                self.operators.order(leader, "promote_learner", {"name": pick(self.rng, learners).name})
            elif asking:
                one = pick(self.rng, asking)
                address = "" if one.address is None else host_and_port(one.address)
                given = {"name": one.name, "incarnation": one.incarnation, "address": address}
                self.operators.order(leader, "add_learner", given)
        if not self._all_vote():
            self.scheduler.schedule(self.scheduler.now() + LOOK_US, self._let_in)

    def _applicants(self) -> list[ApplicantStatus]:
        """Who asks a member to be let in, and is one that the operator means: not an old disk."""
        now = self.scheduler.now()
        members = [s.driver.core for s in self.servers if s.driver is not None and s.label not in self._ghosts]
        asking = [one for core in members for one in core.status(now).applicants if not one.replaces]
        return [one for one in asking if one.incarnation == self._server(one.name).incarnation]

    def _all_vote(self) -> bool:
        configuration = self.configuration
        voters = {voter.name: voter.incarnation for voter in configuration.voters}
        return not configuration.learners and voters == {server.name: server.incarnation for server in self.servers}

    def _server(self, name: str) -> Server:
        return next(server for server in self.servers if server.name == name)
