"""A cluster, its network and its clients, all of it drawn from one seed; broken for a while, then healed.

Safety phase: anything may fail, and after every step the invariants hold. Liveness phase: nothing fails any more;
within a bounded time one leader serves every client and all logs and stores are equal.

Why it exists: what runs here is the production driver, log, links and store; only clock, disk and network are
simulated. It must not use real time, global chance, or anything else that another process would do differently.
"""

import hashlib
from collections.abc import Callable
from random import Random
from typing import TypeVar

from node.raft.core import Raft
from node.raft.messages import Message
from node.raft.settings import RaftSettings
from node.raft.types import Role
from node.runtime.inputs import WantOrder
from node.runtime.ports import CommandOutcome
from node.storage.errors import StorageError
from tests.simulation.clients import Client, Tallies
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.network import Conditions, SimNetwork
from tests.simulation.scheduler import Scheduler
from tests.simulation.server import Observer, Server

T = TypeVar("T")

CLIENTS = 4
SAFETY_US = 6_000_000
LIVENESS_US = 20_000_000
ORDER_TIMEOUT_US = 2_000_000


class World(Observer):
    """`run()` raises Violation; `digest` and the tallies say what happened. `keep`: remember the trace's lines."""

    def __init__(self, seed: int, keep: Callable[[bytes], None] | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.scheduler = Scheduler()
        self.invariants = Invariants()
        self.tallies = Tallies()
        self.faults: dict[str, int] = {}
        self.orders: dict[str, int] = {}
        """Operators' orders asked, and answered by code."""
        self.lines = 0
        self._keep = keep
        self._hash = hashlib.sha256()
        self.network = SimNetwork(
            schedule=self.scheduler.schedule,
            now=self.scheduler.now,
            chance=self.rng,
            conditions=self._weather(),
        )
        names = [f"n{number}" for number in range(1, 4 if self.rng.random() < 0.5 else 6)]
        settings = RaftSettings(inflight_messages_max=4, append_bytes_max=600, apply_bytes_max=400)
        self.servers = [Server(name, names, settings, self.scheduler, self.network, self.rng, self) for name in names]
        self.clients = [
            Client(number, self.servers, self.scheduler, self.rng, self.invariants, self.tallies, self.on_line)
            for number in range(CLIENTS)
        ]
        self._wiped = ""

    def run(self) -> None:
        """Birth, safety, liveness, and the comparison of everything at the end."""
        for server in self.servers:
            self.scheduler.schedule(int(self.rng.random() * 400_000), lambda server=server: self._start(server))  # type: ignore[misc]
        for client in self.clients:
            client.begin()
        self.scheduler.schedule(500_000, self._next_fault)
        self.scheduler.schedule(700_000, self._next_order)
        self.scheduler.run_until(SAFETY_US)
        self._heal()
        self._must(self._serves, "no leader served every client")
        for client in self.clients:
            client.stopped = True
        self._must(self._quiet, "the servers did not come to the same end")
        self._compare()

    @property
    def digest(self) -> str:
        """Of every byte of the trace: equal seeds give equal digests, in every process."""
        return self._hash.hexdigest()

    # --- Observer -----------------------------------------------------------------------------------------------

    def on_line(self, line: bytes) -> None:
        self.lines += 1
        self._hash.update(line)
        if self._keep is not None:
            self._keep(line)

    def on_sent(self, server: Server, to: str, message: Message) -> None:
        self.invariants.sent(server.name, to, message)

    def on_boot(self, server: Server, core: Raft) -> None:
        self.invariants.rebooted(server.name, core, wiped=server.name == self._wiped)

    def on_step(self, server: Server, core: Raft) -> None:
        self.invariants.stepped(server.name, core)

    # --- faults -------------------------------------------------------------------------------------------------

    def _weather(self) -> Conditions:
        """Some worlds are calm; in others single messages are lost, repeated and overtaken."""
        rough = self.rng.random() < 0.6
        return Conditions(
            delay_max_us=500 + int(self.rng.random() * 20_000),
            drop=self.rng.random() * 0.1 if rough else 0.0,
            duplicate=self.rng.random() * 0.1 if rough else 0.0,
            reorder=self.rng.random() * 0.1 if rough else 0.0,
        )

    def _next_fault(self) -> None:
        if self.scheduler.now() >= SAFETY_US:
            return
        faults = [
            self._partition,
            self._isolate,
            self._isolate,
            self._one_way,
            self._mend,
            self._mend,
            self._mend,
            self._mend,
            self._kill,
            self._cut_power,
            self._cut_power_while_writing,
            self._all_at_once,
            self._pause,
            self._reset,
            self._wipe,
        ]
        fault = self._pick(faults)
        self.on_line(b"%d fault %s" % (self.scheduler.now(), fault.__name__.encode()))
        self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
        fault()
        wait_us = 100_000 + int(self.rng.random() * 700_000)
        self.scheduler.schedule(self.scheduler.now() + wait_us, self._next_fault)

    def _partition(self) -> None:
        here = tuple(server.name for server in self.servers if self.rng.random() < 0.5)
        there = tuple(server.name for server in self.servers if server.name not in here)
        self.network.partition(here, there)

    def _isolate(self) -> None:
        """One server alone, the leader more often than not; other cuts are healed, so that the rest goes on."""
        alone = self._target().name
        self.network.heal_all()
        self.network.partition((alone,), tuple(server.name for server in self.servers if server.name != alone))

    def _one_way(self) -> None:
        self.network.cut(self._pick(self.servers).name, self._target().name)

    def _mend(self) -> None:
        self.network.heal_all()

    def _kill(self) -> None:
        self._down(self._target(), Server.kill)

    def _cut_power(self) -> None:
        self._down(self._target(), Server.cut_power)

    def _cut_power_while_writing(self) -> None:
        server = self._target()
        server.disk.cut_after_operations = 1 + int(self.rng.random() * 6)
        self._restart_later(server)

    def _all_at_once(self) -> None:
        for server in self.servers:
            self._down(server, Server.cut_power if self.rng.random() < 0.5 else Server.kill)

    def _pause(self) -> None:
        server = self._target()
        if server.driver is not None and not server.paused:
            server.pause()
            boot = server.boot
            until_us = self.scheduler.now() + int(self.rng.random() * 1_500_000)
            self.scheduler.schedule(until_us, lambda: self._resume(server, boot))

    def _reset(self) -> None:
        for server in self.servers:
            if server.driver is not None and self.rng.random() < 0.5:
                server.reset_links()

    def _wipe(self) -> None:
        """At most one disk is lost in a world, and only once a majority was born: it keeps everything."""
        if self._wiped or len(self.invariants.committed) < 2:
            return
        server = self._target()
        self._wiped = server.name
        self._down(server, Server.wipe)

    def _next_order(self) -> None:
        """Beside the faults, not in their place: operators act in any weather."""
        if self.scheduler.now() >= SAFETY_US:
            return
        order = self._pick([self._transfer, self._transfer, self._trigger_election])
        self.on_line(b"%d order %s" % (self.scheduler.now(), order.__name__.encode()))
        self.faults[order.__name__] = self.faults.get(order.__name__, 0) + 1
        order()
        wait_us = 500_000 + int(self.rng.random() * 2_000_000)
        self.scheduler.schedule(self.scheduler.now() + wait_us, self._next_order)

    def _transfer(self) -> None:
        """An operator wants another to lead; asked of anybody, it is refused."""
        self._order(self._target(), "transfer_leadership", self._pick(self.servers).name)

    def _trigger_election(self) -> None:
        self._order(self._pick(self.servers), "trigger_election", "")

    def _order(self, server: Server, command: str, target: str) -> None:
        if server.driver is None:
            return
        self.orders["asked"] = self.orders.get("asked", 0) + 1

        def reply(outcome: CommandOutcome) -> None:
            self.orders[outcome.code] = self.orders.get(outcome.code, 0) + 1

        deadline_us = self.scheduler.now() + ORDER_TIMEOUT_US
        server.post(WantOrder(command, deadline_us, reply, target))

    def _target(self) -> Server:
        """Leaders are where it hurts: half of all faults go to one."""
        leaders = [s for s in self.servers if s.driver is not None and s.driver.core.role is Role.LEADER]
        return self._pick(leaders if leaders and self.rng.random() < 0.5 else self.servers)

    def _down(self, server: Server, how: Callable[[Server], None]) -> None:
        how(server)
        self._restart_later(server)

    def _restart_later(self, server: Server) -> None:
        at_us = self.scheduler.now() + 50_000 + int(self.rng.random() * 900_000)
        self.scheduler.schedule(at_us, lambda: self._ensure(server))

    def _ensure(self, server: Server) -> None:
        if server.driver is None:
            self._start(server)
            if server.driver is None:  # the power failed again while it started
                self._restart_later(server)

    def _start(self, server: Server) -> None:
        try:
            server.start()
        except StorageError as error:  # nothing here damages a disk: its own log must always be accepted
            raise Violation(f"{server.name} refuses its log: {error}") from error

    def _resume(self, server: Server, boot: str) -> None:
        if server.paused and server.boot == boot:
            server.resume()

    def _pick(self, of: list[T]) -> T:
        return of[int(self.rng.random() * len(of))]

    # --- the end ------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        self.on_line(b"%d heal" % self.scheduler.now())
        self.network.heal_all()
        self.network.conditions = Conditions()
        for server in self.servers:
            server.disk.cut_after_operations = None
            self._resume(server, server.boot)
            self._ensure(server)
        self._writes_before = {client.key: len(client.acknowledged) for client in self.clients}

    def _serves(self) -> bool:
        return all(len(client.acknowledged) > self._writes_before[client.key] for client in self.clients)

    def _quiet(self) -> bool:
        cores = [server.driver.core for server in self._members() if server.driver is not None]
        ends = {(core.commit, core.applied, core.status(0).last_index) for core in cores}
        return len(cores) == len(self._members()) and len(ends) == 1 and len(set(next(iter(ends)))) == 1

    def _must(self, holds: Callable[[], bool], otherwise: str) -> None:
        if not self.scheduler.run_until(self.scheduler.now() + LIVENESS_US, holds):
            roles = ", ".join(f"{s.name} {s.driver.core.role.value if s.driver else 'down'}" for s in self.servers)
            raise Violation(f"{otherwise} within {LIVENESS_US} us of peace: {roles}")

    def _members(self) -> list[Server]:
        return [server for server in self.servers if server.name != self._wiped]

    def _compare(self) -> None:
        digests = {server.machine.digest() for server in self._members()}
        if len(digests) != 1:
            raise Violation("equal logs gave different stores")
        answered = sum(count for code, count in self.orders.items() if code != "asked")
        if answered != self.orders.get("asked", 0):
            raise Violation(f"orders were answered otherwise than once each: {self.orders}")
        for server in self.servers:
            if server.failed:
                raise Violation(f"{server.name}: the log failed: {server.failed}")
            if server.name == self._wiped and server.driver and server.driver.core.role is not Role.INITIAL:
                raise Violation(f"{server.name} lost its disk and came back as {server.driver.core.role.value}")
