"""What a scenario speaks through: what happens now, what is predicted, what was seen.

Why it exists: a scenario cannot claim anything without having predicted it, and a prediction that nobody judged is a
mistake of the scenario. It must not know which scenario it tells.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec

from node.observe.events import TraceEvent
from node.scenarios import faults, timeline
from node.scenarios.cluster import Cluster, Entry, View
from node.scenarios.faults import Cut, Pair
from node.scenarios.narrator import Narrator
from node.scenarios.outcome import NotAsPredicted, ToolFailure

START_SECONDS = 20.0
NEWS_SECONDS = 5.0

T = TypeVar("T")


class Lead(msgspec.Struct, frozen=True):
    """Who leads, as those that were asked agree."""

    name: str
    term: int


class Story:
    """One scenario while it is told. `now_us`: the wall clock, only to place events in time."""

    def __init__(self, cluster: Cluster, narrator: Narrator, now_us: Callable[[], int]) -> None:
        self.cluster, self.narrator, self.now_us = cluster, narrator, now_us
        self.held = 0
        """Predictions that held so far."""
        self.predicted = ""
        """What is not judged yet."""

    # What is told

    def now(self, text: str) -> None:
        """What happens next, or stands."""
        self.narrator.say("now", text)

    async def predict(self, text: str) -> None:
        """Before it is tried. Leaves time to read where the speed says so."""
        if self.predicted:
            raise ToolFailure(f"The scenario never judged its prediction: {self.predicted}")
        self.predicted = text
        self.narrator.say("predicted", text)
        await asyncio.sleep(self.cluster.timing.pause_s)

    def saw(self, text: str, **data: Any) -> None:
        """It was as predicted."""
        if not self.predicted:
            raise ToolFailure(f"The scenario predicted nothing before it saw: {text}")
        self.predicted = ""
        self.held += 1
        self.narrator.say("seen", text, **data)

    def judge(self, holds: bool, saw: str, instead: str) -> None:
        """`saw` where it holds; otherwise the scenario ends with what was seen instead."""
        if not holds:
            raise NotAsPredicted(instead)
        self.saw(saw)

    def withdraw(self, why: str) -> None:
        """What was predicted something of did not come about; nothing is said of it."""
        self.predicted = ""
        self.fact(why)

    def fact(self, text: str) -> None:
        """Something measured that was not predicted."""
        self.narrator.say("fact", text)

    def timeline(self, since_us: int, *kinds: str) -> None:
        """What the nodes told of it since then."""
        rows = timeline.lines((e for e in self.cluster.events if e.kind in kinds), since_us)
        if rows:
            self.narrator.timeline(rows)

    async def news(self, kind: str, node: str, since_us: int = 0) -> TraceEvent:
        """The first event of that kind that this node told since then: what a status shows is told a moment later."""

        async def look() -> TraceEvent | None:
            return next((e for e in self.cluster.told(kind, node=node) if e.time_us >= since_us), None)

        return await self.expect(f"{node} tells of {kind!r}", look, NEWS_SECONDS)

    # What is waited for

    async def expect(self, what: str, look: Callable[[], Awaitable[T | None]], seconds: float | None = None) -> T:
        """Wait for it, for a bounded time; otherwise the scenario ends: what was awaited, and what there is."""
        limit = self.cluster.timing.wait_s if seconds is None else seconds
        found = await self.cluster.until(look, limit)
        if found is None:
            raise NotAsPredicted(f"not within {limit:.0f} s: {what}; instead: {await self.roles()}")
        return found

    async def roles(self, names: Iterable[str] | None = None) -> str:
        """Who is what, in a sentence."""
        asked = tuple(self.cluster.nodes.running if names is None else names)
        views = await self.cluster.views(asked)
        return ", ".join(f"{name} {_role(views.get(name))}" for name in asked)

    async def up(self) -> Lead:
        """Start all nodes, and wait until one leads and all follow."""
        cluster = self.cluster
        names = cluster.nodes.names
        timing = cluster.timing
        self.now(
            f"Five new nodes, each a process with a disk of its own. A leader is heard every "
            f"{timing.heartbeat_ms} ms; a follower that hears none for {timing.election_low_ms} to "
            f"{timing.election_high_ms} ms, drawn anew each time, stands for election."
        )
        cluster.nodes.start(*names)
        led = await cluster.until(self.one_leads, START_SECONDS)
        if led is None:
            raise ToolFailure(f"The cluster did not come up within {START_SECONDS:.0f} s: {await self.roles()}.")
        self.fact(f"{led.name} leads in term {led.term}. Watch along: {cluster.nodes.urls[names[0]]}/")
        return led

    async def one_leads(self) -> Lead | None:
        """All that run agree on a leader, which agrees too."""
        return await self.led(self.cluster.nodes.running)

    async def led(self, names: Iterable[str]) -> Lead | None:
        """The leader on which all of those agree, if there is one."""
        asked = tuple(names)
        views = await self.cluster.views(asked)
        said = {(view.leader, view.term) for view in views.values()}
        if len(views) < len(asked) or len(said) != 1:
            return None
        leader, term = next(iter(said))
        return Lead(leader, term) if leader in views and views[leader].role == "leader" else None

    async def same_logs(self, names: Iterable[str]) -> dict[int, Entry] | None:
        """The log, once all of those hold and have applied the same one."""
        asked = tuple(names)
        views = await self.cluster.views(asked)
        if len(views) < len(asked):
            return None
        logs = await self.cluster.logs(views)
        first = next(iter(logs.values()))
        same = all(log == first for log in logs.values()) and len({view.applied for view in views.values()}) == 1
        return first if same else None

    async def acknowledged(self, through: str, key: str, value: str) -> None:
        """A write that must succeed."""
        answer = await self.cluster.put(through, key, value)
        if answer.status != 200:
            raise NotAsPredicted(f"the write of {key} through {through} got {answer.status}: {answer.text}")

    # Faults

    async def cut(self, pairs: Iterable[Pair]) -> Cut:
        """Cut each pair, both ways."""
        return await faults.cut(self.cluster, pairs)

    async def prove(self, made: Cut) -> None:
        """Tell that the cut holds, or end the scenario."""
        self.fact(f"Proof: {await faults.prove(self.cluster, made)}.")

    async def heal(self) -> None:
        """End all faults."""
        self.fact(f"Healed: {await faults.heal(self.cluster)}.")


def _role(view: View | None) -> str:
    if view is None:
        return "does not answer"
    if view.role == "leader":
        return f"leads in term {view.term}"
    return f"is {view.role} in term {view.term}" + (f" of {view.leader}" if view.leader else ", without a leader")
