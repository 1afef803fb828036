"""What a fault is to a run: it plans, injects, proves, holds, reverts and proves again, in this order.

Why it exists: the run (chaos/run) knows the order and always reverts; a fault knows what it does and what proves it. A
new fault is one new file. It must not know Kubernetes or processes: it asks the target.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import aiohttp
import msgspec

from chaos import links
from chaos.clock import Clock
from chaos.model import FaultSpan, View
from chaos.situation import Situation, quorum_lost
from chaos.targets.port import Cut, Journal, Pair, Target

FRESH_SECONDS = 1.5
"""A view that is older says nothing of now."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault would do in this situation. `title`: "kill the leader n3". `acts`: exactly what would be done, a
    line each; `predictions`: what Raft says will happen. `stopped`: nodes whose process does not run while it is on;
    `cut`: for partitions. `lasts_s`: how long it holds; 0: it does not."""

    title: str
    acts: tuple[str, ...]
    predictions: tuple[str, ...]
    stopped: tuple[str, ...] = ()
    cut: Cut | None = None
    lasts_s: float = 0.0

    def together(self, nodes: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Of these: each that still runs, with those it can talk to. Where no set has a majority, nobody can decide."""
        running = [name for name in nodes if name not in self.stopped]
        return links.neighbourhoods(running, self.cut.blocked if self.cut is not None else ())


class Views(Protocol):
    """The sampler, as far as faults need it."""

    def latest(self) -> Mapping[str, View]: ...

    async def until(self, holds: Callable[[Mapping[str, View]], bool], timeout_s: float) -> bool: ...


class Scene:
    """Everything that a fault works with. `say` prints a line of progress; `duration_s`: how long the fault shall
    hold; `limit_s`: the time allowed for what must happen by itself (an election, a recovery). `paused_s`: how long
    this tool has stood still itself so far. `spans`: the run's faults so far, filled in as they go.
    `allow_quorum_loss`: whether the cluster may be broken even where no majority is left."""

    def __init__(
        self,
        *,
        run: str,
        target: Target,
        session: aiohttp.ClientSession,
        clock: Clock,
        views: Views,
        journal: Journal,
        rng: random.Random,
        say: Callable[[str], None],
        duration_s: float,
        limit_s: float,
        paused_s: Callable[[], float] = lambda: 0.0,
        spans: Sequence[FaultSpan] = (),
        allow_quorum_loss: bool = False,
    ) -> None:
        self.run, self.target, self.session, self.clock = run, target, session, clock
        self.views, self.journal, self.rng, self.say = views, journal, rng, say
        self.duration_s, self.limit_s = duration_s, limit_s
        self._paused_s, self._spans = paused_s, spans
        self._allow_quorum_loss = allow_quorum_loss

    def fresh(self) -> dict[str, View]:
        """The newest view of every node that answered lately."""
        oldest_us = self.clock.now_us() - int(FRESH_SECONDS * 1e6)
        return {name: view for name, view in self.views.latest().items() if view.answered_us >= oldest_us}

    def stopped(self) -> set[str]:
        """Nodes whose process a fault that is in force has ended or paused."""
        return {name for span in self._spans if span.in_force and span.effect != "cut" for name in span.nodes}

    def alone(self, span: FaultSpan) -> bool:
        """Whether no other fault of this run may be why something happened."""
        return all(other is span or other.injected_us is None for other in self._spans)

    def excused(self, voters: tuple[str, ...]) -> set[str]:
        """Nodes of which nothing can be asked because of faults that are in force."""
        return {name for span in self._spans if span.in_force for name in span.excused(voters)}

    def quorum_lost(self, voters: Sequence[str], stopped: Collection[str], blocked: Collection[Pair] = ()) -> str:
        """Why nobody could decide any more if that came to the faults that are in force; empty where somebody could, or
        where that is allowed."""
        running = [name for name in voters if name not in self.stopped().union(stopped)]
        cut = {pair for span in self._spans if span.in_force for pair in span.links}.union(blocked)
        return "" if self._allow_quorum_loss else quorum_lost(voters, links.neighbourhoods(running, cut))

    def ran_s(self) -> float:
        """Seconds of this run in which the tool ran: limits of what is waited for are counted in these, or a tool that
        stood still would blame the cluster."""
        return self.clock.now_us() / 1e6 - self._paused_s()

    async def until(self, holds: Callable[[Mapping[str, View]], bool], limit_s: float) -> bool:
        """Whether that came true of the newest views within so many of these seconds."""
        end_s = self.ran_s() + limit_s
        while (left_s := end_s - self.ran_s()) > 0:
            if await self.views.until(holds, left_s):
                return True
        return holds(self.views.latest())

    async def look(self, node: str) -> View | None:
        """Ask that node now, past the sampler."""
        return await self.target.system.view(self.session, node, self.target.url(node), self.clock)


class Fault(Protocol):
    """One fault, used once. It fills `span` as it goes."""

    span: FaultSpan

    def plan(self, situation: Situation, target: Target) -> Plan:
        """What it would do now; changes nothing, and says the same for the same situation."""

    async def inject(self, scene: Scene) -> None:
        """Do it, to whoever leads in this instant; sets `acted_on` and `injected_us`."""

    async def prove(self, scene: Scene) -> None:
        """Return once it provably works, `effective_us` set; raises NotEffective where it does not."""

    async def hold(self, scene: Scene) -> None:
        """Let it last, watch it, and keep proving it; raises NotEffective where it stopped working."""

    async def revert(self, scene: Scene) -> None:
        """Take it back, `reverted_us` set. Harmless where nothing was done, and when called again after an error."""

    async def prove_healed(self, scene: Scene) -> None:
        """Return once it provably is gone, `healed_us` set; raises NotRecovered where it is not in time."""
