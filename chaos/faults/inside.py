"""A fault inside another one: cut the leader off, and kill its successor while the cut holds.

    Inside(a, b)        more than two: Inside(a, Inside(b, c))

The outer one is done, proven, and held until the inner one was done, held, taken back and proven to be gone: they are
always taken back in reverse order. Each keeps a span of its own, and each aims in its own instant.

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

AGAIN_SECONDS = 0.5
"""Between two times that the outer one is held, where the inner one takes longer."""


class Inside:
    """Satisfies `Fault`. `span` is the outer one's; `spans_of` gives all."""

    def __init__(self, outer: Fault, inner: Fault) -> None:
        self.outer, self.inner = outer, inner
        self.span = outer.span

    def plan(self, situation: Situation, target: Target) -> Plan:
        """See Fault. Each is planned for whoever may lead then: the guards hold for all together."""
        return self._plan(situation, target, None)

    def _plan(self, situation: Situation, target: Target, around: Plan | None) -> Plan:
        """`around`: what is on already when these two are done."""
        first, inner = self.outer.plan(situation, target), self.inner
        then_led = _foreseen(situation, first if around is None else _joined(around, first))
        if isinstance(inner, Inside):
            return _joined(first, inner._plan(then_led, target, first if around is None else _joined(around, first)))
        return _joined(first, inner.plan(then_led, target))

    async def inject(self, scene: Scene) -> None:
        """See Fault."""
        await self.outer.inject(scene)

    async def prove(self, scene: Scene) -> None:
        """See Fault."""
        await self.outer.prove(scene)

    async def hold(self, scene: Scene) -> None:
        """See Fault: whichever of the two fails ends both."""
        inner = asyncio.create_task(self._meanwhile(scene))
        tasks = [inner, asyncio.create_task(self._held_around(inner, scene))]
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
        try:
            if self.inner.span.healed_us is None:
                await self.inner.prove_healed(scene)
        finally:
            await self.outer.prove_healed(scene)

    async def _held_around(self, inner: "asyncio.Task[None]", scene: Scene) -> None:
        """As often as it takes until the inner one is gone."""
        await self.outer.hold(scene)
        while self.outer.span.lasts and not inner.done():
            await asyncio.wait((inner,), timeout=AGAIN_SECONDS)
            if not inner.done():
                await self.outer.hold(scene)

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


def _foreseen(situation: Situation, plan: Plan) -> Situation:
    """With a leader who can still decide, where there is one."""
    deciding = max(plan.together(situation.voters), key=len, default=())
    led = [name for name in (situation.leader, *situation.followers) if name in deciding]
    return msgspec.structs.replace(situation, leader=led[0]) if led else situation


def _joined(first: Plan, then: Plan) -> Plan:
    """Both at a time. Raises Usage where that cannot be."""
    if first.cut is not None and then.cut is not None:
        raise Usage("Two cuts at a time cannot be told from each other: write them as one cut.")
    if first.stopped and then.cut is not None:
        raise Usage("A node that does not run cannot be asked to cut its links: put the cut around the other fault.")
    return Plan(
        title=f"{first.title}, and inside that {then.title}",
        acts=(*first.acts, *then.acts),
        predictions=(*first.predictions, *then.predictions),
        stopped=(*first.stopped, *then.stopped),
        cut=first.cut or then.cut,
        lasts_s=first.lasts_s + then.lasts_s,
    )
