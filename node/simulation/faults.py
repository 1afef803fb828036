"""All that may go wrong in a world; what, where and when by chance.

Why it exists: one place to look for what the product is put through. It must not judge: see invariants.py and world.py.
Every fault says whether it did anything, and only then is counted: one that never struck proves nothing.
"""

import errno
from collections.abc import Callable, Mapping

from node.simulation.chance import Chance, pick
from node.simulation.invariants import Invariants, Violation
from node.simulation.network import SimNetwork
from node.simulation.scheduler import Scheduler
from node.simulation.server import Server
from node.simulation.striking import Acts, upon
from node.simulation.weather import Conditions
from node.storage.errors import StorageError

Fault = Callable[[], bool]
FaultsNeed = tuple[
    list[Server],
    SimNetwork,
    Scheduler,
    Acts,
    Invariants,
    Callable[[bytes], None],
    Callable[[str], Server],
    int,
]

PAUSE_US_MAX = 600_000
"""Between two faults, beside a tenth of a second."""

SILENCE_US_MAX = 6_000_000
"""How long a disk is silent; one of three stays so until peace."""
IN_THE_MIDDLE = 0.5
"""How likely a fault strikes in the middle of an install, or of a change of members."""
INSTALL_US_MAX = 20_000
"""How long an install takes, mostly."""
SLOW_SYNC_US_MAX = 2_000_000
LATE_WORDS_US_MAX = 3_000_000
YEAR_US = 365 * 24 * 3_600 * 1_000_000


class Faults:
    """Breaks `servers` and `network` until `ends_us`. `begin` once; `heal` when nothing may fail any more."""

    def __init__(
        self,
        servers: list[Server],
        network: SimNetwork,
        scheduler: Scheduler,
        acts: Acts,
        invariants: Invariants,
        on_line: Callable[[bytes], None],
        second_process: Callable[[str], Server],
        ends_us: int,
    ) -> None:
        self.acts = acts
        self.lost = ""
        """Whose disk was lost; empty: nobody's. At most one in a world: a majority keeps everything."""
        self.refused_damage = 0
        self.pause_us_max = PAUSE_US_MAX
        """Longer where clients must get something done between them."""
        self._servers = servers
        self._network = network
        self._scheduler = scheduler
        self._invariants = invariants
        self._on_line = on_line
        self._second_process = second_process
        self._ends_us = ends_us
        self._flipped = ""
        self._twin: Server | None = None

    def begin(self) -> None:
        self._scheduler.schedule(500_000, self._next_fault)

    def heal(self) -> None:
        """Everything works and everybody is up; what was lost stays lost."""
        self._network.heal_all()
        self._network.fair_weather()
        self._end_twin()
        for server in self._servers:
            server.wall_offset_us = 0
            server.disk.recover()
            self._resume(server, server.boot)
            self._ensure(server)

    def start(self, server: Server) -> None:
        """A log that nobody damaged must be accepted; one that was must be refused, whole, and then counts as lost."""
        if server.fresh and server.label == self._flipped:
            self._flipped = ""  # that disk was taken away meanwhile
        flipped = server.label == self._flipped
        try:
            server.start()
        except StorageError as error:
            if server.disk.failing:
                return  # it is tried again when the disk is mended
            if not flipped:
                raise Violation(f"{server.label} refuses its log: {error}") from error
            self._on_line(b"%d refused %s" % (self._scheduler.now(), str(error).encode()))
            self.refused_damage += 1
            self._flipped, self.lost = "", server.label
            server.wipe()
            server.start()
            return
        if flipped and server.driver is not None:  # None: the power failed before the log was read
            raise Violation(f"{server.label} opened a log in which a bit had flipped")

    # --- one fault after the other ------------------------------------------------------------------------------

    def react(self, server: Server, kind: str, detail: Mapping[str, object]) -> None:
        """Strike in the middle of what takes a few milliseconds only, which other faults would hardly ever meet."""
        if self._scheduler.now() >= self._ends_us:
            return
        if kind == "members" and self.acts.aside.random() < IN_THE_MIDDLE:
            self.acts.strike(upon(self._isolate_who_changes, server))
        elif kind == "snapshot-sent" and detail.get("phase") == "begun" and self.acts.aside.random() < IN_THE_MIDDLE:
            peer = next((other for other in self._servers if other.name == detail["peer"]), None)
            if peer is not None:
                in_us = int(self.acts.aside.random() * INSTALL_US_MAX)
                act = upon(self._kill_who_installs, peer)
                self._scheduler.schedule(self._scheduler.now() + in_us, lambda: self.acts.strike(act))

    def _isolate_who_changes(self, leader: Server) -> bool:
        """A leader alone with a change of members that nobody else has: another leader overwrites it."""
        others = tuple(server.label for server in self._servers if server is not leader)
        self._network.partition((leader.label,), others)
        return True

    def _kill_who_installs(self, server: Server) -> bool:
        if server.driver is None:
            return False
        self._down(server, Server.kill)
        return True

    def what_may_fail(self) -> list[Fault]:
        """One of these is drawn each time."""
        return [
            *(self._partition, self._isolate, self._isolate, self._one_way),
            *(self._mend, self._mend, self._mend, self._mend),
            *(self._kill, self._cut_power, self._cut_power_while_writing, self._all_at_once),
            *(self._pause, self._reset, self._wipe),
            *(self._silence_disk, self._silence_disk, self._slow_disk, self._break_disk, self._flip_a_bit),
            *(self._close_port, self._close_port, self._hold_words_up, self._leap_clock, self._second_of_a_name),
        ]

    def _next_fault(self) -> None:
        if self._scheduler.now() >= self._ends_us:
            return
        self.acts.strike(pick(self._rng, self.what_may_fail()))
        wait_us = 100_000 + int(self._rng.random() * self.pause_us_max)
        self._scheduler.schedule(self._scheduler.now() + wait_us, self._next_fault)

    @property
    def _rng(self) -> Chance:
        return self.acts.chance

    # --- the network --------------------------------------------------------------------------------------------

    def _partition(self) -> bool:
        here = tuple(server.label for server in self._servers if self._rng.random() < 0.5)
        there = tuple(server.label for server in self._servers if server.label not in here)
        self._network.partition(here, there)
        return bool(here and there)

    def _isolate(self) -> bool:
        """One server alone, the leader more often than not; other cuts are healed, so that the rest goes on."""
        alone = self._target().label
        self._network.heal_all()
        self._network.partition((alone,), tuple(server.label for server in self._servers if server.label != alone))
        return True

    def _one_way(self) -> bool:
        self._network.cut(pick(self._rng, self._servers).label, self._target().label)
        return True

    def _mend(self) -> bool:
        self._network.heal_all()
        return True

    def _reset(self) -> bool:
        for server in self._servers:
            if server.driver is not None and self._rng.random() < 0.5:
                server.reset_links()
        return True

    def _hold_words_up(self) -> bool:
        """In one direction words take seconds, for a while; none is lost, and their order stays."""
        here, there = pick(self._rng, self._servers).label, self._target().label
        if here == there:
            return False
        self._network.weather(here, there, Conditions(delay_max_us=LATE_WORDS_US_MAX))
        self._later(2_000_000, lambda: self._network.weather(here, there, None))
        return True

    def _close_port(self) -> bool:
        """What looks like the end of a process and is none: links to it break, and dials are refused for a while. Those
        that it dialled itself stand, or break as well."""
        server = self._target()
        if server.driver is None:
            return False
        self._network.close_port(server.label)
        self._network.break_inbound(server.label)
        if self._rng.random() < 0.5:
            server.reset_links()
        self._later(1_000_000, lambda: self._network.open_port(server.label))
        return True

    # --- processes ----------------------------------------------------------------------------------------------

    def _kill(self) -> bool:
        self._down(self._target(), Server.kill)
        return True

    def _cut_power(self) -> bool:
        self._down(self._target(), Server.cut_power)
        return True

    def _cut_power_while_writing(self) -> bool:
        server = self._target()
        server.disk.cut_after_operations = 1 + int(self._rng.random() * 6)
        self.restart_later(server)
        return True

    def _all_at_once(self) -> bool:
        for server in self._servers:
            self._down(server, Server.cut_power if self._rng.random() < 0.5 else Server.kill)
        return True

    def _pause(self) -> bool:
        server = self._target()
        if server.driver is None or server.paused:
            return False
        server.pause()
        boot = server.boot
        self._later(1_500_000, lambda: self._resume(server, boot))
        return True

    def _leap_clock(self) -> bool:
        """A wall clock is set wrong: by up to ten years, forward or back. Another fault may set it right again."""
        server = self._target()
        leap_us = int((self._rng.random() * 20 - 10) * YEAR_US)
        server.wall_offset_us = 0 if server.wall_offset_us and self._rng.random() < 0.5 else leap_us
        return True

    def _second_of_a_name(self) -> bool:
        """A second process of a member's name, on an empty disk, beside the first; later it is gone for good.

        After birth only: who may have which name before is another world's matter (births.py).
        """
        if self._twin is not None or len(self._invariants.committed) < 2:
            return False
        twin = self._twin = self._second_process(self._target().name)
        twin.start()
        self._later(3_000_000, lambda: self._end_twin(twin))
        return True

    def _end_twin(self, twin: Server | None = None) -> None:
        twin = twin or self._twin
        if twin is not None and twin.driver is not None:
            twin.kill()
        if twin is self._twin:
            self._twin = None

    def may_be_lost(self, _server: Server) -> bool:
        """Whether a majority keeps everything without this disk: one of each world, and none before birth."""
        return not self.lost and len(self._invariants.committed) >= 2

    # --- disks --------------------------------------------------------------------------------------------------

    def _wipe(self) -> bool:
        """Only once a majority was born."""
        server = self._target()
        if self._flipped or not self.may_be_lost(server):
            return False
        self.lost = server.label
        self._down(server, Server.wipe)
        return True

    def _silence_disk(self) -> bool:
        """A disk answers no more, for seconds or until peace. One at a time: the others' disks go on."""
        server = self._target()
        disk = server.disk
        for other in self._servers:
            other.disk.answer()
        disk.silent = True
        if self._rng.random() < 0.67:
            self._later(SILENCE_US_MAX, disk.answer)
        return server.driver is not None

    def _slow_disk(self) -> bool:
        server = self._target()
        disk = server.disk
        for other in self._servers:
            other.disk.slow_us = 0
        disk.slow_us = int(self._rng.random() * SLOW_SYNC_US_MAX) + 1
        return server.driver is not None

    def _break_disk(self) -> bool:
        """A write or sync fails: the process ends, and its next one begins on a disk that was mended."""
        server = self._target()
        disk = server.disk
        if server.driver is None or disk.failing:
            return False
        operation = pick(self._rng, ["pwrite", "sync", "sync"])
        disk.break_down(operation, pick(self._rng, [errno.EIO, errno.ENOSPC]))

        def mend() -> None:
            if disk is server.disk:
                disk.heal()
                disk.failing = False
                self.restart_later(server)

        self._later(1_500_000, mend)
        return True

    def _flip_a_bit(self) -> bool:
        """While a server is down, one bit of what its log's segments hold comes to be another."""
        server = self._target()
        if self._flipped or server.disk.failing or not self.may_be_lost(server):
            return False
        self._down(server, Server.kill)
        segments = [(n, data) for n, data in server.disk.content().items() if n.endswith(".wal") and any(data)]
        if not segments:
            return False
        name, data = pick(self._rng, segments)
        bit = int(self._rng.random() * len(data.rstrip(b"\0")) * 8)
        server.disk.flip(name, bit // 8, 1 << bit % 8)
        self._flipped = server.label
        return True

    # --- who and when -------------------------------------------------------------------------------------------

    def _target(self) -> Server:
        """Leaders are where it hurts: half of all faults go to one."""
        leaders = [server for server in self._servers if server.leads]
        return pick(self._rng, leaders if leaders and self._rng.random() < 0.5 else self._servers)

    def _down(self, server: Server, how: Callable[[Server], None]) -> None:
        how(server)
        self.restart_later(server)

    def restart_later(self, server: Server) -> None:
        """Another process begins within a second, and is tried again."""
        at_us = self._scheduler.now() + 50_000 + int(self.acts.aside.random() * 900_000)
        self._scheduler.schedule(at_us, lambda: self._ensure(server))

    def _ensure(self, server: Server) -> None:
        """It runs, or will be tried again: a silent disk lets no process begin, the power may fail while one does."""
        if server.driver is None and not server.disk.silent:
            self.start(server)
        if server.driver is None:
            self.restart_later(server)

    def _resume(self, server: Server, boot: str) -> None:
        if server.paused and server.boot == boot:
            server.resume()

    def _later(self, within_us: int, action: Callable[[], None]) -> None:
        self._scheduler.schedule(self._scheduler.now() + int(self._rng.random() * within_us), action)
