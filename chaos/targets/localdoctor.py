"""Whether faults would work on a local cluster: one finding a question, each with its cure.

Why it exists: a run that fails half way for a reason that could have been seen is a wasted run. Changes nothing.
"""

import shutil
from pathlib import Path

import aiohttp
import msgspec

from chaos.observe import nodeapi
from chaos.targets import clusterfile, supervisor
from chaos.targets.clusterfile import ClusterFile
from chaos.targets.port import Finding

FREE_BYTES_MIN = 256 * 1024 * 1024
TIMEOUT_SECONDS = 2.0
_MIB = 1024 * 1024


class _Commands(msgspec.Struct):
    enabled_faults: bool


async def of_supervisor(cluster: ClusterFile) -> Finding:
    """It is the parent of all nodes, and starts killed ones again."""
    pid = cluster.supervisor_pid
    if pid is None or clusterfile.started(pid) is None:
        return Finding("error", "supervisor", f"process {pid} is gone: {cluster.again}")
    if not await supervisor.answers(cluster):
        return Finding("error", "supervisor", f"process {pid} does not answer, so a killed node would stay down")
    page = f", all nodes are on {cluster.monitor}" if cluster.monitor else ""
    return Finding("ok", "supervisor", f"process {pid} answers and starts killed nodes again{page}")


def of_disk(data_dir: Path) -> Finding:
    """A full disk stops nodes, which would look like a fault's work."""
    free = shutil.disk_usage(data_dir).free
    if free < FREE_BYTES_MIN:
        return Finding(
            "warning",
            "disk",
            f"{free // _MIB} MiB are free where {data_dir} lies: nodes stop when it is full; free some",
        )
    return Finding("ok", "disk", f"{free // _MIB} MiB are free where {data_dir} lies")


async def of_node(session: aiohttp.ClientSession, url: str, node: str, runs: bool, cluster: ClusterFile) -> Finding:
    """It runs, answers, and takes faults."""
    if not runs:
        return Finding("warning", node, f"does not run: {cluster.start_node(node)}")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with session.get(f"{url}/commands", timeout=timeout) as answer:
            enabled = msgspec.json.decode(await answer.read(), type=_Commands).enabled_faults
    except (*nodeapi.UNREACHABLE, msgspec.MsgspecError, RecursionError):
        return Finding("error", node, f"runs and does not answer at {url}: look into its log")
    if not enabled:
        return Finding("error", node, "takes no faults, so nothing can be cut: start it with --enable-faults")
    return Finding("ok", node, f"answers at {url} and takes faults")
