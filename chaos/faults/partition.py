"""Cuts links between nodes, into groups or otherwise, proves it before it counts, and keeps proving it.

Install; prove (see proven_cut.py); only then the fault clock starts. Whenever something leaks through, or a node is
another process than before, all is proven anew and the clock starts anew: what a minority acknowledged in between
proves nothing.

Why it exists: a policy that is accepted proves nothing, and a partition that did nothing must not pass. It must not
know how the network cuts: see the target's `Network`.
"""

import asyncio
import random
from collections.abc import Mapping

from chaos.errors import NotEffective, NotRecovered, Refused
from chaos.faults import foretell, proof
from chaos.faults.aim import find_leader, refuse_quorum_loss
from chaos.faults.port import Plan, Scene
from chaos.faults.proven_cut import LOOK_EVERY_SECONDS, PROVE_SECONDS, ProvenCut
from chaos.faults.shapes import Shape, cut_of
from chaos.model import FaultSpan, View
from chaos.situation import Situation, situate
from chaos.targets.port import Cut, Target

PROVE_AGAIN_SECONDS = 5.0
LAST_PROOFS_MAX = 3
"""A cut that is found to leak at the end of the hold is proven and held once more; so often it may be held."""


class Partition:
    """Satisfies `Fault`. `shape`: who is cut off from whom; chance decides the rest by `rng`; `seconds`: how long."""

    def __init__(self, shape: Shape, rng: random.Random, seconds: float) -> None:
        self.span = FaultSpan(kind="partition", title="partition", effect="cut")
        self._shape, self._seconds, self._seed = shape, seconds, rng.random()
        self._before: Situation | None = None
        self._at_proof: Mapping[str, View] = {}
        self._proven: ProvenCut | None = None
        self._told_of_leader = False

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault."""
        cut = self._aim(situation)
        return Plan(
            title=f"cut {cut.title} for {self._seconds:g} s",
            acts=(
                *target.network.plan(cut, "RUN", self._seconds),
                f"dial every pair anew until the {len(cut.blocked)} blocked ones fail and {len(cut.allowed)} pass",
                f"POST /commands/reset_links at both ends of every blocked pair ({2 * len(cut.apart)} requests)",
                f"after {self._seconds:g} s: take it back, and dial every pair until all pass",
            ),
            predictions=foretell.of_a_cut(situation, cut),
            cut=cut,
            lasts_s=self._seconds,
        )

    async def inject(self, scene: Scene) -> None:
        """See Fault. Raises Refused, nothing done, where pairs cannot connect to begin with."""
        everything = self._aim(situate(scene.target.nodes, scene.fresh()))
        broken = await proof.until_all_connect(scene, everything.pairs, PROVE_SECONDS)
        if broken:
            raise Refused(
                f"Before any fault {proof.named(broken)} cannot connect, so a partition could not be told from that; "
                "nothing was changed: see raft-chaos doctor."
            )
        self._before, view = await find_leader(scene)
        cut = self._aim(self._before)
        refuse_quorum_loss(scene, self._before, blocked=cut.blocked)
        self._proven = ProvenCut(scene, cut, lambda: self._mend(scene, cut))
        self._proven.remember(self._before.views)
        self.span.groups, self.span.links, self.span.nodes = cut.groups, cut.blocked, cut.nodes
        self.span.acted_on, self.span.title = (view.name, view.term), f"cut {cut.title}"
        self.span.injected_us = scene.clock.now_us()
        await scene.target.network.install(cut, scene.run, self._seconds, scene.journal)
        self._tell(scene, f"cut {cut.title}; {view.name} led term {view.term}")

    async def prove(self, scene: Scene) -> None:
        """See Fault."""
        proven = self._the_proven
        await proven.prove()
        self._at_proof = await proven.every_end()
        self.span.effective_us = scene.clock.now_us()
        took_s = (self.span.effective_us - (self.span.injected_us or 0)) / 1e6
        self._tell(
            scene,
            f"proven after {took_s:.1f} s: {len(proven.cut.blocked)} blocked pairs cannot connect, "
            f"{len(proven.cut.allowed)} others can, nobody hears the other side; the fault clock starts",
        )

    async def hold(self, scene: Scene) -> None:
        """See Fault."""
        for _ in range(LAST_PROOFS_MAX):
            await self._watch(scene)
            why = await self._the_proven.dial_again()
            why = why or self._the_proven.leak(await self._the_proven.every_end())
            if not why:
                break
            await self._repair(scene, why)
        else:
            raise NotEffective("The partition leaked again and again at its end, so it proves nothing.")
        if not self._the_proven.repairs:  # through a leak they heard of what was not foretold
            for line in foretell.seen_at_the_end(self._the_before, self._the_proven.cut, scene.fresh(), self._at_proof):
                self._tell(scene, line)
        self._tell(scene, f"held for {self._seconds:g} s, proven to the end")

    async def revert(self, scene: Scene) -> None:
        """See Fault."""
        if self._proven is None or self.span.injected_us is None:
            return
        if self.span.reverting_us is None:
            self.span.reverting_us = scene.clock.now_us()
        for changed in await scene.target.network.remove(self._proven.cut, scene.run, scene.journal):
            self._tell(scene, changed.rstrip("."))
        self.span.reverted_us = scene.clock.now_us()
        scene.say("the cut is taken back; proving that it is gone")

    async def prove_healed(self, scene: Scene) -> None:
        """See Fault: every pair connects, and leader and followers hear from each other."""
        if self._proven is None or self.span.injected_us is None:
            return
        cut, limit_s = self._proven.cut, scene.limit_s
        broken = await proof.until_all_connect(scene, cut.pairs, limit_s)
        if broken:
            raise NotRecovered(
                f"The cut was taken back, and after {limit_s:.0f} s {proof.named(broken)} still cannot connect: "
                "see raft-chaos doctor"
            )
        silent: list[tuple[str, str]] = []

        def all_hear(_: object) -> bool:
            silent[:] = proof.silent_within(cut, scene.fresh(), scene.target.nodes, healed=True)
            return not silent

        if not await scene.until(all_hear, limit_s):
            raise NotRecovered(
                f"The cut was taken back and every pair connects, but after {limit_s:.0f} s "
                f"{proof.named(silent, 'still does not hear')}: see raft-chaos status"
            )
        self.span.healed_us = scene.clock.now_us()
        took_s = (self.span.healed_us - (self.span.reverted_us or 0)) / 1e6
        self._tell(scene, f"healed: {took_s:.1f} s after the cut was taken back all pairs connect and hear each other")

    async def _watch(self, scene: Scene) -> None:
        """Until the fault has lasted since it was proven last: look all the time, and beside it dial every pair again
        and again."""
        loop, proven = asyncio.get_running_loop(), self._the_proven
        end, next_dials = loop.time() + self._seconds, loop.time() + PROVE_AGAIN_SECONDS
        dials: asyncio.Task[str] | None = None
        try:
            while (rest_s := end - loop.time()) > 0:
                await asyncio.sleep(min(LOOK_EVERY_SECONDS, rest_s))
                self._tell_of_leader(scene)
                why = proven.leak()
                if dials is not None and dials.done():
                    why, dials = why or dials.result(), None
                    next_dials = loop.time() + PROVE_AGAIN_SECONDS
                if dials is None and loop.time() >= next_dials:
                    dials = asyncio.create_task(proven.dial_again(), name="dial every pair again")
                if why:
                    await self._repair(scene, why)
                    end = loop.time() + self._seconds
        finally:
            if dials is not None:
                dials.cancel()
                await asyncio.gather(dials, return_exceptions=True)

    async def _repair(self, scene: Scene, why: str) -> None:
        """Prove the cut anew, and begin the fault clock anew with it."""
        self.span.effective_us = None
        self._tell(scene, f"{why}: links are reset, and the cut is proven again")
        await self._the_proven.repair(why)
        self.span.effective_us = scene.clock.now_us()
        self._tell(scene, "proven again; the fault clock starts anew")

    async def _mend(self, scene: Scene, cut: Cut) -> None:
        """A local node that was started again has lost its end of the cut; policies stay."""
        if scene.target.kind == "local":
            await scene.target.network.install(cut, scene.run, self._seconds, scene.journal)

    def _tell_of_leader(self, scene: Scene) -> None:
        """Say once who leads the side that can decide, if that is another one than before."""
        led, term = self._the_before.leader, self._the_before.term
        now = situate(scene.target.nodes, scene.fresh())
        if not self._told_of_leader and now.leader and now.leader != led and now.term > term:
            self._told_of_leader = True
            foretold = "" if foretell.keeps_leading(self._the_before, self._the_proven.cut) else "as predicted: "
            self._tell(scene, f"{foretold}{now.leader} leads term {now.term}")

    @property
    def _the_before(self) -> Situation:
        if self._before is None:
            raise NotEffective("The partition was asked about before it was made.")
        return self._before

    @property
    def _the_proven(self) -> ProvenCut:
        if self._proven is None:
            raise NotEffective("The partition was asked about before it was made.")
        return self._proven

    def _aim(self, situation: Situation) -> Cut:
        order = list(situation.nodes)
        random.Random(self._seed).shuffle(order)
        return cut_of(self._shape, situation, order)

    def _tell(self, scene: Scene, text: str) -> None:
        self.span.facts.append(text)
        scene.say(text)
