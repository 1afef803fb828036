"""Fresh dials between pods, from inside them: whether a new connection gets through right now.

Why it exists: no API tells when a policy is in force, or whether it ever will be. Addresses are looked up anew for
every round, because a pod that was made again has another. It must not judge what it sees.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api, Forbidden, Object
from chaos.targets.kubernetes.execute import run_in_pod
from chaos.targets.kubernetes.pods import place_of, pods_by_node
from chaos.targets.kubernetes.release import CONTAINER, Release
from chaos.targets.port import Pair

DIAL_SECONDS_MAX = 1.0
"""Of one connection; a policy drops it silently, so this is how long a blocked one takes."""
ROUND_SECONDS_MAX = 8.0
ATTEMPTS_MAX = 4
PAUSE_SECONDS = 1.0
"""Between attempts: so long the API server may show a container as running that has just died."""

DIAL_SCRIPT = """\
import json, socket, sys, threading
wanted, tls = json.loads(sys.argv[1]), sys.argv[2] == "tls"
found = {}
greeting = b"GET / HTTP/1.1\\r\\nHost: dial\\r\\nConnection: close\\r\\n\\r\\n"
if tls:
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    said = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), said).do_handshake()
    except ssl.SSLWantReadError:
        greeting = said.read()
def dial(name, host, port, seconds):
    try:
        with socket.create_connection((host, port), seconds) as s:
            s.settimeout(seconds)
            s.sendall(greeting)
            found[name] = bool(s.recv(1))
    except OSError:
        found[name] = False
threads = [threading.Thread(target=dial, args=one, daemon=True) for one in wanted]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(found))
"""
"""Runs by the image's own Python, with its standard library. A handshake that a proxy in between answers proves
nothing, so a byte must come back: the peer port answers any HTTP request with a refusal. Where it speaks TLS it is
greeted in TLS, and left at its first word: plain text would ring an alarm there."""


async def dial(api: Api, release: Release, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
    """All at once. False also where an end does not run. Raises `ChaosError` where a running pod could not be made to
    dial: silence of the tool must not pass for a cut."""
    pods = await pods_by_node(api, release)
    sources = sorted({source for source, _ in pairs})
    wanted = {source: [target for one, target in pairs if one == source] for source in sources}
    answers = await asyncio.gather(*(_from(api, release, source, wanted[source], pods) for source in sources))
    got = {(source, target): ok for source, found in zip(sources, answers, strict=True) for target, ok in found.items()}
    return {pair: got.get(pair, False) for pair in pairs}


async def _from(
    api: Api, release: Release, source: str, targets: Sequence[str], pods: Mapping[str, Object]
) -> Mapping[str, bool]:
    addresses = {target: ((pods.get(target) or {}).get("status") or {}).get("podIP") for target in targets}
    ends = [(name, host, release.peer_port, DIAL_SECONDS_MAX) for name, host in addresses.items() if host]
    before = place_of(source, pods.get(source))
    if not before.instance or not ends:
        return {}
    failed = ChaosError("")
    for _ in range(ATTEMPTS_MAX):
        try:
            return await _ask(api, release, source, ends)
        except Forbidden:
            raise
        except ChaosError as error:
            failed = error
        await asyncio.sleep(PAUSE_SECONDS)
        now = place_of(source, await api.find(release.pod_path(source)))
        if now.leaving or now.instance != before.instance:
            return {}  # it stopped, or is another one by now
    raise failed


async def _ask(api: Api, release: Release, source: str, ends: Sequence[object]) -> Mapping[str, bool]:
    way = "tls" if release.peers_take_tls else "plain"
    command = ("python", "-I", "-S", "-c", DIAL_SCRIPT, json.dumps(ends), way)
    ran = await run_in_pod(api, release.namespace, source, CONTAINER, command, ROUND_SECONDS_MAX)
    try:
        return dict(json.loads(ran.out))
    except (ValueError, RecursionError):
        why = ran.err.strip()[-200:] or f"exit code {ran.code}"
        raise ChaosError(f"Dialling from pod {source} (namespace {release.namespace}) failed: {why}.") from None
