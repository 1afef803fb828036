"""Clients in sessions, which send a write again until there is an answer; and a world of them.

Why it exists: a write is sent again after whatever can happen to a cluster: leader changes, restarts from snapshots, a
session that expires. Late copies of writes that were answered long ago come as well.
"""

from collections import Counter
from collections.abc import Callable

from node.runtime.inputs import WantWrite
from node.runtime.ports import Done, NotProposed, Outcome
from node.simulation.chance import pick, up_to
from node.simulation.clients import LONG_BYTES, LONG_EVERY, TIMEOUT_US, Client
from node.simulation.invariants.exactly_once import ExactlyOnce
from node.simulation.invariants.violation import fail
from node.simulation.server import Server
from node.simulation.world import CLIENTS, World
from node.statemachine.writes import (
    SESSION_EXPIRED,
    SESSION_REFUSALS,
    Put,
    PutResult,
    Refused,
    Register,
    Registered,
    encode_write,
    in_session,
)

IDLE_US = (300_000, 2_000_000, 3_600_000_000)
"""How long a session may be idle, in one world or another: it expires in the first ones while nobody leads."""

COPY_US_MAX = 1_500_000
"""The longest after its answer that a late copy of a write comes."""


class RepeatingClient(Client):
    """As a client, but its writes are in a session. `counts`: what it met."""

    def begin_with(self, idle_us: int, counts: Counter[str]) -> None:
        """Call once, before `begin`."""
        self.judge = ExactlyOnce(self.key)
        self._idle_us = idle_us
        self._counts = counts
        self._session = 0
        self._sequence = 0
        self._given_up = 0
        """The highest number of a write that nobody waits for although its outcome is not known."""
        self._write_now = b""
        """The value that is being written; empty: none."""
        self._numbered = False
        """Whether it has its number already."""
        self._uncertain = False

    @property
    def pending(self) -> int:
        """Writes that may have been done, or may be, and are not answered."""
        return int(self._uncertain)

    def _write(self, server: Server) -> None:
        if not self._session:
            self._post(server, encode_write(Register(self._idle_us)), 0, self._registered)
            return
        if not self._write_now:
            self._value += 1
            self._write_now = b"%d" % self._value
        if not self._numbered:
            self._sequence += 1
            self._numbered = True
        self._post(server, self._data(), self._sequence, self._answered)

    def _data(self) -> bytes:
        """The bytes to propose. Now and then less is called answered than was; never less than was given up."""
        behind = up_to(self._rng, 3)
        padding = b"." * LONG_BYTES if self._value % LONG_EVERY == 0 else b""
        write = encode_write(Put(self.key, self._write_now + padding))
        return in_session(write, max(self._given_up, self._sequence - 1 - behind, 0))

    def _post(self, server: Server, data: bytes, sequence: int, reply: Callable[[Outcome, bytes], None]) -> None:
        session = self._session if sequence else 0

        def answered(outcome: Outcome) -> None:
            self._report(b"%d %s=%s %r" % (self._scheduler.now(), self.key, self._write_now, type(outcome).__name__))
            if isinstance(outcome, Done):
                self._invariants.acknowledged(outcome.index, outcome.term)
            reply(outcome, data)
            self.begin()

        server.post(WantWrite(data, self._scheduler.now() + TIMEOUT_US, answered, session, sequence))

    def _registered(self, outcome: Outcome, _data: bytes) -> None:
        if isinstance(outcome, Done):
            result = outcome.result
            if not isinstance(result, Registered):
                fail(f"a session was asked for, and {result!r} was answered")
            self._session, self._sequence, self._given_up = result.session, 0, 0
            self._numbered = False

    def _answered(self, outcome: Outcome, data: bytes) -> None:
        if isinstance(outcome, NotProposed):
            self._tallies.writes_refused += 1
        elif not isinstance(outcome, Done):
            self._tallies.writes_unknown += 1
            self._uncertain = True
            if self._rng.random() < 0.2:
                self._send_late_copy(data, self._write_now, self._session, self._sequence, self.judge.late)
                self._give_up()
        elif isinstance(outcome.result, Refused):
            self._refused(outcome.result)
        else:
            self._done(outcome, data)

    def _done(self, outcome: Done, data: bytes) -> None:
        result = outcome.result
        if not isinstance(result, PutResult):
            fail(f"{self.key!r}={self._write_now!r} was answered {result!r}")
        self.judge.acknowledged(self._write_now, result.revision)
        self._tallies.writes_done += 1
        self._tallies.written_us = self._scheduler.now()
        self._tallies.seen_index = max(self._tallies.seen_index, outcome.index)
        self.acknowledged.append(self._write_now)
        if self._rng.random() < 0.4:
            self._send_late_copy(data, self._write_now, self._session, self._sequence, self.judge.acknowledged)
        self._end()

    def _refused(self, refused: Refused) -> None:
        """The session is gone, with what it knew. Only where nothing can have happened is the write begun anew."""
        if refused.code != SESSION_EXPIRED:
            fail(f"{self.key!r}={self._write_now!r} was refused: {refused.message}")
        self._counts["sessions that expired"] += 1
        self._session = 0
        self._numbered = False
        if self._uncertain:
            self._give_up()

    def _give_up(self) -> None:
        self.judge.given_up()
        self._counts["writes given up"] += 1
        self._given_up = self._sequence
        self._end()

    def _end(self) -> None:
        self._write_now, self._uncertain, self._numbered = b"", False, False

    def _send_late_copy(
        self, data: bytes, value: bytes, session: int, sequence: int, answered: Callable[[bytes, int], None]
    ) -> None:
        """What was on its way all the time, to whichever server."""

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, Done) and isinstance(outcome.result, PutResult):
                answered(value, outcome.result.revision)
                self._counts["late copies answered as before"] += 1
            elif isinstance(outcome, Done):
                result = outcome.result
                if not isinstance(result, Refused) or result.code not in SESSION_REFUSALS:
                    fail(f"a late copy of {self.key!r}={value!r} was answered {result!r}")
                self._counts["late copies refused"] += 1

        def send() -> None:
            server = pick(self._rng, self._servers)
            if server.driver is not None and not self.stopped:
                server.post(WantWrite(data, self._scheduler.now() + TIMEOUT_US, reply, session, sequence))

        self._scheduler.schedule(self._scheduler.now() + up_to(self._rng, COPY_US_MAX), send)


class Repeating(World):
    """`run()` raises Violation. An ordinary world, but for its clients."""

    def _clients(self, first: int = 0) -> list[Client]:
        idle_us = pick(self.rng, IDLE_US)
        made = []
        for number in range(first, first + CLIENTS):
            client = RepeatingClient(
                number, self.servers, self.scheduler, self.rng, self.invariants, self.tallies, self.on_line
            )
            client.begin_with(idle_us, self.happenings.counts)
            made.append(client)
        self._in_sessions = made
        return list(made)

    def _compare(self) -> None:
        super()._compare()
        stores = [server.machine for server in self._members()]
        self.happenings.counts["writes that came again"] += max(store.sessions.repeats for store in stores)
        for client in self._in_sessions:
            client.judge.judge(stores[0], client.pending)
