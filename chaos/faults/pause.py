"""Has a node's process stand still (SIGSTOP) for a while, and lets it go on (SIGCONT), as a stalled machine would.

Why it exists: whoever stood still goes on where it was, and may take itself for the leader of a time that is over: what
it says then must not be believed. It must not decide when the cluster is whole again: see chaos/run/recovery.py.
"""

import asyncio
import random

from chaos.errors import NotEffective
from chaos.faults.foretell import longest_timeout
from chaos.faults.patience import patiently, until_said
from chaos.faults.port import Plan, Scene
from chaos.faults.process import OfOneProcess
from chaos.faults.proof import heard_from
from chaos.situation import Situation
from chaos.targets.port import Target

PROVE_SECONDS = 10.0
MUTE_SECONDS = 0.3
"""So long a question to it is left open, less for a short pause."""
LOOK_EVERY_SECONDS = 1.0
UNDERWAY_US = 700_000
"""What it had said before may still be on its way for so long."""


class PauseNode(OfOneProcess):
    """Satisfies `Fault`."""

    def __init__(self, who: str, rng: random.Random, seconds: float) -> None:
        super().__init__("pause", f"pause {who}", "paused", who, rng.random())
        self._seconds = seconds

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault."""
        node, leader = self.victim(situation), situation.leader
        left = tuple(name for name in situation.voters if name != node)
        told: tuple[str, ...] = (f"{leader} goes on leading term {situation.term} without {node}, which catches up",)
        if node == leader:
            told = (
                f"where it lasts longer than {longest_timeout(situation)}, one of {', '.join(left)} is elected in a "
                f"term above {situation.term} (Raft, section 5.2)",
                f"{node} then goes on as the leader of a term that is over, and nothing that it says is believed",
            )
        title = f"pause {node}{' (it leads)' if node == leader else ''} for {self._seconds:g} s"
        acts = (target.pause_plan(node),)
        return Plan(title=title, acts=acts, predictions=told, stopped=(node,), lasts_s=self._seconds)

    async def inject(self, scene: Scene) -> None:
        """See Fault."""
        await self.aim(scene)
        leader, term = self.span.acted_on or ("", 0)
        self.span.title = f"pause {self.node} ({'the leader' if self.node == leader else 'a follower'} of term {term})"
        await self.act(scene, scene.target.pause(self.node, scene.journal))

    async def prove(self, scene: Scene) -> None:
        """See Fault: the system says that its process is stopped, and it answers nothing."""

        async def seen() -> str:
            if not await patiently(lambda: scene.target.paused(self.node)):
                return ""
            mute = await self.is_mute(scene, min(MUTE_SECONDS, self._seconds / 2))
            return "" if not mute else "its process is stopped, and it answers nothing; the fault clock starts"

        said = await until_said(scene, PROVE_SECONDS, seen)
        if not said:
            raise NotEffective(f"{self.node} did not stand still within {PROVE_SECONDS:.0f} s: see raft-chaos doctor.")
        self.proven(scene, said)

    async def hold(self, scene: Scene) -> None:
        """See Fault: until it is over, and seen to be stopped until then."""
        end_s = scene.ran_s() + self._seconds
        while (rest_s := end_s - scene.ran_s()) > 0:
            await asyncio.sleep(min(LOOK_EVERY_SECONDS, rest_s))
            if not await patiently(lambda: scene.target.paused(self.node)):
                raise NotEffective(
                    f"{self.node} does not stand still any more: it died, somebody woke it, or it was started anew (in "
                    "Kubernetes the liveness probe ends a pause that is too long): a shorter --for may do."
                )
        if loud := heard_from(self.node, scene.fresh(), (self.span.effective_us or 0) + UNDERWAY_US):
            raise NotEffective(f"{', '.join(loud)} heard from {self.node} while it should have stood still.")
        if led := self.successor(scene):
            unforeseen = "not as predicted: " if scene.alone(self.span) else ""
            self.tell(scene, f"{'as predicted: ' if self.span.hit_the_leader else unforeseen}{led}")
        self.tell(scene, f"stood still for {self._seconds:g} s, seen to the end; nobody heard from it")

    async def revert(self, scene: Scene) -> None:
        """See Fault."""
        if self.span.injected_us is None or self.span.reverted_us is not None:
            return
        self.span.reverting_us = self.span.reverting_us or scene.clock.now_us()
        scene.say(await scene.target.resume(self.node))
        self.span.reverted_us = scene.clock.now_us()
