"""Cuts between nodes, the proof that they hold, and their end.

Why it exists: "the minority could not write" means nothing if the minority was never cut off. So after a cut every
node is made to talk to every other (`sync_known_nodes`), and what each then says about whom it heard must fit: nobody
was heard across the cut since it was made, and everybody was heard elsewhere. It must not judge anything else.
"""

import asyncio
from collections.abc import Iterable
from itertools import permutations

from node.scenarios.cluster import Cluster, View
from node.scenarios.outcome import NotAsPredicted, ToolFailure

FAULT_SECONDS = 120
"""Faults end by themselves after this, whatever happens to the scenario."""
SLACK_MS = 20.0
"""A message that a node had already taken in when the cut was made may be counted this much later."""
PROBE_SECONDS = 0.2
PROBES_MAX = 20
"""On a busy machine an answer may come late: so many probes are tried before the proof is given up."""

Pair = tuple[str, str]


class Cut:
    """Pairs of nodes that are cut off from each other, both ways. `made_at`: seconds of the loop's clock."""

    def __init__(self, pairs: tuple[Pair, ...], made_at: float) -> None:
        self.pairs, self.made_at = pairs, made_at

    def across(self, one: str, other: str) -> bool:
        """Whether this pair is cut."""
        return (one, other) in self.pairs or (other, one) in self.pairs


async def cut(cluster: Cluster, pairs: Iterable[Pair]) -> Cut:
    """Cut each pair, both ways, at its first node."""
    wanted = tuple(pairs)
    await asyncio.gather(*(_cut_link(cluster, one, other) for one, other in wanted))
    return Cut(wanted, asyncio.get_running_loop().time())


async def _cut_link(cluster: Cluster, one: str, other: str) -> None:
    await cluster.command(one, "cut_link", peer=other, direction="both", seconds=FAULT_SECONDS)


def between(some: Iterable[str], others: Iterable[str]) -> tuple[Pair, ...]:
    """Every pair with one end in each group."""
    ends = tuple(others)
    return tuple((one, other) for one in some for other in ends)


async def prove(cluster: Cluster, made: Cut) -> str:
    """A sentence about what was measured. Raises NotAsPredicted where something was heard across the cut."""
    loop = asyncio.get_running_loop()
    unheard: list[Pair] = []
    # What is said within the slack would count as said before the cut, and a cut of one direction would pass.
    await asyncio.sleep(max(0.0, made.made_at + 2 * SLACK_MS / 1000 - loop.time()))
    for _ in range(PROBES_MAX):
        probed_at = loop.time()
        await asyncio.gather(*(cluster.command(name, "sync_known_nodes") for name in cluster.nodes.running))
        await asyncio.sleep(PROBE_SECONDS)
        since_cut_ms = (loop.time() - made.made_at) * 1000
        views = await cluster.views()
        since_probe_ms = (loop.time() - probed_at) * 1000
        shortest = _silence(views, made, since_cut_ms)
        linked = [(a, b) for a, b in permutations(cluster.nodes.running, 2) if not made.across(a, b)]
        unheard = [pair for pair in linked if not _heard_within(views, pair, since_probe_ms)]
        if not unheard:
            others = len(linked) // 2
            return (
                f"all nodes were just told to talk to each other; across the cut nobody has heard anybody for "
                f"{shortest:.0f} ms, over the {others} other links everybody has"
            )
    one, other = unheard[0]
    raise ToolFailure(f"{one} does not hear {other}, although nothing is cut between them: the proof failed.")


async def heal(cluster: Cluster) -> str:
    """End all faults everywhere, and see that all nodes hear each other again."""
    await recover(cluster)
    nothing = Cut((), asyncio.get_running_loop().time())
    await prove(cluster, nothing)
    left = [name for name, view in (await cluster.views()).items() if view.faults]
    if left:
        raise NotAsPredicted(f"the faults of {', '.join(left)} did not end when they were told to")
    return "every node hears every other again"


async def recover(cluster: Cluster) -> None:
    """End all faults of all nodes that run."""
    await asyncio.gather(*(cluster.command(name, "recover") for name in cluster.nodes.running))


def _silence(views: dict[str, View], made: Cut, since_cut_ms: float) -> float:
    """The shortest silence across the cut, in milliseconds; raises where it is shorter than the cut is old."""
    shortest = since_cut_ms
    for name, view in views.items():
        for peer in view.peers:
            age_ms = peer.last_contact_ms
            if made.across(name, peer.name) and age_ms is not None:
                if age_ms < since_cut_ms - SLACK_MS:
                    raise NotAsPredicted(
                        f"the fault is not effective: {name} heard {peer.name} {age_ms:.0f} ms ago, although the link "
                        f"between them was cut {since_cut_ms:.0f} ms ago"
                    )
                shortest = min(shortest, age_ms)
    return shortest


def _heard_within(views: dict[str, View], pair: Pair, milliseconds: float) -> bool:
    name, other = pair
    ages = [peer.last_contact_ms for peer in views[name].peers if peer.name == other] if name in views else []
    return any(age is not None and age <= milliseconds for age in ages)
