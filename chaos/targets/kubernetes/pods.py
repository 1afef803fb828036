"""Where the nodes run, and how one of them is ended: its pod deleted, or its process killed in place.

Why it exists: a kill must hit the pod that was looked at, not the one that has its name by then. It must not choose
whom to kill.
"""

from collections.abc import Mapping

from chaos.errors import ChaosError, Refused
from chaos.model import Place
from chaos.targets.kubernetes.api import Api, ApiError, Object, to_its_end
from chaos.targets.kubernetes.execute import run_in_pod
from chaos.targets.kubernetes.release import CONTAINER, Release

KILL_SECONDS_MAX = 10.0

_FIND = """\
children= timers=
for folder in /proc/[0-9]*; do
  parent= name=
  while read -r key value rest; do
    case $key in Name:) name=$value;; PPid:) parent=$value;; esac
  done 2>/dev/null < $folder/status
  [ "$parent" = 1 ] || continue
  case $name in sh|sleep) timers="$timers ${folder#/proc/}";; *) children="$children ${folder#/proc/}";; esac
done
[ -n "$children" ] || { echo "PID 1 has no child" >&2; exit 3; }
"""
"""Shell builtins alone. SIGKILL does nothing to PID 1 of a container, so the node must be a child of an init; what exec
starts has no parent in the container, so it is not hit, and what that leaves behind is a shell or a sleep."""

WAKES_SECONDS = 30
"""A paused process goes on by itself so long after it was looked at last: a tool that is gone leaves nothing."""

_WAKE_LATER = f"""\
[ -z "$timers" ] || kill $timers 2>/dev/null
(trap '' HUP; sleep {WAKES_SECONDS}; kill -CONT $children) >/dev/null 2>&1 </dev/null &
"""
KILL_SCRIPT = f"{_FIND}kill -KILL $children\n"
STOP_SCRIPT = f"{_FIND}{_WAKE_LATER}kill -STOP $children\n"
GO_ON_SCRIPT = f'{_FIND}[ -z "$timers" ] || kill $timers 2>/dev/null\nkill -CONT $children\n'
STATE_SCRIPT = f"""{_FIND}still=
for child in $children; do
  while read -r key value rest; do case $key in State:) state=$value;; esac; done < /proc/$child/status
  echo "$state"
  [ "$state" != T ] || still=yes
done
[ -n "$still" ] || exit 0
{_WAKE_LATER}"""
"""Puts the waking off, too."""

INITS = frozenset({"tini", "dumb-init", "docker-init", "catatonit", "s6-svscan", "runit", "systemd", "init", "pause"})


async def pods_by_node(api: Api, release: Release) -> dict[str, Object]:
    """The pods that are there, by the name of their node."""
    listed = await api.items(f"/api/v1/namespaces/{release.namespace}/pods", labelSelector=release.selector)
    named = {str(pod["metadata"]["name"]): pod for pod in listed}
    return {node: named[node] for node in release.nodes if node in named}


def place_of(node: str, pod: Object | None) -> Place:
    """Where this node runs; `instance`: the pod's UID and its restarts, for a kill in place keeps the pod."""
    if pod is None:
        return Place(name=node, where="", instance="", ready=False)
    status, metadata = pod.get("status") or {}, pod["metadata"]
    container = container_status(pod)
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or []}
    running = "running" in (container.get("state") or {})
    restarts = int(container.get("restartCount", 0))
    return Place(
        name=node,
        where=str(pod["spec"].get("nodeName") or ""),
        instance=f"{metadata['uid']}/{restarts}" if running else "",
        ready=conditions.get("Ready") == "True" and "deletionTimestamp" not in metadata,
        restarts=restarts,
        leaving="deletionTimestamp" in metadata,
        address=str(status.get("podIP") or ""),
    )


async def places(api: Api, release: Release) -> Mapping[str, Place]:
    pods = await pods_by_node(api, release)
    return {node: place_of(node, pods.get(node)) for node in release.nodes}


def container_status(pod: Object) -> Object:
    """Of the node's container; empty while it is not created."""
    listed = (pod.get("status") or {}).get("containerStatuses") or []
    return next((dict(one) for one in listed if one["name"] == CONTAINER), {})


async def delete_pod(api: Api, release: Release, node: str) -> str:
    """SIGTERM and the pod's own grace period, then the StatefulSet makes another."""
    pod = await _alive(api, release, node)
    uid = str(pod["metadata"]["uid"])
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
    try:
        await api.delete(release.pod_path(node), options)
    except ApiError as error:
        if error.status != 409:
            raise
        raise Refused(f"Pod {node} was replaced in the instant before it was deleted; nothing was done.") from error
    return f"Deleted pod {node} (UID {uid}) with its own grace period."


async def kill_in_place(api: Api, release: Release, node: str) -> str:
    """SIGKILL to the child of PID 1; the kubelet starts the container again in the same pod."""
    pod = await _alive(api, release, node)
    if "running" not in (container_status(pod).get("state") or {}):
        raise Refused(f"Container {CONTAINER} of pod {node} is not running, so there is nothing to kill.")
    command = ("sh", "-c", KILL_SCRIPT)
    kill = run_in_pod(api, release.namespace, node, CONTAINER, command, KILL_SECONDS_MAX)
    ran = await to_its_end(kill, KILL_SECONDS_MAX)
    # The shell often dies with its container before it can say how it ended: 137, or nothing
    if ran.code not in (0, 137, None) or (ran.code is None and ran.err.strip()):
        raise ChaosError(
            f"The node in pod {node} could not be killed in place: {ran.err.strip() or f'exit code {ran.code}'}. "
            f"See what `raft-chaos doctor` says of PID 1; --mode delete works without it."
        )
    return f"Sent SIGKILL to the node's process in pod {node} (UID {pod['metadata']['uid']})."


async def signal_in_place(api: Api, release: Release, node: str, script: str) -> str:
    """Have the child of PID 1 stand still (STOP_SCRIPT), go on (GO_ON_SCRIPT), or say its state; what was printed."""
    await _alive(api, release, node)
    command = ("sh", "-c", script)
    ran = await to_its_end(
        run_in_pod(api, release.namespace, node, CONTAINER, command, KILL_SECONDS_MAX), KILL_SECONDS_MAX
    )
    if ran.code != 0:
        raise ChaosError(
            f"The node's process in pod {node} could not be signalled: {ran.err.strip() or f'exit code {ran.code}'}. "
            "See what `raft-chaos doctor` says of PID 1."
        )
    return ran.out.strip()


def script_request(release: Release, node: str, script: str) -> str:
    """What running a script in the node's container asks of the API server."""
    return f"exec in container {CONTAINER}, {release.pod_path(node, 'exec')}: sh -c {script!r}"


def kill_request(release: Release, node: str, mode: str) -> str:
    """What the two above ask of the API server."""
    if mode == "delete":
        return (
            f"DELETE {release.pod_path(node)} with preconditions.uid of the pod that is there in that instant "
            "(grace period: the pod's own)"
        )
    return script_request(release, node, KILL_SCRIPT)


async def init_of(api: Api, release: Release, node: str) -> str:
    """The name of PID 1."""
    command = ("sh", "-c", "read -r name < /proc/1/comm && echo $name")
    ran = await run_in_pod(api, release.namespace, node, CONTAINER, command, KILL_SECONDS_MAX)
    return ran.out.strip()


async def _alive(api: Api, release: Release, node: str) -> Object:
    pod = await api.find(release.pod_path(node))
    if pod is None:
        raise Refused(f"There is no pod {node} in namespace {release.namespace}, so there is nothing to kill.")
    if "deletionTimestamp" in pod["metadata"]:
        raise Refused(f"Pod {node} is being deleted already.")
    return pod
