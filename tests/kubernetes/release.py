"""A release of the chart under test: installed as a person installs it, watched from outside, removed with its volumes.

Why it exists: every test begins with "three nodes, one leader" and must end with nothing left. What it knows of the
product is the chart's names and `/status`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.doors import Proxy
from tests.kubernetes.kube import POLL_SECONDS, CommandFailed, Namespace, until

CHART = Path(__file__).parents[2] / "deploy" / "helm"
INSTALL_SECONDS_MAX = 240
HEALTHY_SECONDS_MAX = 120.0
IMAGE_VARIABLE = "IMAGE"
LOG_LINES_SHOWN = 40


def image_values() -> list[str]:
    """Helm's flags for the image under test."""
    repository, colon, tag = os.environ.get(IMAGE_VARIABLE, "").rpartition(":")
    if not colon or "/" in tag:
        raise AssertionError(f"{IMAGE_VARIABLE} must name the image with its tag, such as raft:dev")
    return ["--set", f"image.repository={repository}", "--set", f"image.tag={tag}"]


def nothing() -> None:
    """What is done meanwhile where nothing is."""


class Release:
    """One installed release. Use `release` or `install`."""

    def __init__(self, namespace: Namespace, name: str, proxy: Proxy, nodes: int = 3) -> None:
        self.namespace = namespace
        self.name = name
        self.fullname = name if "raft" in name else f"{name}-raft"
        self.nodes = [f"{self.fullname}-{ordinal}" for ordinal in range(nodes)]
        self.selector = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=node"
        self.values = (*image_values(), "--set", f"replicaCount={nodes}")
        self._proxy = proxy

    def install(self, *options: str, wait: bool = True) -> None:
        waiting = ("--wait", f"--timeout={INSTALL_SECONDS_MAX}s") if wait else ()
        words = ("install", self.name, str(CHART), *self.values, *waiting, *options)
        self.namespace.helm(*words, timeout_s=INSTALL_SECONDS_MAX + 20)

    def upgrade(self, *options: str, meanwhile: Callable[[], None] = nothing) -> None:
        """Wait until every pod runs what was asked for; `meanwhile` is called again and again."""
        words = ("upgrade", self.name, str(CHART), *self.values, "--wait", f"--timeout={INSTALL_SECONDS_MAX}s")
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.namespace.helm, *words, *options, timeout_s=INSTALL_SECONDS_MAX + 20)
            while not done.done():
                meanwhile()
                time.sleep(POLL_SECONDS)
            done.result()

    def remove(self) -> None:
        """Uninstall it, and take its volumes as well."""
        self.namespace.helm("uninstall", self.name, "--ignore-not-found", "--wait", "--timeout=120s", timeout_s=140)
        self.namespace.kubectl("delete", "pvc", f"--selector=app.kubernetes.io/instance={self.name}", "--wait=false")

    def pods(self) -> dict[str, dict[str, Any]]:
        """By name: the objects of the nodes' pods as the API server has them now."""
        items = self.namespace.get("pods", f"--selector={self.selector}")["items"]
        return {pod["metadata"]["name"]: pod for pod in items}

    def pod(self, name: str) -> dict[str, Any]:
        return self.namespace.get("pod", name)

    def ask(self, node: str, path: str, method: str = "GET", body: bytes | None = None) -> Any:
        """The JSON that a node answers, None where it does not (or not with 200)."""
        answer = self._proxy.ask(self.namespace.name, node, path, method, body)
        return answer.json() if answer is not None and answer.status == 200 else None

    def value(self, node: str, key: str, query: str = "") -> bytes | None:
        """Read a key through this node; None where there is none. Anything else but 200 is a failure."""
        answer = self._proxy.ask(self.namespace.name, node, f"/kv/{key}{query}")
        assert answer is not None, f"{node} does not answer"
        assert answer.status in (200, 404), (node, key, answer.status, answer.body)
        return answer.body if answer.status == 200 else None

    def write(self, node: str, key: str, value: str) -> int:
        """Write through this node; the revision."""
        answer = self._proxy.ask(self.namespace.name, node, f"/kv/{key}", "PUT", value.encode())
        assert answer is not None, f"{node} does not answer"
        assert answer.status == 200, (node, key, answer.status, answer.body)
        return int(answer.json()["revision"])

    def statuses(self, nodes: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """`/status` of every node that answers."""
        asked = {node: self.ask(node, "/status") for node in nodes or self.nodes}
        return {node: status for node, status in asked.items() if status is not None}

    def agreed_leader(self, nodes: Sequence[str] = ()) -> str | None:
        """Whom all of these nodes (all) follow in one and the same term, if they do and it says so itself."""
        statuses = self.statuses(nodes)
        views = {(status["term"], status["leader"]) for status in statuses.values()}
        leaders = [node for node, status in statuses.items() if status["role"] == "leader"]
        if len(statuses) < len(nodes or self.nodes) or len(views) != 1 or len(leaders) != 1:
            return None
        return leaders[0] if views.pop()[1] == leaders[0] else None

    def leader(self, nodes: Sequence[str] = (), within_s: float = HEALTHY_SECONDS_MAX) -> str:
        """Wait until these nodes (all) follow one leader; its name."""
        try:
            return until(f"one leader of {nodes or self.nodes}", lambda: self.agreed_leader(nodes), within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.statuses(nodes)}") from None

    def rolled_out(self) -> None:
        """Wait until every pod is ready and as it was asked for last."""
        wait = ("rollout", "status", f"statefulset/{self.fullname}", f"--timeout={HEALTHY_SECONDS_MAX:.0f}s")
        self.namespace.kubectl(*wait, timeout_s=HEALTHY_SECONDS_MAX + 10)

    def healthy(self) -> str:
        """Wait until every pod is ready and every node has applied what one had; the leader's name."""
        self.rolled_out()
        leader = self.leader()
        reached = until("every node says what it applied", self._most_applied, HEALTHY_SECONDS_MAX)
        until("every node applied what one had", lambda: self._applied(reached), HEALTHY_SECONDS_MAX)
        return leader

    def followers(self) -> list[str]:
        leader = self.leader()
        return [node for node in self.nodes if node != leader]

    def ready(self, node: str, within_s: float = HEALTHY_SECONDS_MAX) -> None:
        """Wait until there is a pod of this name and it is ready (`kubectl wait` ends when the pod is replaced)."""
        until(f"{node} is ready", lambda: self._is_ready(node), within_s)

    def new_pod(self, node: str, old_uid: str, within_s: float = HEALTHY_SECONDS_MAX) -> dict[str, Any]:
        """Wait until the pod was replaced and has an address; the new one."""

        def replaced() -> dict[str, Any] | None:
            pod = self.pods().get(node)
            return pod if pod and pod["metadata"]["uid"] != old_uid and pod["status"].get("podIP") else None

        return until(f"{node} is another pod with an address", replaced, within_s, every_s=0.1)

    def linked(self, node: str) -> bool:
        """Whether all others have a link to this node that is up."""
        others = [other for other in self.nodes if other != node]
        peers = [peer for status in self.statuses(others).values() for peer in status["peers"] if peer["name"] == node]
        return len(peers) == len(others) and all(peer["link_up"] for peer in peers)

    def signal_in_place(self, node: str, signal: str) -> None:
        """To the node's process, the child of the container's init: KILL ends the container, and it runs again."""
        kill = f"kill -{signal} $(cat /proc/1/task/1/children)"
        self.namespace.kubectl("exec", node, "--container=node", "--", "sh", "-c", kill, timeout_s=20)

    def kill_in_place(self, node: str) -> None:
        """SIGKILL to the node's process."""
        try:
            self.signal_in_place(node, "KILL")
        except CommandFailed as failed:
            if "137" not in failed.said:  # the shell dies with its container, and that is the purpose
                raise

    def restarts(self, node: str) -> int:
        """How often this pod's container was started again."""
        return int(self.pod(node)["status"]["containerStatuses"][0]["restartCount"])

    @staticmethod
    def now() -> float:
        """Seconds of a clock for durations."""
        return time.monotonic()

    def _is_ready(self, node: str) -> bool:
        pod = self.pods().get(node)
        return pod is not None and is_ready(pod)

    def _most_applied(self) -> int | None:
        applied = [int(status["applied"]) for status in self.statuses().values()]
        return max(applied) if len(applied) == len(self.nodes) else None

    def _applied(self, index: int) -> bool:
        """Whether all are there. Under load no two ever have applied the same when they are asked."""
        statuses = self.statuses().values()
        return len(statuses) == len(self.nodes) and all(status["applied"] >= index for status in statuses)

    def describe(self) -> str:
        """All that helps to understand a failure."""
        asked = (
            ("get", "pods,pvc,endpoints", "--output=wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            *(("logs", node, f"--tail={LOG_LINES_SHOWN}") for node in self.nodes),
        )
        return "\n".join(f"$ kubectl {' '.join(words)}\n{self._said(words)}" for words in asked)

    def _said(self, words: tuple[str, ...]) -> str:
        try:
            return self.namespace.kubectl(*words)
        except CommandFailed as failed:
            return str(failed)


def is_ready(pod: dict[str, Any]) -> bool:
    """Ready, and not on its way out."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


@contextmanager
def release(
    namespace: Namespace, proxy: Proxy, *options: str, name: str = "raft", wait: bool = True, nodes: int = 3
) -> Iterator[Release]:
    """`helm install`, and `helm uninstall` with the volumes afterwards; a failure shows pods, events and logs."""
    made = Release(namespace, name, proxy, nodes)
    try:
        made.install(*options, wait=wait)
        yield made
    except BaseException:
        print(f"at {time.strftime('%H:%M:%S')}:\n{made.describe()}", file=sys.stderr)
        raise
    finally:
        made.remove()
