"""When a cluster is whole again: one leader, every voter there, following it, and caught up.

Why it exists: the next fault must not hit a cluster that still bleeds, and "recovered" must be measured, not assumed.
Not the phase of a pod: what the nodes say. It must not heal anything.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from chaos.faults.port import Scene
from chaos.model import View
from chaos.situation import Situation, situate, unhealthy

LOOK_AGAIN_SECONDS = 0.1
"""After samples and a look disagreed."""


class _Mark(msgspec.Struct):
    """Whom we believe to lead, and how far every voter has to come."""

    leader: str = ""
    term: int = 0
    commit: int = 0
    at_us: int = 0


async def until_whole(scene: Scene, limit_s: float) -> tuple[int | None, Situation]:
    """When the cluster was whole again, None: not within `limit_s`; and how it stands then.

    Caught up: every voter has applied what the leader had committed when it was first seen, and was asked later. As
    samples may be older than a fall, every node is asked once more before it is said.
    """
    mark = _Mark()
    loop = asyncio.get_running_loop()
    until = loop.time() + limit_s
    nodes = scene.target.nodes

    def is_whole(_: Mapping[str, View]) -> bool:
        return _is_whole(situate(nodes, scene.fresh()), mark)

    while await scene.views.until(is_whole, max(0.0, until - loop.time())):
        views = await asyncio.gather(*(scene.look(node) for node in nodes))
        now = situate(nodes, {node: view for node, view in zip(nodes, views, strict=True) if view})
        if _is_whole(now, mark):
            return scene.clock.now_us(), now
        if loop.time() >= until:
            return None, now
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return None, situate(nodes, scene.fresh())


def _is_whole(now: Situation, mark: _Mark) -> bool:
    if unhealthy(now):
        mark.leader = ""
        return False
    lead = now.views[now.leader]
    if (mark.leader, mark.term) != (now.leader, now.term):
        mark.leader, mark.term, mark.commit, mark.at_us = now.leader, now.term, lead.commit, lead.answered_us
    return all(now.views[name].applied >= mark.commit and now.views[name].asked_us >= mark.at_us for name in now.voters)
