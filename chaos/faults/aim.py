"""Who leads in this very instant: asked of every node itself, just before the act.

Why it exists: leadership moves, and nodes fall; a fault that hits the leader of a second ago tests something else than
it says, and one that hits a cluster in which somebody fell since the guards looked may stop it for good. It must not
act.
"""

import asyncio
from collections.abc import Collection

from chaos.errors import NotEffective, Refused
from chaos.faults.port import Scene
from chaos.model import View
from chaos.situation import Situation, situate, unhealthy
from chaos.targets.port import Pair

AIM_SECONDS = 5.0
"""So long is waited for a leader whom everybody follows."""
PAUSE_SECONDS = 0.1


async def find_leader(scene: Scene) -> tuple[Situation, View]:
    """The situation, every node asked just now, and what the leader said of itself: it leads, in that term. Whom a
    fault that is in force has cut off or stopped is neither aimed at nor missed.

    Raises NotEffective where nobody keeps the lead, Refused where a voter has fallen; nothing is done then.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + AIM_SECONDS
    nodes = scene.target.nodes
    while True:
        answers = await asyncio.gather(*(scene.look(node) for node in nodes))
        now = situate(nodes, {node: view for node, view in zip(nodes, answers, strict=True) if view})
        excused = scene.excused(now.voters)
        trouble = unhealthy(now, excused)
        if not trouble and now.leader not in excused:
            return now, now.views[now.leader]
        if loop.time() >= until:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    if now.leader and trouble:
        raise Refused(
            f"In the instant before the fault the cluster was not healthy any more: {trouble}; nothing was done: "
            "see raft-chaos status."
        )
    raise NotEffective(
        f"Nobody kept the lead for {AIM_SECONDS:.0f} s, so there was no leader to aim at: "
        "nothing was done; see raft-chaos status."
    )


def refuse_quorum_loss(
    scene: Scene, now: Situation, stopped: Collection[str] = (), blocked: Collection[Pair] = ()
) -> None:
    """Refuse where that would leave nobody who decides. The guards asked for whoever would be hit as things stood then:
    another one may lead now, and what else is in force may have hit others."""
    if lost := scene.quorum_lost(now.voters, stopped, blocked):
        raise Refused(
            f"In the instant before the fault, {now.leader} leading, it would have stopped the cluster altogether: "
            f"{lost}; nothing was done. If that is what you want, add --allow-quorum-loss."
        )
