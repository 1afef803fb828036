"""Who leads in this very instant: asked of the node itself, just before the act.

Why it exists: leadership moves; a fault that hits the leader of a second ago tests something else than it says. It must
not act.
"""

import asyncio

import msgspec

from chaos.errors import NotEffective
from chaos.faults.port import Scene
from chaos.model import View
from chaos.situation import Situation, situate

TRIES_MAX = 50
PAUSE_SECONDS = 0.1


async def find_leader(scene: Scene) -> tuple[Situation, View]:
    """The situation, and what the leader said of itself just now: it leads, in that term.

    Raises NotEffective where nobody keeps the lead long enough to be hit.
    """
    for _ in range(TRIES_MAX):
        situation = situate(scene.target.nodes, scene.fresh())
        view = await scene.look(situation.leader) if situation.leader else None
        if view is not None and view.role == "leader" and view.term >= situation.term:
            now = {**situation.views, view.name: view}
            return msgspec.structs.replace(situation, views=now, term=view.term), view
        await asyncio.sleep(PAUSE_SECONDS)
    raise NotEffective(
        f"Nobody kept the lead for {TRIES_MAX * PAUSE_SECONDS:.0f} s, so there was no leader to aim at: "
        "nothing was done; see raft-chaos status."
    )
