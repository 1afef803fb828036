"""The nodes beside the one that was named: as it says where they are, asked themselves, else as it heard them.

Why it exists: who knows one node wants to see the cluster. Through a port-forward or from another network the others
cannot be asked, and what the one has heard of them is better than nothing, if it is called hearsay. It must not decide
what is shown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import aiohttp

    from node.supervisor.watch import NodeStatus, NodeView

NODES_MAX = 64
"""Of which a node may tell; more than any cluster has."""


class Neighbour(NamedTuple):
    """`address`: its own, or its name where nobody said one. `by_hearsay`: it did not answer, and `view` is what the
    other heard of it within the last seconds."""

    address: str
    name: str
    view: "NodeStatus | None"
    by_hearsay: bool


async def neighbours(
    session: "aiohttp.ClientSession", address: str, ask: "Callable[[str], Awaitable[NodeStatus | None]]"
) -> list[Neighbour]:
    """All that the node at `address` knows of beside itself, in its order; none where it does not answer."""
    from node.supervisor.watch import fetch_cluster

    async def found(seen: "NodeView") -> Neighbour:
        where = seen.status.client_url.rstrip("/") if seen.status is not None else ""
        view = await ask(where) if where.startswith(("http://", "https://")) else None
        told = None if seen.status is None else (seen.name, seen.status.cluster_id)
        if view is not None and (view.name, view.cluster_id) == told:
            return Neighbour(where, seen.name, view, by_hearsay=False)
        heard = seen.status if seen.state == "reachable" else None
        return Neighbour(where or seen.name, seen.name, heard, by_hearsay=heard is not None)

    cluster = await fetch_cluster(session, address)
    if cluster is None:
        return []
    return list(
        await asyncio.gather(*map(found, [one for one in cluster.nodes[:NODES_MAX] if one.name != cluster.node]))
    )
