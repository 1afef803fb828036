"""Has a node's process stand still (SIGSTOP) for a while, and lets it go on (SIGCONT): as a stalled disk would.

Why it exists: whoever stood still goes on where it was, and may take itself for the leader of a time that is over: what
it says then must not be believed. It must not decide when the cluster is whole again: see chaos/run/recovery.py.
"""

import asyncio
import random
from collections.abc import Collection

from chaos.errors import NotEffective, NotRecovered, Refused
from chaos.faults.aim import find_leader
from chaos.faults.foretell import longest_timeout
from chaos.faults.groups import whom
from chaos.faults.patience import patiently, until_said
from chaos.faults.port import Plan, Scene
from chaos.model import FaultSpan
from chaos.observe.nodeapi import fetch_view
from chaos.situation import Situation, last_heard_us, situate
from chaos.targets.port import Target

PROVE_SECONDS = 10.0
MUTE_SECONDS = 0.3
"""So long a question to it is left open, less for a short pause."""
LOOK_EVERY_SECONDS = 1.0
UNDERWAY_US = 700_000
"""What it had said before may still be on its way for so long."""


class Pause:
    """Satisfies `Fault`. `who`: "leader", "follower" (by chance), or a node's name."""

    def __init__(self, who: str, rng: random.Random, seconds: float) -> None:
        self.span = FaultSpan(kind="pause", title=f"pause {who}", effect="paused")
        self._who, self._seconds, self._seed = who, seconds, rng.random()

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault."""
        node, leader = self._victim(situation), situation.leader
        left = tuple(name for name in situation.voters if name != node)
        told: tuple[str, ...]
        if node == leader:
            told = (
                f"where it lasts longer than {longest_timeout(situation)}, one of {', '.join(left)} is elected in a "
                f"term above {situation.term} (Raft, section 5.2)",
                f"{node} then goes on as the leader of a term that is over, and nothing that it says is believed",
            )
        else:
            told = (f"{leader} goes on leading term {situation.term} without {node}, which catches up",)
        title = f"pause {node}{' (it leads)' if node == leader else ''} for {self._seconds:g} s"
        return Plan(title=title, acts=(target.pause_plan(node),), predictions=told, together=(left,))

    async def inject(self, scene: Scene) -> None:
        """See Fault."""
        now, view = await find_leader(scene)
        node = self._victim(now, scene.excused(now.voters))
        self.span.nodes, self.span.acted_on = (node,), (view.name, view.term)
        self.span.title = f"pause {node} ({'the leader' if node == view.name else 'a follower'} of term {view.term})"
        self.span.injected_us = scene.clock.now_us()
        try:
            done = await scene.target.pause(node, scene.journal)
        except Refused:  # which says that nothing was done
            self.span.injected_us = None
            raise
        self._tell(scene, f"{done}; {view.name} led term {view.term}")

    async def prove(self, scene: Scene) -> None:
        """See Fault: the system says that its process is stopped, and it answers nothing."""
        node, mute_s = self.span.nodes[0], min(MUTE_SECONDS, self._seconds / 2)

        async def seen() -> str:
            if not await patiently(lambda: scene.target.paused(node)):
                return ""
            answered = await fetch_view(scene.session, scene.target.url(node), scene.clock, mute_s)
            return "" if answered else "its process is stopped, and it answers nothing"

        said = await until_said(scene, PROVE_SECONDS, seen)
        if not said:
            raise NotEffective(f"{node} did not stand still within {PROVE_SECONDS:.0f} s: see raft-chaos doctor.")
        self.span.effective_us = scene.clock.now_us()
        self._tell(scene, f"proven: {said}")

    async def hold(self, scene: Scene) -> None:
        """See Fault: until it is over, and seen to be stopped until then."""
        node, end_s = self.span.nodes[0], scene.ran_s() + self._seconds
        while (rest_s := end_s - scene.ran_s()) > 0:
            await asyncio.sleep(min(LOOK_EVERY_SECONDS, rest_s))
            if not await patiently(lambda: scene.target.paused(node)):
                raise NotEffective(
                    f"{node} does not stand still any more: somebody woke it, or it was started anew (in Kubernetes "
                    "the liveness probe ends a pause that is too long): a shorter --for may do."
                )
        views = scene.fresh()
        ages = {name: heard for name, view in views.items() if (heard := last_heard_us(view, node)) is not None}
        loud = [name for name, heard in ages.items() if heard[0] > (self.span.effective_us or 0) + UNDERWAY_US]
        if loud:
            raise NotEffective(f"{', '.join(loud)} heard from {node} while it should have stood still.")
        now, term = situate(scene.target.nodes, views), (self.span.acted_on or ("", 0))[1]
        if now.leader and now.term > term:
            self._tell(scene, f"{now.leader} leads term {now.term}")
        self._tell(scene, f"stood still for {self._seconds:g} s, seen to the end; nobody heard from it")

    async def revert(self, scene: Scene) -> None:
        """See Fault."""
        if self.span.injected_us is None:
            return
        self.span.reverting_us = self.span.reverting_us or scene.clock.now_us()
        said = await scene.target.resume(self.span.nodes[0])
        self.span.reverted_us = self.span.reverted_us or scene.clock.now_us()
        scene.say(said)

    async def prove_healed(self, scene: Scene) -> None:
        """See Fault: it answers."""
        if self.span.injected_us is None:
            return
        node = self.span.nodes[0]

        async def answers() -> str:
            return "it answers" if await scene.look(node) else ""

        if not await until_said(scene, scene.limit_s, answers):
            raise NotRecovered(
                f"{node} was told to go on and did not answer within {scene.limit_s:.0f} s: see raft-chaos status."
            )
        self.span.healed_us = scene.clock.now_us()
        self._tell(scene, f"{node} goes on")

    def _victim(self, situation: Situation, excused: Collection[str] = ()) -> str:
        order = [name for name in situation.nodes if name in situation.followers and name not in excused]
        random.Random(self._seed).shuffle(order)
        return whom(self._who, order, situation)

    def _tell(self, scene: Scene, text: str) -> None:
        self.span.facts.append(text)
        scene.say(text)
