"""A world that is only about birth: two processes on two empty disks bear one seed's name, and words take seconds.

Now this one of the two is heard, now that one, now both; others come and go meanwhile. Whatever was agreed and when it
arrives, at most one cluster may be born (invariants.py). In the end the one of the two that no cluster counts on is
gone, and the three must be born and serve.

Why it exists: what makes two births is a rare order of late words; ordinary worlds, which are born within a second,
would need years to meet it.
"""

from node.simulation.server import Server
from node.simulation.weather import Conditions
from node.simulation.world import World

SEEDS = 3
PAINS_US = 15_000_000
"""How long birth is troubled."""
AFTER_FIRST_US = 5_000_000
"""How long it is troubled after the first birth: until the last late word has arrived."""
LATE_US_MAX = 3_000_000
"""The latest word of the worst weather."""


class Births(World):
    """`run()` raises Violation; the last of `servers` is the second process of the first one's name, or was."""

    _troubled = True

    def run(self) -> None:
        for server in self.servers:
            at_us = int(self.rng.random() * 2_000_000)
            self.scheduler.schedule(at_us, lambda server=server: self._again(server))  # type: ignore[misc]
        for client in self.clients:
            client.begin()
        self.invariants.birth.doubled = (self.servers[0].label, self.servers[-1].label)
        self.scheduler.schedule(500_000, self._next_pain)
        if self.scheduler.run_until(PAINS_US, lambda: bool(self.invariants.birth.cluster_id)):
            self.scheduler.run_until(self.scheduler.now() + AFTER_FIRST_US)
        self._troubled = False
        self.on_line(b"%d heal" % self.scheduler.now())
        self.faults.heal()
        self._part_with_one()
        self._recover()
        self._count_the_lost()
        for client in self.clients:
            client.stopped = True
        self._must(self._quiet, "the servers did not come to the same end")
        self._compare()

    def _size(self) -> int:
        return SEEDS

    def _found(self) -> list[Server]:
        name = self.names[0]
        return [*super()._found(), self.server(name, f"{name}'")]

    def _next_pain(self) -> None:
        if not self._troubled:
            return
        first, *others, second = (server.label for server in self.servers)
        self.network.heal_all()
        for other in others:  # each hears the one, the other, or now and then both
            chance = self.rng.random()
            if chance < 0.9:
                self.network.partition((other,), (first if chance < 0.45 else second,))
        for here in (first, *others, second):
            for there in others:
                late_us = int(self.rng.random() * LATE_US_MAX) + 1_000 if self.rng.random() < 0.5 else 2_000
                self.network.weather(here, there, Conditions(delay_max_us=late_us))
                self.network.weather(there, here, Conditions(delay_max_us=late_us))
        if self.rng.random() < 0.2:
            server = self.servers[int(self.rng.random() * len(self.servers))]
            server.kill()
            self.scheduler.schedule(self.scheduler.now() + 300_000, lambda: self._again(server))
        self.scheduler.schedule(self.scheduler.now() + int(self.rng.random() * 2_500_000), self._next_pain)

    def _again(self, server: Server) -> None:
        if server.driver is None and server in self.servers:
            self.faults.start(server)

    def _part_with_one(self) -> None:
        """Keep the one whose disk is in the first entry of the others, or of anybody; without one, the first."""
        first, second = self.servers[0], self.servers[-1]
        cores = [server.driver.core for server in self.servers if server.driver is not None]
        births = self.invariants.committed[:1] or [entry for core in cores for entry in core.entries(1, 1)]
        loser = first if any(second.incarnation.encode() in birth.data for birth in births) else second
        self.on_line(b"%d gone %s" % (self.scheduler.now(), loser.label.encode()))
        loser.kill()
        self.servers.remove(loser)

    def _fall_silent(self) -> Server | None:
        """Nobody, while nobody is born: a late word may yet give birth with the disk that is gone, and then the two
        others are all that there is."""
        return super()._fall_silent() if self.invariants.committed else None

    def _count_the_lost(self) -> None:
        """A late word may have given birth with the disk that is gone: then the name's other disk is a stranger."""
        kept = next(server for server in self.servers if server.name == self.names[0])
        if self.invariants.committed and kept.incarnation.encode() not in self.invariants.committed[0].data:
            self.faults.lost = kept.label
