"""How long the pieces of work hold the event loop, and the moments when a turn of it took far too long.

Why it exists: a node has one loop. Whatever holds it holds heartbeats, too, so a leader that works for half an
election timeout at a stretch is about to be deposed, and an operator must see what it did then, or that it did nothing
and the machine stood still. Work is measured where it begins and ends (`timed`, `Steps`), each piece without the pieces
inside it; a beat, which is only a timer, sees what no piece claims, by coming late.

The processor time that this thread used tells own work from a process that was stopped, swapped out or not scheduled.
Clocks are given; everything runs on the loop's thread. It must not decide anything: it is told to people alone.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

DOING = {
    "driver": "a step of the algorithm",
    "apply": "applying entries",
    "wal": "writing its log",
    "links": "taking messages of its peers",
    "report": "telling its peers its status",
    "express": "answering clients",
    "http": "answering clients",
}
"""What is measured, and how people are told: a step of the driver, entries applied, the log written (and synced, where
the loop does that), a frame from a peer, this node's report to its peers, a request of the express lane, a step of any
other request. The page takes the words from here (`words.js`)."""

LOOP = "loop"
"""The name under which the beat's delays are counted: whole turns, whatever was in them."""
OTHER = "other"
"""Own work that is none of DOING."""
NOTHING = "nothing"
"""No work of this process: it was stopped, swapped out, or the machine had no processor for it."""

TURN_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.015, 0.03, 0.075, 0.15, 0.3, 1.0, 3.0, 10.0)
"""0.015 is the rule (a tenth of the shortest election timeout), 0.075 a stall, with default settings."""

BEAT_SECONDS_MAX = 0.05
BEATS_PER_STALL = 3
"""The beat is so much faster than the shortest stall, so that few other things fall into the same look."""

TOLD_EVERY_SECONDS = 1.0
"""Stalls are told at most this often, the longest of each such time; all are counted. A node that stalls all the time
must not drive its elections out of the trace."""

OWN_SHARE = 0.5
"""A stall is this process's own work if it used the processor for so much of it."""

P = ParamSpec("P")
T = TypeVar("T")


class Stall(msgspec.Struct, frozen=True):
    """A piece of work, or a turn, that took `seconds`. `doing`: one of DOING, OTHER or NOTHING. `own`: the process
    worked; otherwise it waited for a disk (doing "wal") or for the machine. `more`: shorter ones that are not told."""

    seconds: float
    doing: str
    own: bool
    cpu_seconds: float
    more: int = 0


class Kind:
    """The measurements of one kind of work: how many fell into each bucket (and above the last), and all their time."""

    __slots__ = ("counts", "name", "seconds")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = [0] * (len(TURN_BUCKETS_SECONDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(TURN_BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds


class Turns:
    """`clock`: seconds that go on while the process is stopped; `cpu`: seconds of processor time of the loop's thread;
    `stall_seconds`: from when on a piece or a turn is a stall. `told` hears of stalls, at a bounded rate."""

    def __init__(
        self,
        clock: Callable[[], float],
        cpu: Callable[[], float],
        stall_seconds: float,
        told: Callable[[Stall], None] = lambda _stall: None,
    ) -> None:
        self.kinds = {name: Kind(name) for name in (*DOING, LOOP)}
        self.stalls: dict[tuple[str, bool], int] = {}
        """How many, by what was being done and whether it was own work."""
        self.longest: Stall | None = None
        self.last: Stall | None = None
        self.told = told
        self.clock = clock
        self.cpu = cpu
        self._stall_s = stall_seconds
        self._beat_s = min(BEAT_SECONDS_MAX, stall_seconds / BEATS_PER_STALL)
        self._inside = 0.0
        """Seconds measured by the pieces inside the one that is open."""
        self._cpu_at_beat = cpu()
        self._due = 0.0
        self._claimed = 0.0
        """Seconds of stalls since the last beat that a piece of work has answered for."""
        self._before = dict.fromkeys(DOING, 0.0)
        self._told_at = -TOLD_EVERY_SECONDS
        self._waiting: Stall | None = None
        self._timer: asyncio.TimerHandle | None = None

    # --- pieces of work ----------------------------------------------------------------------------------------

    def timed(self, doing: str, work: Callable[P, T]) -> Callable[P, T]:
        """`work`, measured at each call."""
        kind, clock, stall_s = self.kinds[doing], self.clock, self._stall_s
        counts, shortest = kind.counts, min(TURN_BUCKETS_SECONDS[0], stall_s / 2)

        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            outside = self._inside
            self._inside = 0.0
            began = clock()
            try:
                return work(*args, **kwargs)
            finally:
                took = clock() - began
                own = took - self._inside
                self._inside = outside + took
                kind.seconds += own
                if own <= shortest:  # nearly all
                    counts[0] += 1
                else:
                    counts[bisect_left(TURN_BUCKETS_SECONDS, own)] += 1
                    if own >= stall_s:
                        self._claimed += own
                        self._stalled(doing, own)

        return run

    def watch(self, port: object, doing: str, *methods: str) -> None:
        """Measure these methods of one object from now on. For app.py, which puts the objects together."""
        for method in methods:
            setattr(port, method, self.timed(doing, getattr(port, method)))

    def add(self, doing: str, seconds: float) -> None:
        """Count a piece of work that was measured elsewhere and has no pieces inside."""
        self.kinds[doing].add(seconds)
        if seconds >= self._stall_s:
            self._claimed += seconds
            self._stalled(doing, seconds)

    # --- the beat ----------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to beat."""
        self._due = self.clock()
        self._cpu_at_beat = self.cpu()
        self._beat(loop)

    def stop(self) -> None:
        """No beat any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self.look()
        self._timer = loop.call_later(self._beat_s, self._beat, loop)

    def look(self) -> None:
        """What the beat does: judge how late it came, then begin anew."""
        now = self.clock()
        late = max(0.0, now - self._due)
        self.kinds[LOOP].add(late)
        unclaimed = late - self._claimed
        if unclaimed >= self._stall_s:
            self._stalled(self._busiest(unclaimed), unclaimed)
        self._claimed = 0.0
        self._before = {name: self.kinds[name].seconds for name in DOING}
        self._cpu_at_beat = self.cpu()
        self._due = now + self._beat_s
        if self._waiting is not None and now - self._told_at >= TOLD_EVERY_SECONDS:
            self._tell(self._waiting, now)

    def _busiest(self, seconds: float) -> str:
        """Which kind took most of that time in small pieces; OTHER where none took half of it."""
        name, most = max(
            ((name, self.kinds[name].seconds - self._before[name]) for name in DOING), key=lambda each: each[1]
        )
        return name if most >= seconds / 2 else OTHER

    # --- stalls ------------------------------------------------------------------------------------------------

    def _stalled(self, doing: str, seconds: float) -> None:
        cpu = self.cpu()
        used = min(seconds, max(0.0, cpu - self._cpu_at_beat))
        own = used >= seconds * OWN_SHARE
        stall = Stall(seconds, NOTHING if doing == OTHER and not own else doing, own, used)
        key = (stall.doing, own)
        self.stalls[key] = self.stalls.get(key, 0) + 1
        self.last = stall
        if self.longest is None or seconds > self.longest.seconds:
            self.longest = stall
        waiting, now = self._waiting, self.clock()
        if waiting is not None:
            worst = stall if seconds > waiting.seconds else waiting
            self._waiting = msgspec.structs.replace(worst, more=waiting.more + 1)
        elif now - self._told_at >= TOLD_EVERY_SECONDS:
            self._tell(stall, now)
        else:
            self._waiting = stall

    def _tell(self, stall: Stall, now: float) -> None:
        self._told_at = now
        self._waiting = None
        self.told(stall)


class Steps(Generic[T]):
    """An awaitable that does what a coroutine does, and tells `ended` the seconds of each step; for one wait."""

    __slots__ = ("_clock", "_ended", "_work")

    def __init__(
        self, work: Coroutine[Any, Any, T], clock: Callable[[], float], ended: Callable[[float], None]
    ) -> None:
        self._work, self._clock, self._ended = work, clock, ended

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # what `await` needs of a generator is here

    def __iter__(self) -> "Steps[T]":
        return self

    def __next__(self) -> Any:
        began = self._clock()
        try:
            return self._work.send(None)
        finally:
            self._ended(self._clock() - began)

    def send(self, _value: None) -> Any:
        """The next step."""
        return self.__next__()

    def throw(self, *error: Any) -> Any:
        """The next step, which begins with an exception."""
        began = self._clock()
        try:
            return self._work.throw(*error)
        finally:
            self._ended(self._clock() - began)

    def close(self) -> None:
        """Nobody awaits it any more."""
        self._work.close()


def stall_detail(stall: Stall) -> dict[str, str | int | bool]:
    """What a `stalled` event carries."""
    return {
        "ms": round(stall.seconds * 1000),
        "doing": stall.doing,
        "own": stall.own,
        "cpu_ms": round(stall.cpu_seconds * 1000),
        "more": stall.more,
    }


def stall_words(detail: Mapping[str, object]) -> str:
    """What `stall_detail` made, as a sentence for people."""
    took, used = f"the loop stood for {detail['ms']} ms", f"{detail['cpu_ms']} ms of it on the processor"
    more = f"; {detail['more']} more since the last such line" if detail["more"] else ""
    if detail["doing"] == NOTHING:
        return f"{took} without own work ({used}): the process was stopped, or the machine had no time for it{more}"
    waited = "a wait for the disk" if detail["doing"] == "wal" else "a wait for the machine"
    return f"{took} in {detail['doing']!r}: {'own work' if detail['own'] else waited}, {used}{more}"
