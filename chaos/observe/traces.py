"""Follows the events of every node, and puts their times on the tool's clock.

Why it exists: elections happen between two samples; only the nodes know when. Streams resume where they broke, a
process that started again is told from its beginning. It must not judge, and must not hold more than EVENTS_MAX.
"""

import asyncio

import aiohttp
import msgspec

from chaos.clock import Clock
from chaos.model import Event, Lost
from chaos.observe.nodeapi import STATUS_TIMEOUT_SECONDS, UNREACHABLE
from chaos.observe.offsets import Offsets
from chaos.targets.port import Target

EVENTS_MAX = 50_000
"""Events that are kept, of all nodes together; later ones are counted in `lost`."""
MEASURE_AT_ONCE = 3
"""Questions in a row when a stream begins: a process may not live long. Later samples measure its clock."""
SILENCE_SECONDS_MAX = 40.0
"""Nodes send a comment every 15 s: a stream that is silent for longer is dead."""
RECONNECT_SECONDS_MIN, RECONNECT_SECONDS_MAX = 0.05, 0.5


class _Frame(msgspec.Struct):
    transitions: int = 0


_EVENT = msgspec.json.Decoder(Event)
_LOST = msgspec.json.Decoder(_Frame)


class Traces:
    """`events`: of each node in its order, all nodes in the order of arrival; what happened before the run began has
    a negative `at_us`. `uncertainty_us`: by node, as far as measured. `lost`: how many events nobody
    could keep; `gaps`: when, at most one for every event that was kept and one per node. `arrived_us`: when each
    event was there. `offsets`: what is known of the nodes' clocks, which others may add to."""

    def __init__(
        self, target: Target, session: aiohttp.ClientSession, clock: Clock, events_max: int = EVENTS_MAX
    ) -> None:
        self.events: list[Event] = []
        self.arrived_us: list[int] = []
        self.offsets = Offsets(clock.began_wall_us)
        self.gaps: list[Lost] = []
        self._last_gap: dict[str, int] = {}
        """By node, its place in `gaps`."""
        self._told_us: dict[str, int] = {}
        """By node, when the last event that was kept happened; at first, when we began to follow."""
        self._target, self._session, self._clock = target, session, clock
        self._events_max = events_max
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def lost(self) -> int:
        return sum(gap.events for gap in self.gaps)

    @property
    def uncertainty_us(self) -> dict[str, int]:
        """Half the round trip by which each node's clock was put on ours; nodes that do not say their time are left
        out."""
        known = {node: self.offsets.uncertainty_us(node) for node in self._target.nodes}
        return {node: value for node, value in known.items() if value is not None}

    def start(self) -> None:
        """Begin to follow; harmless when it has begun."""
        if not self._tasks:
            self._told_us = dict.fromkeys(self._target.nodes, self._clock.now_us())
            self._tasks = [
                asyncio.create_task(self._follow(node), name=f"follow {node}") for node in self._target.nodes
            ]

    async def stop(self) -> None:
        """Follow no more, and place every event by the best measurement there is now."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.events = [
            placed(event, self.offsets, arrived_us)
            for event, arrived_us in zip(self.events, self.arrived_us, strict=True)
        ]

    async def _follow(self, node: str) -> None:
        told = self._target.system.events(self._session, node, self._target.url(node))
        if told is not None:
            async for event in told:
                self._keep(node, event, 0)
            return
        wait, stream = RECONNECT_SECONDS_MIN, _Stream()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=STATUS_TIMEOUT_SECONDS, sock_read=SILENCE_SECONDS_MAX)
        while True:
            url = f"{self._target.url(node)}/events"
            try:
                async with self._session.get(
                    url, headers=stream.headers(), timeout=timeout, allow_redirects=False
                ) as answer:
                    if answer.status == 200:
                        await self._measure_often(node)
                        async for line in answer.content:
                            wait = RECONNECT_SECONDS_MIN
                            self._take(node, stream, line)
            except (*UNREACHABLE, ValueError):  # ValueError: a line beyond the limit; go on after it
                pass
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS_MAX)

    def _take(self, node: str, stream: "_Stream", line: bytes) -> None:
        event = stream.take(line)
        told = msgspec.structs.replace(event, boot=stream.boot) if event is not None else None
        self._keep(node, told, stream.newly_lost())

    def _keep(self, node: str, event: Event | None, lost: int) -> None:
        full = event is not None and len(self.events) >= self._events_max
        lost += full
        if lost:
            self._lose(node, lost)
        if event is None or full:
            return
        now_us = self._clock.now_us()
        event = placed(event, self.offsets, now_us)
        self.events.append(event)
        self.arrived_us.append(now_us)
        self._told_us[node] = min(now_us, max(self._told_us[node], event.at_us))

    def _lose(self, node: str, number: int) -> None:
        """They happened after the last event that was kept, and before now."""
        from_us = self._told_us[node]
        place = self._last_gap.get(node)
        if place is not None and self.gaps[place].from_us == from_us:
            self.gaps[place] = Lost(node, self.gaps[place].events + number, from_us, self._clock.now_us())
        else:
            self._last_gap[node] = len(self.gaps)
            self.gaps.append(Lost(node, number, from_us, self._clock.now_us()))

    async def _measure_often(self, node: str) -> None:
        for _ in range(MEASURE_AT_ONCE):
            view = await self._target.system.view(self._session, node, self._target.url(node), self._clock)
            if view is not None:
                self.offsets.add(view, node)


def placed(event: Event, offsets: Offsets, arrived_us: int) -> Event:
    """With its time on our clock."""
    at = offsets.place(event.node, event.boot, event.time_us, arrived_us)
    return msgspec.structs.replace(event, at_us=at.at_us, off_us=at.off_us)


class _Stream:
    """The state of one node's event stream between two lines: where to resume, and whose events these are."""

    def __init__(self) -> None:
        self.boot = ""
        self._id = ""
        self._name = ""
        self._lost = 0

    def headers(self) -> dict[str, str]:
        accept = {"Accept": "text/event-stream"}
        return accept | {"Last-Event-ID": self._id} if self._id else accept

    def newly_lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost

    def take(self, line: bytes) -> Event | None:
        """The event that this line completes."""
        field, _, value = line.strip().partition(b":")
        value = value.strip()
        if field == b"id":
            self._id = value.decode(errors="replace")
            self.boot = self._id.rsplit(".", 2)[0]
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"":
            self._name = ""
        elif field == b"data":
            return self._data(value)
        return None

    def _data(self, value: bytes) -> Event | None:
        try:
            if self._name == "lost":
                self._lost += _LOST.decode(value).transitions
            elif not self._name:
                return _EVENT.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            self._lost += 1  # of a newer node; what cannot be read is not invented
        return None
