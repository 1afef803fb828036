"""Fresh dials between pods, from inside them: whether a new connection gets through right now.

Why it exists: no API tells when a policy is in force, or whether it ever will be. Addresses are looked up anew for
every round, because a pod that was made again has another. It must not judge what it sees.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api, Object
from chaos.targets.kubernetes.execute import run_in_pod
from chaos.targets.kubernetes.pods import pods_by_node
from chaos.targets.kubernetes.release import CONTAINER, Release
from chaos.targets.port import Pair

DIAL_SECONDS_MAX = 1.0
"""Of one connection; a policy drops it silently, so this is how long a blocked one takes."""
ROUND_SECONDS_MAX = 8.0

DIAL_SCRIPT = """\
import json, socket, sys, threading
wanted = json.loads(sys.argv[1])
found = {}
def dial(name, host, port, seconds):
    try:
        with socket.create_connection((host, port), seconds) as s:
            s.settimeout(seconds)
            s.sendall(b"GET / HTTP/1.1\\r\\nHost: dial\\r\\nConnection: close\\r\\n\\r\\n")
            found[name] = bool(s.recv(1))
    except OSError:
        found[name] = False
threads = [threading.Thread(target=dial, args=one, daemon=True) for one in wanted]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(found))
"""
"""Runs by the image's own Python, with its standard library. A handshake that a proxy in between answers proves
nothing, so a byte must come back: the peer port answers any HTTP request with a refusal."""


async def dial(api: Api, release: Release, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
    """All at once. False also where an end does not run."""
    pods = await pods_by_node(api, release)
    sources = sorted({source for source, _ in pairs})
    wanted = {source: [target for one, target in pairs if one == source] for source in sources}
    answers = await asyncio.gather(*(_from(api, release, source, wanted[source], pods) for source in sources))
    reached = {
        (source, target): ok for source, found in zip(sources, answers, strict=True) for target, ok in found.items()
    }
    return {pair: reached.get(pair, False) for pair in pairs}


async def _from(
    api: Api, release: Release, source: str, targets: Sequence[str], pods: Mapping[str, Object]
) -> Mapping[str, bool]:
    addresses = {target: ((pods.get(target) or {}).get("status") or {}).get("podIP") for target in targets}
    ends = [(name, host, release.peer_port, DIAL_SECONDS_MAX) for name, host in addresses.items() if host]
    if source not in pods or not ends:
        return {}
    command = ("python", "-I", "-S", "-c", DIAL_SCRIPT, json.dumps(ends))
    try:
        ran = await run_in_pod(api, release.namespace, source, CONTAINER, command, ROUND_SECONDS_MAX)
        return dict(json.loads(ran.out))
    except (ChaosError, ValueError):
        return {}  # it is not running now, or stopped while it dialled
