"""Kills whoever leads: asks it to leave (SIGTERM, a deleted pod), or ends its process at once (SIGKILL).

Why it exists: the failover is what Raft is for. A process that was asked to leave hands its lead over, so only SIGKILL
shows the whole anatomy: silence, suspicion, vote, first commit. It must not decide when the cluster is whole again: see
chaos/run/recovery.py.
"""

import asyncio

from chaos.errors import NotEffective, NotRecovered
from chaos.faults.foretell import longest_timeout
from chaos.faults.patience import patiently, until_said
from chaos.faults.port import Plan, Scene
from chaos.faults.process import OfOneProcess
from chaos.model import Place, View
from chaos.situation import Situation
from chaos.targets.port import KillMode, Target

GONE_SECONDS = {"sigkill": 10.0, "delete": 45.0}
"""How long a process may take to end: one that was asked to leave first hands over and finishes requests."""
HAND_OVER = "the leader is asked to leave, so this shows a hand-over; for a failover add --mode sigkill"
BACK_OFF_SECONDS = 330.0
"""The kubelet starts a container that ended again and again ever later, five minutes at most."""


class KillLeader(OfOneProcess):
    """Satisfies `Fault`, the `number`th of several. `down_s`: how long the node stays down where that can be chosen;
    None: as long as the run's faults last."""

    def __init__(self, mode: KillMode, number: int = 1, times: int = 1, down_s: float | None = None) -> None:
        which = f" ({number} of {times})" if times > 1 else ""
        super().__init__("kill-leader", f"kill the leader{which}", "killed")
        self.mode: KillMode = mode
        self._which = which
        self._down_s = down_s
        self._boot = ""
        self._place: Place | None = None
        self._brought_back = False

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault."""
        leader, others = situation.leader, situation.followers
        timeout = longest_timeout(situation)
        told: tuple[str, ...]
        if self.mode == "sigkill":
            told = (
                f"{leader} dies without a word; the others find its connections broken or silent for {timeout}",
                f"one of {', '.join(others)} is elected in a term above {situation.term} (Raft, section 5.2), "
                "once and by a majority",
            )
        else:
            told = (
                HAND_OVER,
                f"{leader} hands its lead over before it leaves, so clients see almost no gap",
                f"one of {', '.join(others)} leads a term above {situation.term} (Raft thesis, section 3.10)",
            )
        return Plan(
            title=f"kill the leader {leader}{self._which}",
            acts=(
                target.kill_plan(leader, self.mode),
                f"(whoever leads in the instant before the act; now it is {leader}, term {situation.term})",
            ),
            predictions=(*told, f"no acknowledged write is lost; {leader} returns as a follower and catches up"),
            stopped=(leader,),
        )

    async def inject(self, scene: Scene) -> None:
        """See Fault."""
        places = await patiently(scene.target.places)
        view = await self.aim(scene)
        self._boot, self._place = view.boot, places.get(self.node)
        self.span.title = f"kill the leader {self.node} (term {view.term}, {self.mode}){self._which}"
        await self.act(scene, scene.target.kill(self.node, self.mode, scene.journal))
        if self.mode == "delete":
            self.tell(scene, HAND_OVER)

    async def prove(self, scene: Scene) -> None:
        """See Fault: the process that led is gone, or another one answers in its place."""
        leader, limit_s = self.span.nodes[0], GONE_SECONDS[self.mode]
        seen = await until_said(scene, limit_s, lambda: self._gone(scene, leader))
        if not seen:
            raise NotEffective(
                f"{leader} still runs {limit_s:.0f} s after it was told to end ({self.mode}), so nothing was tested: "
                "see raft-chaos doctor."
            )
        self.proven(scene, seen)

    async def hold(self, scene: Scene) -> None:
        """See Fault: until there is a successor, and as long as the node shall stay down."""
        began = self.span.injected_us or 0
        seen: list[str] = []

        def somebody_leads(_: object) -> bool:
            seen[:] = [self.successor(scene)]
            return bool(seen[0])

        if await scene.until(somebody_leads, scene.limit_s):
            self.tell(scene, f"as predicted: {seen[0]}")
        else:
            self.tell(scene, f"not as predicted: nobody leads after {scene.limit_s:.0f} s")
        down_s = scene.duration_s if self._down_s is None else self._down_s
        rest_s = down_s - (scene.clock.now_us() - began) / 1e6
        await asyncio.sleep(max(0.0, rest_s))

    async def revert(self, scene: Scene) -> None:
        """See Fault: have it started where nobody else does that."""
        if self.span.injected_us is None or self._brought_back:
            return
        self.span.reverting_us = self.span.reverting_us or scene.clock.now_us()
        await scene.target.bring_back(self.span.nodes[0])
        self._brought_back = True
        self.span.reverted_us = scene.clock.now_us()
        who = "Kubernetes starts" if scene.target.kind == "kubernetes" else "the supervisor was asked to start"
        scene.say(f"{who} {self.span.nodes[0]} again; waiting until it answers")

    async def prove_healed(self, scene: Scene) -> None:
        """See Fault: another process of that node answers."""
        if self.span.injected_us is None:
            return
        leader = self.span.nodes[0]
        limit_s = BACK_OFF_SECONDS if scene.target.kind == "kubernetes" else scene.limit_s
        back = await until_said(scene, limit_s, lambda: self._back(scene, leader))
        if not back:
            raise NotRecovered(
                f"{leader} did not come back within {limit_s:.0f} s after it was killed: "
                "see raft-chaos status, and what it printed last."
            )
        self.span.healed_us = scene.clock.now_us()
        self.tell(scene, f"{leader} runs{' again' if self.span.effective_us is not None else ''}")

    async def _gone(self, scene: Scene, leader: str) -> str:
        if self._is_another(await scene.look(leader)):
            return f"another process answers as {leader}"
        place, before = (await patiently(scene.target.places)).get(leader), self._place
        if place is None or not place.instance:
            return f"the process of {leader} is gone"
        if before and place.restarts > before.restarts:
            return f"{leader} was started again in place"
        if before and before.instance and place.instance != before.instance:
            return f"{leader} is {place.instance} now, it was {before.instance}"
        return ""

    async def _back(self, scene: Scene, leader: str) -> str:
        view = await scene.look(leader)
        if self._is_another(view):
            return "back"
        if view is None or self.span.effective_us is not None:
            return ""
        place = (await patiently(scene.target.places)).get(leader)  # it was never seen to be gone, and may be about to
        return "" if place is None or place.leaving else "back"

    def _is_another(self, view: View | None) -> bool:
        return view is not None and view.boot != self._boot
