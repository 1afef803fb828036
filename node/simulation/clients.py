"""Clients of a simulated cluster: each owns a key and writes 1, 2, 3, ...; all read everything; nothing is repeated.

Why it exists: what clients were told is the only thing that counts in the end. Reads are judged against the log: one
that began after a write was acknowledged, or after another read was answered, must see at least as much of the log.
"""

from collections.abc import Callable, Sequence

from node.runtime.inputs import WantRead, WantWrite
from node.runtime.ports import Done, NotProposed, Outcome, ReadFailed
from node.simulation.chance import Chance
from node.simulation.invariants import Invariants, Violation
from node.simulation.scheduler import Scheduler
from node.simulation.server import Server
from node.statemachine.writes import Put, Result, StoreWrite, encode_write

TIMEOUT_US = 1_000_000
LONG_EVERY = 3
LONG_BYTES = 1_200
"""Some values are longer than two sectors, so that a power failure can tear the frame that it is in."""


class Tallies:
    """What became of all operations."""

    def __init__(self) -> None:
        self.writes_done = 0
        self.writes_unknown = 0
        self.writes_refused = 0
        self.reads_done = 0
        self.reads_failed = 0
        self.written_us = -1
        """When the last write was acknowledged."""
        self.seen_index = 0
        """The highest log index that any client knows of: the least that a read from now on must show."""


class Client:
    """One after the other: a write or a read, at a random server, then a pause."""

    def __init__(
        self,
        number: int,
        servers: Sequence[Server],
        scheduler: Scheduler,
        rng: Chance,
        invariants: Invariants,
        tallies: Tallies,
        report: Callable[[bytes], None],
    ) -> None:
        self.key = b"key-%d" % number
        self.acknowledged: list[bytes] = []
        self._servers = servers
        self._scheduler = scheduler
        self._rng = rng
        self._invariants = invariants
        self._tallies = tallies
        self._report = report
        self._value = 0
        self.stopped = False

    def begin(self) -> None:
        """Do the next operation after a short, random while."""
        delay_us = int(self._rng.random() * 40_000)
        self._scheduler.schedule(self._scheduler.now() + delay_us, self._next)

    def _next(self) -> None:
        if self.stopped:
            return
        server = self._servers[int(self._rng.random() * len(self._servers))]
        if server.driver is None:
            self.begin()  # connection refused
        elif self._rng.random() < 0.5:
            self._write(server)
        else:
            self._read(server)

    def _write(self, server: Server) -> None:
        self._value += 1
        value = b"%d" % self._value
        padding = b"." * LONG_BYTES if self._value % LONG_EVERY == 0 else b""

        def reply(outcome: Outcome) -> None:
            self._report(b"%d %s=%s %r" % (self._scheduler.now(), self.key, value, type(outcome).__name__))
            if isinstance(outcome, Done):
                self._invariants.acknowledged(outcome.index, outcome.term)
                self._tallies.writes_done += 1
                self._tallies.written_us = self._scheduler.now()
                self._tallies.seen_index = max(self._tallies.seen_index, outcome.index)
                self.acknowledged.append(value)
            elif isinstance(outcome, NotProposed):
                self._tallies.writes_refused += 1
            else:
                self._tallies.writes_unknown += 1
            self.begin()

        command = encode_write(Put(self.key, value + padding))
        server.post(WantWrite(command, self._scheduler.now() + TIMEOUT_US, reply))

    def _ask(self, server: Server, write: StoreWrite, told: Callable[[Result, int, int], None]) -> None:
        """Ask for any write, once; `told` what was answered, when it was asked for, and by the entry of which index."""
        asked_us = self._scheduler.now()

        def reply(outcome: Outcome) -> None:
            what = type(write).__name__.encode()
            self._report(b"%d %s %s %r" % (self._scheduler.now(), self.key, what, type(outcome).__name__))
            if isinstance(outcome, Done):
                self._invariants.acknowledged(outcome.index, outcome.term)
                self._tallies.writes_done += 1
                self._tallies.written_us = self._scheduler.now()
                self._tallies.seen_index = max(self._tallies.seen_index, outcome.index)
                self.acknowledged.append(what)
                told(outcome.result, asked_us, outcome.index)  # type: ignore[arg-type]
            elif isinstance(outcome, NotProposed):
                self._tallies.writes_refused += 1
            else:
                self._tallies.writes_unknown += 1
            self.begin()

        server.post(WantWrite(encode_write(write), asked_us + TIMEOUT_US, reply))

    def _read(self, server: Server) -> None:
        at_least = self._tallies.seen_index
        boot = server.boot

        def reply(failed: ReadFailed | None) -> None:
            if failed is not None:
                self._tallies.reads_failed += 1
            elif server.driver is not None and server.boot == boot:
                shown = server.driver.core.applied
                if shown < at_least:
                    raise Violation(
                        f"a linearizable read on {server.name} was served at index {shown}, "
                        f"but a client had seen {at_least} before it began"
                    )
                self._tallies.reads_done += 1
                self._tallies.seen_index = max(self._tallies.seen_index, shown)
            self.begin()

        server.post(WantRead(self._scheduler.now() + TIMEOUT_US, reply))
