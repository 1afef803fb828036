"""Commands of `raft-node`, and changes of members by them, waited for until they are made.

Why it exists: several stories change members of a real cluster, each in its own order.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.cluster.harness import WAIT_SECONDS, Cluster, raft_node
from tests.ports import free_base_port


async def members(cluster: Cluster, *words: str) -> tuple[int, str]:
    """`raft-node members ...` by the nodes' URLs, so that no process is started or ended; exit code and output."""
    return await raft_node("members", *words, *(str(node["url"]) for node in cluster.nodes.values()))


async def known(cluster: Cluster, node: str) -> dict[str, Any]:
    """`/members` of one node."""
    async with cluster.http.get(f"{cluster.url(node)}/members") as answer:
        return dict(json.loads(await answer.read()))


async def is_a(cluster: Cluster, kind: str, name: str) -> None:
    """Wait until the leader has `name` among its voters, learners or applicants."""

    async def so() -> bool:
        body = await known(cluster, await cluster.leader())
        return name in [row["name"] for row in body[kind]] and not body["changing"]

    await cluster.until(so, f"{name} is among the {kind}")


async def done(cluster: Cluster, *words: str) -> None:
    """A change is made, as soon as the leader has time for it and the member has caught up."""
    said: list[str] = []

    async def taken() -> bool:
        code, out = await members(cluster, *words)
        said.append(out)
        assert code in (0, 1, 4), out
        return code == 0

    try:
        await cluster.until(taken, f"members {' '.join(words)}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{said[-1]}") from None


@asynccontextmanager
async def fourth(cluster: Cluster, log_name: str = "n4.log", moved: bool = False) -> AsyncIterator[str]:
    """A node n4 beside the cluster, on an empty disk, or on that of the one before; its URL. Its peer port is the one
    after that; `moved`: none that it had."""
    base = free_base_port(4) + (2 if moved else 0)
    seeds = ",".join(f"{seed}={node['peer']}" for seed, node in cluster.nodes.items())
    with (cluster.folder / log_name).open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.cli", "serve", "--name", "n4", "--seeds", seeds),
            *("--data-dir", str(cluster.folder / "n4"), "--port", str(base), "--peer-port", str(base + 1)),
            stderr=stderr,
        )
    try:
        yield f"http://127.0.0.1:{base}"
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), WAIT_SECONDS)


async def status_at(cluster: Cluster, url: str) -> dict[str, Any]:
    try:
        async with cluster.http.get(f"{url}/status", timeout=aiohttp.ClientTimeout(total=1)) as answer:
            return dict(await answer.json())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}


async def fourth_leads(cluster: Cluster, url: str) -> str:
    """Hand the lead to `fourth`, which votes; who had it before."""
    there = await cluster.leader()

    async def leads() -> bool:
        handed = {"target": "n4"}
        async with cluster.http.post(f"{cluster.url(there)}/commands/transfer_leadership", json=handed):
            return bool((await status_at(cluster, url)).get("role") == "leader")

    await cluster.until(leads, "n4 leads")
    return there
