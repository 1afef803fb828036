"""Which of these nodes have no link to each other, as they say themselves.

Why it exists: a cluster whose leader reaches everybody looks whole while two followers are cut off from each other, and
a rollout ends the leader, too. It must not decide what follows from it.
"""

from collections.abc import Mapping
from itertools import combinations


def missing(urls: Mapping[str, str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs of names, in their order, of whom one at least says that it has no link to the other; `urls` by name. And
    who did not answer: it may lack links that nobody tells of."""
    import asyncio

    said = asyncio.run(_peers(urls))
    pairs = [
        (one, other) for one, other in combinations(urls, 2) if other in said.get(one, ()) or one in said.get(other, ())
    ]
    return pairs, [name for name in urls if name not in said]


async def _peers(urls: Mapping[str, str]) -> dict[str, list[str]]:
    """By name: to whom it has no link."""
    import asyncio

    from node.cli.identity import asking_session
    from node.supervisor.watch import fetch_status

    async with asking_session() as session:
        found = await asyncio.gather(*(fetch_status(session, url) for url in urls.values()))
    return {
        name: [peer.name for peer in status.peers if not peer.link_up]
        for name, status in zip(urls, found, strict=True)
        if status is not None
    }
