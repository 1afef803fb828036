"""The supervisor of a local cluster: the process that owns the nodes, asked over its unix socket.

Why it exists: a node that was killed must be started by its parent, with the flags that it had. It must not be asked
for anything else.
"""

from typing import TypeVar

import aiohttp
import msgspec

from chaos.errors import ChaosError
from chaos.observe import nodeapi
from chaos.targets.clusterfile import ClusterFile

TIMEOUT_SECONDS = 10.0
_T = TypeVar("_T")


class Answer(msgspec.Struct, frozen=True):
    """What it did with an order; `text` is one sentence."""

    ok: bool
    text: str


async def start(cluster: ClusterFile, node: str) -> Answer:
    """Have the supervisor start that node. Raises ChaosError where it does not answer."""
    return await _ask(cluster, "POST", f"/start/{node}", Answer)


async def answers(cluster: ClusterFile) -> bool:
    """Whether it is there and answers."""
    try:
        await _ask(cluster, "GET", "/cluster", dict)
    except ChaosError:
        return False
    return True


async def _ask(cluster: ClusterFile, method: str, path: str, kind: type[_T]) -> _T:
    if cluster.control is None:
        raise ChaosError(f"The local cluster was stopped: start it again with {cluster.starter}.")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(cluster.control), trust_env=False, timeout=timeout
            ) as session,
            session.request(method, f"http://supervisor{path}") as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=kind)
    except (*nodeapi.UNREACHABLE, msgspec.MsgspecError, RecursionError):
        raise ChaosError(
            f"The supervisor of the local cluster (process {cluster.supervisor_pid}) does not answer: {cluster.again}."
        ) from None
