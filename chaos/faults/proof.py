"""What proves that a partition cuts, and that it is gone: fresh dials of every pair, and the ages of last contact.

Why it exists: a policy that is accepted proves nothing; most networks let established connections live on. A new
connection must fail where cut, and nodes must stop hearing from each other at both ends (references: NetworkPolicy and
existing connections). It must not change anything.
"""

import asyncio
from collections.abc import Mapping, Sequence

from chaos.faults.patience import patiently
from chaos.faults.port import Scene
from chaos.model import View
from chaos.situation import last_heard_us, situate
from chaos.targets.port import Cut, Pair

DIAL_EVERY_SECONDS = 0.2
QUIET_SECONDS, QUIET_TIMEOUTS = 0.7, 2.0
"""So long, and so many election timeouts, nothing may be heard over a cut: longer than a frame can be on its way."""
YOUNG_SECONDS, YOUNG_TIMEOUTS = 1.0, 3.0
"""A leader and a follower that can talk heard from each other since then."""
PAIRS_NAMED_MAX = 4


def named(pairs: Sequence[Pair], between: str = "to") -> str:
    """For people: "n1 to n2, n2 to n1 and 3 more"; of who heard whom "n1 hears n2"."""
    more = f" and {len(pairs) - PAIRS_NAMED_MAX} more" if len(pairs) > PAIRS_NAMED_MAX else ""
    return ", ".join(f"{a} {between} {b}" for a, b in pairs[:PAIRS_NAMED_MAX]) + more


async def wrong_dials(scene: Scene, cut: Cut) -> tuple[list[Pair], list[Pair]]:
    """Dial every pair once: (those that connect and must not, those that do not and must).

    A node that does not answer us at all is not held against the network.
    """
    return await _dialled(scene, cut.blocked, cut.allowed)


async def until_dials_agree(scene: Scene, cut: Cut, limit_s: float) -> tuple[list[Pair], list[Pair]]:
    """Dial again and again until no blocked pair connects, and each other one did from then on, or the time is over;
    what still is wrong."""
    end_s = scene.ran_s() + limit_s
    while True:
        leaks, broken = await wrong_dials(scene, cut)
        if not leaks:
            return [], await until_all_connect(scene, broken, end_s - scene.ran_s())
        if scene.ran_s() >= end_s:
            return leaks, broken
        await asyncio.sleep(DIAL_EVERY_SECONDS)


async def until_all_connect(scene: Scene, pairs: Sequence[Pair], limit_s: float) -> list[Pair]:
    """Dial until each of the pairs has connected once, or the time is over; those that did not.

    Once is enough: no slowness makes a way that is cut carry. On a busy machine one slow handshake of twenty would be
    found in every round.
    """
    end_s, left = scene.ran_s() + limit_s, list(pairs)
    while left:
        _, left = await _dialled(scene, (), left)
        if not left or scene.ran_s() >= end_s:
            break
        await asyncio.sleep(DIAL_EVERY_SECONDS)
    return left


async def _dialled(scene: Scene, blocked: Sequence[Pair], allowed: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    got = await patiently(lambda: scene.target.network.dial((*blocked, *allowed)))
    leaks = [pair for pair in blocked if got.get(pair, False)]
    broken = [pair for pair in allowed if not got.get(pair, False)]
    if broken:
        ends = sorted({end for pair in broken for end in pair})
        answers = dict(zip(ends, await asyncio.gather(*(scene.look(end) for end in ends)), strict=True))
        broken = [pair for pair in broken if all(answers[end] is not None for end in pair)]
    return leaks, broken


def heard_over(cut: Cut, views: Mapping[str, View], since_us: int) -> list[Pair]:
    """Blocked pairs (who heard, from whom) where something certainly was heard after `since_us`."""
    found = []
    for peer, node in cut.blocked:
        heard = last_heard_us(views[node], peer) if node in views else None
        if heard is not None and heard[0] > since_us:
            found.append((node, peer))
    return sorted(found)


def heard_from(node: str, views: Mapping[str, View], since_us: int) -> list[str]:
    """Who certainly heard from it after that."""
    found = {name: last_heard_us(view, node) for name, view in views.items()}
    return sorted(name for name, heard in found.items() if heard is not None and heard[0] > since_us)


def is_quiet(cut: Cut, views: Mapping[str, View], since_us: int) -> bool:
    """Whether every node that answers has, long enough after `since_us`, heard nothing over the cut."""
    enough_us = since_us + int(quiet_s(views) * 1e6)
    ends = {node for _, node in cut.blocked if node in views}
    return all(views[node].asked_us >= enough_us for node in ends) and not heard_over(cut, views, since_us)


def quiet_s(views: Mapping[str, View]) -> float:
    """How long a silence over the cut must last to prove it, in seconds."""
    return max(QUIET_SECONDS, QUIET_TIMEOUTS * pace_s(views))


def silent_within(cut: Cut, views: Mapping[str, View], nodes: Sequence[str], healed: bool = False) -> list[Pair]:
    """Pairs (who, of whom) of the leader and others of the cut's nodes, over a way that is open, where nothing was
    heard lately. Without a leader nobody is silent, unless `healed`: then all talk, and should have one.

    A way whose way back is blocked carries as well: who does not hear the leader asks for votes, and whom it does not
    hear it goes on to address. Between two followers nothing is said.
    """
    now = situate(nodes, views)
    leader = now.leader
    if leader not in cut.nodes:
        return [(name, "a leader") for name in cut.nodes] if healed else []
    young_us = int(max(YOUNG_SECONDS, YOUNG_TIMEOUTS * pace_s(views)) * 1e6)
    blocked = () if healed else cut.blocked
    others = [name for name in cut.nodes if name != leader and name in views]
    pairs = [(leader, name) for name in others if name in now.voters or (leader, name) not in blocked]
    pairs += [(name, leader) for name in others]
    return [
        (node, peer)
        for node, peer in pairs
        if (peer, node) not in blocked and not _is_young(views[node], peer, young_us)
    ]


def pace_s(views: Mapping[str, View]) -> float:
    """The longest election timeout that a node has drawn now, in seconds; 0 where none says."""
    return max((view.election_timeout_ms or 0 for view in views.values()), default=0) / 1000


def _is_young(view: View, peer: str, young_us: int) -> bool:
    heard = last_heard_us(view, peer)
    return heard is not None and view.asked_us - heard[0] <= young_us
