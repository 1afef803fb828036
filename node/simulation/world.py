"""A cluster, its network and its clients, all of it drawn from one seed; broken for a while, then healed.

Safety phase: anything may fail (faults.py), and after every step the invariants hold. Liveness phase: nothing fails any
more, but in every other world the disk of one server, a leader if there is one, which falls silent at this very moment;
within a bounded time one leader serves every client. Then all logs and stores become equal.

Why it exists: what runs here is the production driver, log, links and store; only clock, disk and network are
simulated. It must not use real time, global chance, or anything else that another process would do differently.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from random import Random

from node.raft.core import Raft
from node.raft.messages import Message
from node.raft.settings import RaftSettings
from node.raft.types import Configuration, Role
from node.simulation.clients import TIMEOUT_US, Client, Tallies
from node.simulation.faults import Faults, FaultsNeed
from node.simulation.happenings import Happenings
from node.simulation.invariants import Invariants, Violation
from node.simulation.network import SimNetwork
from node.simulation.operators import Operators
from node.simulation.scheduler import Scheduler
from node.simulation.server import Observer, Server
from node.simulation.striking import Acts
from node.simulation.weather import Conditions
from node.storage.errors import StorageError
from node.storage.recovery import Recovered

CLIENTS = 4
SAFETY_US = 6_000_000
LIVENESS_US = 20_000_000
CURE_AFTER_US = 1_000_000
"""Of peace: then operators do what a server asks for."""
SETTINGS = RaftSettings(inflight_messages_max=4, append_bytes_max=600, apply_bytes_max=400)


class World(Observer):
    """`run()` raises Violation; `digest` and the tallies say what happened. `keep`: remember the trace's lines;
    `without`: numbers of faults and orders that are left out."""

    safety_us = SAFETY_US

    def __init__(self, seed: int, keep: Callable[[bytes], None] | None = None, without: Collection[str] = ()) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.scheduler = Scheduler()
        self.invariants = Invariants()
        self.tallies = Tallies()
        self.lines = 0
        self.happenings = Happenings()
        self._keep = keep
        self._without = without
        self._hash = hashlib.sha256()
        self.network = SimNetwork(
            schedule=self.scheduler.schedule,
            now=self.scheduler.now,
            chance=self.rng,
            conditions=self._weather(),
        )
        self.names = [f"n{number}" for number in range(1, self._size() + 1)]
        self.servers = self._found()
        self.clients = self._clients()
        self.operators = self._operators()
        self.faults = self._faults()

    def server(self, name: str, label: str = "") -> Server:
        """One more server, on an empty disk; `label` tells it from another of that name."""
        return Server(name, self.names, SETTINGS, self.scheduler, self.network, self.rng, self, label)

    def run(self) -> None:
        """Birth, safety, liveness, and the comparison of everything at the end."""
        self._begin()
        self.scheduler.run_until(self.safety_us)
        self._heal_and_end()

    def _begin(self) -> None:
        for server in self.servers:
            at_us = int(self.rng.random() * 400_000)
            self.scheduler.schedule(at_us, lambda server=server: self.faults.start(server))  # type: ignore[misc]
        for client in self.clients:
            client.begin()
        self.faults.begin()
        self.operators.begin()

    def _heal_and_end(self) -> None:
        self.on_line(b"%d heal" % self.scheduler.now())
        self.faults.heal()
        self._end()

    def _end(self) -> None:
        """Nothing fails any more, and everybody is up."""
        self._recover()
        for client in self.clients:
            client.stopped = True
        self._must(self._quiet, "the servers did not come to the same end")
        self._compare()

    @property
    def digest(self) -> str:
        """Of every byte of the trace: equal seeds give equal digests, in every process."""
        return self._hash.hexdigest()

    @property
    def configuration(self) -> Configuration:
        """The latest that is committed."""
        return self.invariants.configuration

    @property
    def entries_committed(self) -> int:
        """For people."""
        return len(self.invariants.committed)

    def judge_of(self, _server: Server) -> Invariants:
        """Who judges what that one does: of several clusters each has its own."""
        return self.invariants

    # --- Observer -----------------------------------------------------------------------------------------------

    def on_line(self, line: bytes) -> None:
        self.lines += 1
        self._hash.update(line)
        if self._keep is not None:
            self._keep(line)

    def on_told(self, server: Server, kind: str, detail: Mapping[str, object]) -> None:
        self.happenings.told(kind, detail, self.scheduler.now() - self.tallies.written_us)
        self.faults.react(server, kind, detail)
        self.operators.react(server, kind)

    def on_start(self, recovered: Recovered) -> None:
        self.happenings.started(recovered)

    def on_sent(self, server: Server, to: str, message: Message) -> None:
        initial = server.driver is None or server.driver.core.role is Role.INITIAL
        self.judge_of(server).sent(server.label, to, message, initial)
        self.happenings.sent(server.label, message)

    def on_boot(self, server: Server, core: Raft) -> None:
        self.judge_of(server).rebooted(server.label, core, wiped=server.fresh)
        server.fresh = False

    def on_step(self, server: Server, core: Raft) -> None:
        judge = self.judge_of(server)
        judge.stepped(server.label, core, self.scheduler.now())
        self.happenings.stepped(core, len(judge.committed))
        kept = core.reads_waiting
        if kept > server.reads_open:
            raise Violation(f"{server.label} keeps {kept} reads, but clients wait for {server.reads_open}")

    def on_log_failed(self, server: Server, error: StorageError) -> None:
        if not server.disk.failing:
            raise Violation(f"{server.label}: the log failed: {error}")

    # --- what the seed decides ----------------------------------------------------------------------------------

    def _size(self) -> int:
        return 3 if self.rng.random() < 0.5 else 5

    def _found(self) -> list[Server]:
        return [self.server(name) for name in self.names]

    def _clients(self, first: int = 0) -> list[Client]:
        return [
            Client(number, self.servers, self.scheduler, self.rng, self.invariants, self.tallies, self.on_line)
            for number in range(first, first + CLIENTS)
        ]

    def _acts(self, letter: str) -> Acts:
        """Chance of its own for each: what is left out changes nothing about what is left."""
        return Acts(letter, lambda name: Random(f"{self.seed} {name}"), self.scheduler.now, self.on_line, self._without)

    def _operators(self) -> Operators:
        return Operators(self.servers, self.scheduler, self._acts("o"), self.on_line, self.safety_us)

    def _faults(self) -> Faults:
        return Faults(*self._what_faults_need())

    def _what_faults_need(self) -> FaultsNeed:
        return (
            self.servers,
            self.network,
            self.scheduler,
            self._acts("f"),
            self.invariants,
            self.on_line,
            lambda name: self.server(name, f"{name}'"),
            self.safety_us,
        )

    def _weather(self) -> Conditions:
        """Some worlds are calm; in others single messages are lost, repeated and overtaken, and bits flip."""
        rough = self.rng.random() < 0.6
        flips = self.rng.random() < 0.3
        return Conditions(
            delay_max_us=500 + int(self.rng.random() * 20_000),
            drop=self.rng.random() * 0.1 if rough else 0.0,
            duplicate=self.rng.random() * 0.1 if rough else 0.0,
            reorder=self.rng.random() * 0.1 if rough else 0.0,
            flip=self.rng.random() * 0.01 if flips else 0.0,
        )

    # --- the end ------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Every client gets a write done, although perhaps one disk, of a minority, has just fallen silent."""
        done = {client.key: len(client.acknowledged) for client in self.clients}
        silent = self._fall_silent()
        self.scheduler.schedule(self.scheduler.now() + CURE_AFTER_US, self._restart_who_asks_for_it)
        self._must(
            lambda: all(len(client.acknowledged) > done[client.key] for client in self.clients),
            "no leader that can commit served every client, although a quorum's disks work,",
        )
        if silent is not None:
            silent.disk.answer()

    def _restart_who_asks_for_it(self) -> None:
        """Of two processes of one name a server may have agreed to both sets, and then says that it wants a restart:
        where another's disk was lost meanwhile, a majority may need it."""
        for server in self._members():
            core = server.driver.core if server.driver is not None else None
            if core is not None and "restart it" in (core.status(self.scheduler.now()).waiting_for or ""):
                self.on_line(b"%d restart %s" % (self.scheduler.now(), server.label.encode()))
                server.kill()
                self.faults.start(server)

    def _fall_silent(self) -> Server | None:
        majority_has_disks = len(self._members()) - 1 > self._voters() // 2
        if not majority_has_disks or self.rng.random() < 0.5:
            return None
        leaders = [s for s in self._members() if s.driver is not None and s.driver.core.role is Role.LEADER]
        server = (leaders or self._members())[-1]
        server.disk.silent = True
        self.on_line(b"%d silent %s" % (self.scheduler.now(), server.label.encode()))
        return server

    def _voters(self) -> int:
        return len(self.servers)

    def _nothing_stays(self) -> None:
        """Nobody waits for a read any more, and every clock is right: neither may have a lasting effect."""
        for server in self._members():
            if server.driver is None:
                continue
            status = server.driver.core.status(self.scheduler.now())
            if status.reads_waiting:
                raise Violation(f"{server.label} still keeps {status.reads_waiting} reads that nobody waits for")
            if status.log_time_us > self.scheduler.now():
                raise Violation(f"log time on {server.label} is {status.log_time_us}, later than the world is old")

    def _quiet(self) -> bool:
        cores = [server.driver.core for server in self._members() if server.driver is not None]
        ends = {(core.commit, core.applied, core.status(0).last_index) for core in cores}
        return len(cores) == len(self._members()) and len(ends) == 1 and len(set(next(iter(ends)))) == 1

    def _must(self, holds: Callable[[], bool], otherwise: str, within_us: int = LIVENESS_US) -> None:
        if not self.scheduler.run_until(self.scheduler.now() + within_us, holds):
            roles = ", ".join(f"{s.label} {s.driver.core.role.value if s.driver else 'down'}" for s in self.servers)
            raise Violation(f"{otherwise} within {within_us} us of peace: {roles}")

    def _members(self) -> list[Server]:
        return [server for server in self.servers if server.label != self.faults.lost]

    def _compare(self) -> None:
        digests = {server.machine.digest() for server in self._members()}
        if len(digests) != 1:
            raise Violation("equal logs gave different stores")
        self.scheduler.run_until(self.scheduler.now() + 2 * TIMEOUT_US)
        self._nothing_stays()
        orders = self.operators.orders  # the last may have been given a moment before peace
        answered = sum(count for code, count in orders.items() if code != "asked")
        if answered != orders.get("asked", 0):
            raise Violation(f"orders were answered otherwise than once each: {orders}")
        for server in self.servers:
            if server.label != self.faults.lost or server.driver is None:
                continue
            core = server.driver.core
            stranded = self.invariants.birth.is_stranded(server.label, core)
            if core.role is Role.LEADER or not (core.role is Role.INITIAL or stranded):
                raise Violation(f"{server.label} lost its disk and came back as {core.role.value}")
