"""A cut that is in force, and the proof of it: made once before it counts, watched, repaired and made again.

The order of the proof: new connections fail where they must and pass elsewhere; only then peer links are reset, because
links that are reset earlier are dialled again and survive; then, for a while, nobody hears anything over the cut.

Why it exists: see references on NetworkPolicy and established connections. It must not install or remove the cut, but
where a node that was started again has lost its end of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from chaos import links
from chaos.errors import ChaosError, NotEffective
from chaos.faults import proof
from chaos.faults.patience import patiently
from chaos.faults.port import Scene
from chaos.model import View
from chaos.targets.port import Cut, Pair

PROVE_SECONDS = 10.0
"""How long each step of the proof may take."""
AGAIN_SECONDS = 3.0
"""How long a pair that is not cut has to connect while the cut is on; one slow handshake is no fault of the cut."""
LOOK_EVERY_SECONDS = 0.1
REPAIRS_MAX = 10
"""A cut that had to be repaired more often is none."""


class ProvenCut:
    """`mend`: puts the cut in force again where a node may have lost it. `repairs`: how often it leaked so far."""

    def __init__(self, scene: Scene, cut: Cut, mend: Callable[[], Awaitable[None]]) -> None:
        self.cut, self.repairs = cut, 0
        self._scene, self._mend = scene, mend
        self._quiet_since_us = 0
        self._boots: dict[str, str] = {}

    def remember(self, views: Mapping[str, View]) -> list[str]:
        """Note which process every node is that answers; those that are another one than was noted before."""
        changed = [name for name, view in views.items() if self._boots.get(name, view.boot) != view.boot]
        self._boots |= {name: view.boot for name, view in views.items()}
        return sorted(changed)

    async def prove(self) -> None:
        """Return once the cut is proven. Raises NotEffective naming what still connects, or is heard."""
        await self._prove_dials()
        await self._prove_quiet()

    def leak(self, views: Mapping[str, View] | None = None) -> str:
        """What the nodes themselves say against the cut in `views`, else in the newest samples; empty: nothing."""
        views = self._scene.fresh() if views is None else views
        changed = self.remember(views)
        wrong = [f"{' and '.join(changed)} is another process than before"] if changed else []
        heard = proof.heard_over(self.cut, views, self._quiet_since_us)
        wrong += [f"something came over the cut ({proof.named(heard, 'heard')})"] if heard else []
        return "; ".join(wrong)

    async def dial_again(self) -> str:
        """What new connections say against the cut, empty: nothing."""
        leaks, broken = await proof.wrong_dials(self._scene, self.cut)
        if not leaks:  # a leak is repaired at once
            broken = await proof.until_all_connect(self._scene, broken, AGAIN_SECONDS)
        wrong = [f"{proof.named(leaks)} connects again"] if leaks else []
        wrong += [f"{proof.named(broken)} cannot connect any more"] if broken else []
        return "; ".join(wrong)

    async def every_end(self) -> Mapping[str, View]:
        """What every node at an end of the cut says, asked now, and again until it answers.

        Raises NotEffective where one does not in time: whether it is cut off or dead, and what it hears, is not known.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PROVE_SECONDS
        ends = self._ends()
        while True:
            answers = await asyncio.gather(*(self._scene.look(node) for node in ends))
            missing = [node for node, view in zip(ends, answers, strict=True) if view is None]
            if not missing:
                return {view.name: view for view in answers if view is not None}
            if loop.time() >= deadline:
                raise NotEffective(
                    f"{' and '.join(missing)} did not answer while it should be cut off and nothing else, so what was "
                    "tested is not known: the partition was taken back; see raft-chaos status."
                )
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _ends(self) -> list[str]:
        """Nodes at an end of the cut whose process no other fault has stopped."""
        return sorted({node for pair in self.cut.blocked for node in pair} - self._scene.stopped())

    async def repair(self, why: str) -> None:
        """Prove it anew after a leak. Raises NotEffective where it cannot be, or not any more."""
        self.repairs += 1
        if self.repairs > REPAIRS_MAX:
            raise NotEffective(
                f"The partition does not hold: it was repaired {REPAIRS_MAX} times already, and now {why}; "
                "it was taken back."
            )
        await self._mend_in_bounds()
        await self.prove()

    async def _mend_in_bounds(self) -> None:
        """A node that was started again may run already and not listen yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PROVE_SECONDS
        while True:
            try:
                return await self._mend()
            except ChaosError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _prove_dials(self) -> None:
        leaks, broken = await proof.until_dials_agree(self._scene, self.cut, PROVE_SECONDS)
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

    async def _prove_quiet(self) -> None:
        """Reset the links, and again while something still comes over the cut; silence for a while is the proof."""
        silence_s = proof.quiet_s(self._scene.fresh())
        deadline_us = self._scene.clock.now_us() + int((PROVE_SECONDS + silence_s) * 1e6)
        ever_heard: list[Pair] = []
        await self._reset_links()
        while True:
            views = self._scene.fresh()
            heard = proof.heard_over(self.cut, views, self._quiet_since_us)
            silent = proof.silent_within(self.cut, views, self._scene.target.nodes)
            ever_heard = heard or ever_heard
            unheard = await self._mute(views)
            if not (heard or silent or unheard) and proof.is_quiet(self.cut, views, self._quiet_since_us):
                return
            if self._scene.clock.now_us() >= deadline_us:
                # A look in the instant after a reset hears nothing yet
                raise NotEffective(_not_quiet(ever_heard, silent, unheard))
            if heard:
                await self._reset_links()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _mute(self, views: Mapping[str, View]) -> list[str]:
        """Nodes at an end of the cut that answered before it, run, and do not say now what they hear."""
        missing = sorted(set(self._ends()) & set(self._boots) - set(views))
        if not missing:
            return []
        places = await patiently(self._scene.target.places)
        return [node for node in missing if node in places and places[node].instance]

    async def _reset_links(self) -> None:
        """At both ends of every blocked pair; one end is enough. What is heard from now on came through."""
        pairs, scene = links.both_ways(self.cut.blocked), self._scene
        answers = await asyncio.gather(
            *(scene.target.system.reset_links(scene.session, a, scene.target.url(a), b) for a, b in pairs)
        )
        said = dict(zip(pairs, answers, strict=True))
        for (a, b), answer in said.items():
            if not answer.ok and not said[b, a].ok and answer.code != "unreachable":
                raise NotEffective(
                    f"The links between {a} and {b} could not be reset ({answer.message.rstrip('.')}), "
                    "so old connections may live on: the partition was taken back."
                )
        self._quiet_since_us = scene.clock.now_us()


def _not_quiet(heard: list[Pair], silent: list[Pair], unheard: list[str]) -> str:
    if unheard and not heard:
        return (
            f"Whether the partition holds is unknown: {', '.join(unheard)} runs and does not answer, so what it hears "
            "cannot be known, and it was taken back: see raft-chaos status."
        )
    if silent and not heard:
        deaf = proof.named(silent, "does not hear")
        return f"The partition cuts too much: {deaf}, although that way is open, so it was taken back."
    if not heard:
        return f"Silence over the cut could not be seen to last within {PROVE_SECONDS:.0f} s, so it was taken back."
    return (
        f"The partition leaks: {proof.named(heard, 'still hears')} although new connections "
        f"fail and links were reset for {PROVE_SECONDS:.0f} s, so it was taken back."
    )
