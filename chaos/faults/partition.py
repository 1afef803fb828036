"""Cuts the cluster into groups that cannot talk, proves it before it counts, and keeps proving it.

The order matters: install; dial anew until blocked pairs fail; only then reset the peer links, because links that are
reset earlier are dialled again and survive; then nobody may hear anything over the cut, at either end. Only then the
fault clock starts. Whenever something is heard, or a node is another process than before, links are reset and all is
proven anew, and the clock starts anew with it: what a minority acknowledged in between proves nothing.

Why it exists: see references on NetworkPolicy; a partition that did nothing must not pass. It must not know how the
network cuts: see the target's `Network`.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence

from chaos.errors import NotEffective, NotRecovered, Refused
from chaos.faults import proof
from chaos.faults.aim import find_leader
from chaos.faults.groups import Shape, groups_of
from chaos.faults.kill_leader import longest_timeout
from chaos.faults.port import Plan, Scene
from chaos.model import FaultSpan, View
from chaos.observe.nodeapi import CommandAnswer, command
from chaos.situation import Situation, majority, situate
from chaos.targets.port import Cut, Target

PROVE_SECONDS = 10.0
"""How long each step of the proof may take."""
WATCH_SECONDS = 0.1
PROVE_AGAIN_SECONDS = 5.0
REPAIRS_MAX = 10
"""A cut that had to be repaired more often is none."""


class Partition:
    """Satisfies `Fault`. `shape`: who is cut off from whom; chance decides the rest by `rng`; `seconds`: how long."""

    def __init__(self, shape: Shape, rng: random.Random, seconds: float) -> None:
        self.span = FaultSpan(kind="partition", title="partition")
        self._shape, self._seconds = shape, seconds
        self._seed = rng.random()
        self._cut: Cut | None = None
        self._quiet_since_us = 0
        self._known: dict[str, tuple[str, str]] = {}
        self._repairs = 0
        self._told_of_leader = False

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault."""
        cut = self._aim(situation)
        acts = target.network.plan(cut, "RUN", self._seconds)
        return Plan(
            title=f"cut {between(cut.groups)} for {self._seconds:g} s",
            acts=(
                *acts,
                f"dial every pair anew until {len(cut.blocked)} fail and {len(cut.allowed)} pass",
                f"POST /commands/reset_links between the groups ({len(cut.blocked)} requests)",
                f"after {self._seconds:g} s: take it back, and dial every pair until all pass",
            ),
            predictions=tuple(predictions(situation, cut)),
            together=cut.groups,
            cut=cut,
        )

    async def inject(self, scene: Scene) -> None:
        """See Fault. Raises Refused, nothing done, where pairs cannot connect to begin with."""
        situation = situate(scene.target.nodes, scene.fresh())
        _, broken = await proof.until_dials_agree(scene, self._aim(situation), PROVE_SECONDS, healed=True)
        if broken:
            raise Refused(
                f"Before any fault {proof.named(broken)} cannot connect, so a partition could not be told from that; "
                "nothing was changed: see raft-chaos doctor."
            )
        situation, view = await find_leader(scene)
        self._cut = cut = self._aim(situation)
        self._remember(await self._instances(scene), situation.views)
        self.span.groups, self.span.acted_on = cut.groups, (view.name, view.term)
        self.span.nodes = tuple(sorted({name for group in cut.groups[1:] for name in group} | set(cut.groups[0])))
        self.span.title = f"cut {between(cut.groups)}"
        self.span.injected_us = scene.clock.now_us()
        await scene.target.network.install(cut, scene.run, self._seconds, scene.journal)
        self._tell(scene, f"cut {between(cut.groups)}; {view.name} led term {view.term}")

    async def prove(self, scene: Scene) -> None:
        """See Fault."""
        began = scene.clock.now_us()
        await self._prove_dials(scene)
        await self._prove_quiet(scene)
        self.span.effective_us = scene.clock.now_us()
        took = (self.span.effective_us - began) / 1e6
        self._tell(
            scene,
            f"proven after {took:.1f} s: all {len(self._the_cut.blocked)} blocked pairs fail to connect, "
            f"{len(self._the_cut.allowed)} others do, and no node hears another over the cut; the fault clock starts",
        )

    async def hold(self, scene: Scene) -> None:
        """See Fault."""
        until_us = (self.span.effective_us or scene.clock.now_us()) + int(self._seconds * 1e6)
        next_proof_us = scene.clock.now_us() + int(PROVE_AGAIN_SECONDS * 1e6)
        while scene.clock.now_us() < until_us:
            rest_s = (until_us - scene.clock.now_us()) / 1e6
            await asyncio.sleep(min(WATCH_SECONDS, rest_s))
            self._tell_of_leader(scene)
            due = scene.clock.now_us() >= next_proof_us
            await self._watch(scene, prove_dials=due)
            if due:
                next_proof_us = scene.clock.now_us() + int(PROVE_AGAIN_SECONDS * 1e6)
        await self._watch(scene, prove_dials=True)
        self._tell(scene, f"held for {self._seconds:g} s and was proven to the end")

    async def revert(self, scene: Scene) -> None:
        """See Fault."""
        if self._cut is None or self.span.injected_us is None:
            return
        if self.span.reverting_us is None:
            self.span.reverting_us = scene.clock.now_us()
        await scene.target.network.remove(self._cut, scene.run, scene.journal)
        self.span.reverted_us = scene.clock.now_us()

    async def prove_healed(self, scene: Scene) -> None:
        """See Fault: every pair connects, and leader and followers hear from each other."""
        if self._cut is None or self.span.injected_us is None:
            return
        _, broken = await proof.until_dials_agree(scene, self._cut, scene.limit_s, healed=True)
        if broken:
            raise NotRecovered(
                f"The cut was taken back, and after {scene.limit_s:.0f} s {proof.named(broken)} still cannot connect: "
                "see raft-chaos doctor, and try raft-chaos heal --all."
            )
        everybody = (tuple(name for group in self._cut.groups for name in group),)
        if not await scene.views.until(
            lambda _: not proof.silent_within(everybody, scene.fresh(), scene.target.nodes, leader_needed=True),
            scene.limit_s,
        ):
            silent = proof.silent_within(everybody, scene.fresh(), scene.target.nodes, leader_needed=True)
            raise NotRecovered(
                f"The cut was taken back and every pair connects, but after {scene.limit_s:.0f} s "
                f"{proof.named(silent)} still hears nothing: see raft-chaos status."
            )
        self.span.healed_us = scene.clock.now_us()
        took = (self.span.healed_us - (self.span.reverted_us or 0)) / 1e6
        self._tell(scene, f"healed: {took:.1f} s after the cut was taken back all pairs connect and hear each other")

    # --- proof ------------------------------------------------------------------------------------------------------

    async def _prove_dials(self, scene: Scene) -> None:
        leaks, broken = await proof.until_dials_agree(scene, self._the_cut, PROVE_SECONDS)
        if leaks:
            raise NotEffective(
                f"The partition is not enforced: after {PROVE_SECONDS:.0f} s {proof.named(leaks)} still connects, "
                "so it was taken back and nothing was tested: raft-chaos doctor says who enforces policies here."
            )
        if broken:
            raise NotEffective(
                f"The partition cuts too much: {proof.named(broken)} cannot connect and should, "
                "so it was taken back: raft-chaos doctor names other policies."
            )

    async def _prove_quiet(self, scene: Scene) -> None:
        """Reset the links, and again while something still comes over the cut; nothing heard since is the proof."""
        deadline_us = scene.clock.now_us() + int(PROVE_SECONDS * 1e6)
        await self._reset_links(scene)
        while True:
            views = scene.fresh()
            heard = proof.heard_over(self._the_cut, views, self._quiet_since_us)
            silent = proof.silent_within(self._the_cut.groups, views, scene.target.nodes)
            if not heard and not silent and proof.is_quiet(self._the_cut, views, self._quiet_since_us):
                return
            if scene.clock.now_us() >= deadline_us:
                break
            if heard:
                await self._reset_links(scene)
            await asyncio.sleep(WATCH_SECONDS)
        if silent and not heard:
            raise NotEffective(
                f"The partition cuts too much: {proof.named(silent)} hears nothing and should, so it was taken back."
            )
        raise NotEffective(
            f"The partition leaks: {proof.named(heard) or 'somebody'} still hears the other side although new "
            f"connections fail and links were reset for {PROVE_SECONDS:.0f} s, so it was taken back."
        )

    async def _watch(self, scene: Scene, prove_dials: bool) -> None:
        """One look; repair and prove again where something came through or somebody is another process."""
        views = scene.fresh()
        why = ""
        heard = proof.heard_over(self._the_cut, views, self._quiet_since_us)
        if heard:
            why = f"{proof.named(heard)} heard something over the cut"
        instances = await self._instances(scene) if prove_dials else {}
        for name in self._the_nodes:
            boot, instance = self._known.get(name, ("", ""))
            boot_now = views[name].boot if name in views else ""
            if (boot and boot_now and boot_now != boot) or (instance and instances.get(name, instance) != instance):
                why = why or f"{name} is another process than before"
        self._remember(instances or {name: known[1] for name, known in self._known.items()}, views)
        if why or prove_dials:
            leaks, broken = await proof.wrong_dials(scene, self._the_cut)
            if leaks or broken:
                why = why or f"{proof.named(leaks or broken)} {'connects again' if leaks else 'lost its connection'}"
        if why:
            await self._repair(scene, why)

    async def _repair(self, scene: Scene, why: str) -> None:
        self._repairs += 1
        if self._repairs > REPAIRS_MAX:
            raise NotEffective(f"The partition had to be repaired {REPAIRS_MAX} times (last: {why}): it does not hold.")
        self._tell(scene, f"{why}: links are reset and the cut is proven again")
        self.span.effective_us = None
        if scene.target.kind == "local":  # a node that was started again has lost its end of the cut
            await scene.target.network.install(self._the_cut, scene.run, self._seconds, scene.journal)
        await self._prove_dials(scene)
        await self._prove_quiet(scene)
        self.span.effective_us = scene.clock.now_us()
        self._tell(scene, "proven again; the fault clock starts anew")

    async def _reset_links(self, scene: Scene) -> None:
        """At both ends of every blocked pair; one end is enough. What is heard from now on came through."""
        pairs = self._the_cut.blocked
        answers = await asyncio.gather(
            *(command(scene.session, scene.target.url(a), "reset_links", {"peer": b}) for a, b in pairs)
        )
        said: dict[tuple[str, str], CommandAnswer] = dict(zip(pairs, answers, strict=True))
        for (a, b), answer in said.items():
            if not answer.ok and not said[b, a].ok and answer.code != "unreachable":
                raise NotEffective(
                    f"The links between {a} and {b} could not be reset ({answer.message.rstrip('.')}), "
                    "so old connections may live on: the partition was taken back."
                )
        self._quiet_since_us = scene.clock.now_us()

    # --- small things -----------------------------------------------------------------------------------------------

    @property
    def _the_cut(self) -> Cut:
        if self._cut is None:
            raise NotEffective("The partition was asked about before it was made.")
        return self._cut

    @property
    def _the_nodes(self) -> tuple[str, ...]:
        return tuple(name for group in self._the_cut.groups for name in group)

    def _aim(self, situation: Situation) -> Cut:
        order = list(situation.nodes)
        random.Random(self._seed).shuffle(order)
        return Cut(groups_of(self._shape, situation, order))

    async def _instances(self, scene: Scene) -> dict[str, str]:
        return {name: place.instance for name, place in (await scene.target.places()).items()}

    def _remember(self, instances: Mapping[str, str], views: Mapping[str, View]) -> None:
        for name, instance in instances.items():
            boot = views[name].boot if name in views else self._known.get(name, ("", ""))[0]
            self._known[name] = (boot, instance)

    def _tell_of_leader(self, scene: Scene) -> None:
        """Say once who leads the side that can decide, if that is another one than before."""
        led, term = self.span.acted_on or ("", 0)
        now = situate(scene.target.nodes, scene.fresh())
        if now.leader and now.leader != led and now.term > term and not self._told_of_leader:
            self._told_of_leader = True
            self._tell(scene, f"as predicted: {now.leader} leads term {now.term} on the side of the majority")

    def _tell(self, scene: Scene, text: str) -> None:
        self.span.facts.append(text)
        scene.say(text)


def between(groups: Sequence[Sequence[str]]) -> str:
    """For people: "n1 | n2 n3"."""
    return " | ".join(" ".join(group) for group in groups)


def predictions(situation: Situation, cut: Cut) -> list[str]:
    """What Raft says of this cut."""
    voters, leader = situation.voters, situation.leader
    sizes = {group: len(set(group) & set(voters)) for group in cut.groups}
    deciding = next((group for group in cut.groups if sizes[group] >= majority(voters)), None)
    minority = [name for group in cut.groups if group != deciding for name in group]
    timeout = longest_timeout(situation)
    if deciding is None:
        return ["no group has a majority: nobody can commit anything until the cut is taken back (Raft, section 5.2)"]
    told = []
    if leader in deciding:
        told.append(f"{leader} goes on leading term {situation.term}: its side has a majority")
    else:
        told.append(f"{leader} cannot reach a majority: it steps down after {timeout} (CheckQuorum)")
        told.append(f"one of {', '.join(deciding)} is elected in a term above {situation.term} (Raft, section 5.2)")
    told.append(f"nothing that is written through {', '.join(minority)} is acknowledged")
    told.append(f"{', '.join(minority)} raises no term (PreVote) and catches up after the heal")
    return told
