"""A fault inside another one: cut the leader off, and kill its successor while the cut holds.

    Inside(a, b)        more than two: Inside(a, Inside(b, c))

The outer one is done, proven and held; the inner one is done, held, taken back and proven to be gone meanwhile, so they
are always taken back in reverse order. Each keeps a span of its own, and each aims in its own instant.

Why it exists: one fault is what clusters are built for; two at a time are what they fall over. It must not know what
its parts do.
"""

import asyncio

import msgspec

from chaos.errors import NotEffective, Refused, Usage
from chaos.faults.port import Fault, Plan, Scene
from chaos.model import FaultSpan
from chaos.situation import Situation
from chaos.targets.port import Target

Together = tuple[tuple[str, ...], ...]
"""Sets of nodes that talk to each other."""


class Inside:
    """Satisfies `Fault`. `span` is the outer one's; `spans_of` gives all."""

    def __init__(self, outer: Fault, inner: Fault) -> None:
        self.outer, self.inner = outer, inner
        self.span = outer.span

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault. Each is planned for whoever may lead then: the guards hold for all together."""
        return self._plan(situation, target, ())

    def _plan(self, situation: Situation, target: Target, before: Together) -> Plan:
        """`before`: who still talks to each other under what is around these two."""
        first = self.outer.plan(situation, target)
        left = _both(before, first.together)
        then_led = _foreseen(situation, left)
        inner = self.inner
        then = inner._plan(then_led, target, left) if isinstance(inner, Inside) else inner.plan(then_led, target)
        if first.cut is not None and then.cut is not None:
            raise Usage("Two cuts at a time cannot be told from each other: write them as one cut.")
        return Plan(
            title=f"{first.title}, and inside that {then.title}",
            acts=(*first.acts, *then.acts),
            predictions=(*first.predictions, *then.predictions),
            together=_both(left, then.together),
            cut=first.cut or then.cut,
            lasts_s=first.lasts_s + then.lasts_s,
        )

    async def inject(self, scene: Scene) -> None:
        """See Fault."""
        await self.outer.inject(scene)

    async def prove(self, scene: Scene) -> None:
        """See Fault."""
        await self.outer.prove(scene)

    async def hold(self, scene: Scene) -> None:
        """See Fault: whichever of the two fails ends both."""
        tasks = [asyncio.create_task(self.outer.hold(scene)), asyncio.create_task(self._meanwhile(scene))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def revert(self, scene: Scene) -> None:
        """See Fault: the inner one first; the outer one whatever became of that."""
        try:
            if self.inner.span.healed_us is None:
                await self.inner.revert(scene)
        finally:
            await self.outer.revert(scene)

    async def prove_healed(self, scene: Scene) -> None:
        """See Fault."""
        if self.inner.span.healed_us is None:
            await self.inner.prove_healed(scene)
        await self.outer.prove_healed(scene)

    async def _meanwhile(self, scene: Scene) -> None:
        """Who falls by itself after the guards looked is seen when the inner one aims."""
        try:
            await self.inner.inject(scene)
        except Refused as error:  # which says that nothing was done, and by now something was
            raise NotEffective(f"The second fault was not done: {error}") from None
        await self.inner.prove(scene)
        await self.inner.hold(scene)
        await self.inner.revert(scene)
        await self.inner.prove_healed(scene)


def spans_of(fault: Fault) -> tuple[FaultSpan, ...]:
    """Of all its parts, in the order in which they are done."""
    return (*spans_of(fault.outer), *spans_of(fault.inner)) if isinstance(fault, Inside) else (fault.span,)


def _foreseen(situation: Situation, together: Together) -> Situation:
    """With a leader who can still decide, where there is one."""
    deciding = max(together, key=lambda group: len(set(group) & set(situation.voters)), default=())
    led = [name for name in (situation.leader, *situation.followers) if name in deciding]
    return msgspec.structs.replace(situation, leader=led[0]) if led else situation


def _both(one: Together, other: Together) -> Together:
    """Who still talks to each other under both; nothing before says nothing."""
    return tuple(dict.fromkeys(tuple(name for name in a if name in b) for a in one for b in other)) if one else other
