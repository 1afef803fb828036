"""What faults of one node's process share: who is meant, the act, what was seen, and the proof that it answers again.

Why it exists: a fault like that is then one file that says what it does and what proves it. It must not know what is
done to the process.
"""

import asyncio
import random
from collections.abc import Collection, Coroutine
from typing import Any

from chaos.errors import NotRecovered, Refused
from chaos.faults.aim import find_leader, refuse_quorum_loss
from chaos.faults.groups import LEADER, whom
from chaos.faults.patience import until_said
from chaos.faults.port import Scene
from chaos.model import Effect, FaultSpan, View
from chaos.situation import Situation, situate


class OfOneProcess:
    """A base of faults. `who`: "leader", "follower" (by chance), or a node's name."""

    def __init__(self, kind: str, title: str, effect: Effect, who: str = LEADER, chance: float = 0.0) -> None:
        self.span = FaultSpan(kind=kind, title=title, effect=effect)
        self._who, self._chance = who, chance

    @property
    def node(self) -> str:
        """The victim, once there is one."""
        return self.span.nodes[0]

    def victim(self, situation: Situation, excused: Collection[str] = ()) -> str:
        """Who is meant in this situation, none of `excused` by chance. Raises Usage."""
        order = [name for name in situation.nodes if name in situation.followers and name not in excused]
        random.Random(self._chance).shuffle(order)
        return whom(self._who, order, situation)

    async def aim(self, scene: Scene) -> View:
        """What the victim said of itself in this instant; it and the leader are in the span."""
        now, leader = await find_leader(scene)
        node = self.victim(now, scene.excused(now.voters))
        if node not in now.views:
            raise Refused(f"{node} does not answer, so nothing was done to it: see raft-chaos status.")
        refuse_quorum_loss(scene, now, stopped=(node,))
        self.span.nodes, self.span.acted_on = (node,), (leader.name, leader.term)
        return now.views[node]

    async def act(self, scene: Scene, doing: Coroutine[Any, Any, str]) -> None:
        """Do it; `doing` says what was done."""
        self.span.injected_us = scene.clock.now_us()
        try:
            done = await doing
        except Refused:  # which says that nothing was done
            self.span.injected_us = None
            raise
        leader, term = self.span.acted_on or ("nobody", 0)
        self.tell(scene, f"{done[:1].lower()}{done[1:].rstrip('.')}; {leader} led term {term}")

    def proven(self, scene: Scene, seen: str) -> None:
        """The fault clock starts."""
        self.span.effective_us = scene.clock.now_us()
        self.tell(scene, f"proven: {seen}")

    def successor(self, scene: Scene) -> str:
        """Who leads a later term than that of the act, as far as samples tell; empty: nobody."""
        now, term = situate(scene.target.nodes, scene.fresh()), (self.span.acted_on or ("", 0))[1]
        return f"{now.leader} leads term {now.term}" if now.leader and now.term > term else ""

    async def is_mute(self, scene: Scene, seconds: float) -> bool:
        """Whether it leaves a question open for so long."""
        try:
            async with asyncio.timeout(seconds):
                return await scene.look(self.node) is None
        except TimeoutError:
            return True

    async def prove_healed(self, scene: Scene) -> None:
        """See Fault: it answers."""
        if self.span.injected_us is None:
            return

        async def answers() -> str:
            return "it answers" if await scene.look(self.node) else ""

        if not await until_said(scene, scene.limit_s, answers):
            raise NotRecovered(f"{self.node} did not answer within {scene.limit_s:.0f} s: see raft-chaos status.")
        self.span.healed_us = scene.clock.now_us()
        self.tell(scene, f"{self.node} answers again")

    def tell(self, scene: Scene, text: str) -> None:
        """To the report, and to whoever watches."""
        self.span.facts.append(text)
        scene.say(text)
