"""Whether NetworkPolicies do anything here, tried on two throw-away pods: never on the nodes of a cluster.

Why it exists: a network plugin that ignores policies accepts them all the same, and whether an open connection outlives
a policy is up to the plugin too; both are better known before a partition. It must clean up after itself, and what it
could not clean up ends by itself and is found by its label.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Literal

import msgspec

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api, ApiError, Object
from chaos.targets.kubernetes.around import policies_path
from chaos.targets.kubernetes.execute import lines_from_pod
from chaos.targets.kubernetes.narrowing import MANAGED_BY_LABEL, MANAGER, RUN_LABEL
from chaos.targets.kubernetes.ownpods import pod_spec
from chaos.targets.kubernetes.release import CONTAINER, Release
from chaos.targets.kubernetes.shape import POLICY_API
from chaos.targets.port import UndoStep

DELETE_POD = "delete-pod"
PROBE_LABEL = "raft-chaos/probe"
PORT = 9001
LIVE_SECONDS_MAX = 120
"""The kubelet ends the pods after that, whoever forgot them."""
READY_SECONDS_MAX = 60.0
ENFORCED_SECONDS_MAX = 10.0
WATCHED_SECONDS = 2.0
"""How long the open connection is watched once new ones are blocked."""

LISTEN_SCRIPT = """\
import socket, threading
try:
    server = socket.create_server(("", 9001), family=socket.AF_INET6, dualstack_ipv6=True)
except (OSError, ValueError):
    server = socket.create_server(("", 9001))
def echo(s):
    with s:
        while data := s.recv(64):
            s.sendall(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""
WATCH_SCRIPT = """\
import json, socket, sys, time
where = (sys.argv[1], 9001)
def echoes(s):
    try:
        s.sendall(b"x")
        return bool(s.recv(64))
    except OSError:
        return False
def dial():
    try:
        s = socket.create_connection(where, 0.5)
        s.settimeout(0.5)
        return s
    except OSError:
        return None
old, alive = dial(), True
while True:
    fresh = dial()
    alive = alive and old is not None and echoes(old)
    print(json.dumps({"fresh": fresh is not None and echoes(fresh), "old": alive}), flush=True)
    if fresh:
        fresh.close()
    time.sleep(0.1)
"""


class Enforcement(msgspec.Struct, frozen=True):
    """`enforced`: "yes", "no", or "unknown" for a reason in `why`. `outlives`: whether an open connection outlived the
    policy; None: not seen. `seconds`: until new connections were blocked."""

    enforced: Literal["yes", "no", "unknown"]
    why: str = ""
    outlives: bool | None = None
    seconds: float | None = None


def probe_names(release: Release) -> tuple[str, str]:
    """Of the watching pod and the listening one: always the same, for the chart's Role names them."""
    return f"{release.stateful_set}-chaos-probe-a", f"{release.stateful_set}-chaos-probe-b"


async def try_policies(api: Api, release: Release, run: str) -> Enforcement:
    """Two pods and a policy between them, all gone afterwards."""
    try:
        async with asyncio.timeout(READY_SECONDS_MAX + 2 * ENFORCED_SECONDS_MAX), _pods(api, release, run) as (a, b):
            return await _watch(api, release, run, a, b)
    except TimeoutError:
        return Enforcement("unknown", "the throw-away pods did not get ready in time")
    except _Taken as taken:
        return Enforcement(
            "unknown", f"there is a pod {taken} already, of another doctor or left by one: `raft-chaos heal --all`"
        )
    except ApiError as error:
        return Enforcement("unknown", str(error))


class _Taken(Exception):
    """A pod of this name is there."""


async def probes_left(api: Api, namespace: str) -> list[UndoStep]:
    """Throw-away pods that are still there."""
    selector = f"{MANAGED_BY_LABEL}={MANAGER},{PROBE_LABEL}"
    pods = await api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)
    return [_step(str(pod["metadata"]["name"]), pod["metadata"]["labels"].get(RUN_LABEL, "")) for pod in pods]


async def delete_probe(api: Api, namespace: str, step: UndoStep) -> str:
    name = step.arguments["name"]
    gone = await api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0})
    return f"Deleted pod {name}." if gone else f"Pod {name} was gone already."


async def _watch(api: Api, release: Release, run: str, source: str, address: str) -> Enforcement:
    """`source`: a pod's name; `address`: of the other one."""
    policy = _policy(release, run)
    name = policy["metadata"]["name"]
    command = ("python", "-c", WATCH_SCRIPT, address)
    loop = asyncio.get_running_loop()
    made = blocked = None
    outlives = True
    try:
        async with aclosing(lines_from_pod(api, release.namespace, source, CONTAINER, command)) as lines:
            async for line in lines:
                seen = json.loads(line)
                if made is None:
                    if not seen["fresh"] or not seen["old"]:
                        return Enforcement("unknown", "the throw-away pods cannot reach each other without any policy")
                    made = loop.time()
                    await api.create(policies_path(release.namespace), policy)
                elif blocked is None and not seen["fresh"]:
                    blocked = loop.time()
                elif blocked is None and loop.time() - made > ENFORCED_SECONDS_MAX:
                    return Enforcement("no")
                outlives = bool(seen["old"])
                if blocked is not None and made is not None and loop.time() - blocked > WATCHED_SECONDS:
                    return Enforcement("yes", outlives=outlives, seconds=blocked - made)
    finally:
        with suppress(ChaosError):
            await asyncio.shield(api.delete(policies_path(release.namespace, name)))
    return Enforcement("unknown", "the watching pod ended early")


@asynccontextmanager
async def _pods(api: Api, release: Release, run: str) -> AsyncIterator[tuple[str, str]]:
    """(name of the watching pod, address of the listening one), both running."""
    folder, made = f"/api/v1/namespaces/{release.namespace}/pods", list[str]()
    try:
        for name, which in zip(probe_names(release), ("a", "b"), strict=True):
            made.append(f"{folder}/{name}")  # before it is asked for: a request that is broken off may still be done
            try:
                await api.create(folder, _pod(release, run, name, which))
            except ApiError as error:
                made.pop()
                if error.status == 409:
                    raise _Taken(name) from error
                raise
        addresses = [await _running(api, path) for path in made]
        yield probe_names(release)[0], addresses[1]
    finally:
        for path in made:
            with suppress(ChaosError):
                await asyncio.shield(api.delete(path, {"gracePeriodSeconds": 0}))


async def _running(api: Api, path: str) -> str:
    """Its address, once its container listens; within the time that the caller gives."""
    while True:
        status = (await api.get(path)).get("status") or {}
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or []}
        if conditions.get("Ready") == "True" and status.get("podIP"):
            return str(status["podIP"])
        await asyncio.sleep(0.2)


def _pod(release: Release, run: str, name: str, which: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": _labels(run, which)},
        "spec": pod_spec(
            release,
            ["python", "-c", LISTEN_SCRIPT],
            {"tcpSocket": {"port": PORT}},
            restartPolicy="Never",
            activeDeadlineSeconds=LIVE_SECONDS_MAX,
            automountServiceAccountToken=False,
        ),
    }


def _policy(release: Release, run: str) -> Object:
    """Lets nobody in to the listening pod."""
    return {
        "apiVersion": POLICY_API,
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"raft-chaos-{run}-probe",
            "namespace": release.namespace,
            "labels": _labels(run, "policy"),
        },
        "spec": {
            "podSelector": {"matchLabels": _labels(run, "b")},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def _labels(run: str, which: str) -> dict[str, str]:
    return {MANAGED_BY_LABEL: MANAGER, RUN_LABEL: run, PROBE_LABEL: which}


def _step(name: str, run: str) -> UndoStep:
    return UndoStep(DELETE_POD, {"name": name, "run": run})
