"""A whole Kubernetes keeps its state in three of our nodes: pods run, and run on when the leader of its store dies.

CLUSTER names the program that starts it (see whole.py); docs/kubernetes-on-raft.md tells the same by hand.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.harness import standing_cluster
from tests.judges.apiserver import Api
from tests.judges.comparing import agree
from tests.judges.judged import PROGRESS_MS
from tests.judges.verdicts import Window, lines, storage_errors
from tests.judges.weighing import Program, node_metrics, weigh
from tests.judges.whole import VARIABLE, log_of_the_api_server, program, proxy, unready, whole_kubernetes
from tests.kubernetes.chaos_tool import Tool
from tests.kubernetes.kube import Namespace, run, until

pytestmark = [
    pytest.mark.skipif(
        not program(), reason=f"{VARIABLE} names no program that starts a Kubernetes: see tests/judges/whole.py"
    ),
    pytest.mark.timeout(2400),
]

ROOT = Path(__file__).parents[2]
IMAGE, TAG = "raft", "judged"
SPACE = Namespace("judged")
REST_SECONDS = float(os.environ.get("REST_SECONDS", "60"))
INSTALL_SECONDS_MAX = 240
WELL_SECONDS_MAX = 120.0
GRACE_SECONDS = 30.0
"""After the node is back, the API server's client may still wait to dial it again, and say so."""
KILL = ("kill-leader", "--mode", "sigkill", "--times", "2", "--within", "90s", "--yes", "--namespace", SPACE.name)


class Store:
    """The three nodes, as a person at this machine sees them: cluster.json, signals and `raft-node start`."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return list(json.loads((self.data / "cluster.json").read_bytes())["nodes"])

    @property
    def urls(self) -> list[str]:
        return [str(node["url"]) for node in self.nodes]

    def programs(self) -> list[Program]:
        return [Program(node["name"], int(node["pid"]), Path(node["data_dir"])) for node in self.nodes]

    def leader(self) -> dict[str, Any]:
        said = json.loads(run(sys.executable, "-m", "node.cli", "status", "--json", "--data-dir", str(self.data)))
        (leads,) = [one["id"] for one in said["nodes"] if one["role"] == "leader"]
        return next(node for node in self.nodes if node["name"] == leads)

    def kill_leader_and_start_it_again(self) -> str:
        victim = self.leader()
        os.kill(int(victim["pid"]), signal.SIGKILL)
        until("the leader is gone", lambda: not self._pid(victim["name"]), WELL_SECONDS_MAX)
        run(sys.executable, "-m", "node.cli", "start", victim["name"], "--data-dir", str(self.data))
        return str(victim["name"])

    def _pid(self, name: str) -> int:
        return int(next(node["pid"] for node in self.nodes if node["name"] == name) or 0)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Print how long it took."""
    begin = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begin:.1f} s", flush=True)


def test_a_whole_kubernetes_outlives_the_leader_of_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFT_WATCH_PROGRESS_MS", str(PROGRESS_MS))
    with standing_cluster(tmp_path, 3) as folder:
        store = Store(folder)
        with whole_kubernetes(store.urls) as took_s:
            print(f"\nup: {took_s:.1f} s", flush=True)
            _install()
            _weigh(store, "at rest")
            with proxy(tmp_path) as api:
                asyncio.run(_everything_agrees(api, tmp_path, store.urls))
                window = _break(store, tmp_path)
                _works_as_before()
                asyncio.run(_everything_agrees(api, tmp_path, store.urls))
            _weigh(store, "at rest, at the end")
            wrong = storage_errors(lines(log_of_the_api_server(), datetime.now(UTC).year), [window])
            assert not wrong, "\n".join(wrong[:20])


def _install() -> None:
    with told("the image on every machine"):
        run(program(), "image", f"{IMAGE}:{TAG}", str(ROOT), timeout_s=900)
    run("kubectl", "create", "namespace", SPACE.name)
    values = ("--set", f"image.repository={IMAGE}", "--set", f"image.tag={TAG}", "--wait")
    with told("helm install --wait"):
        SPACE.helm("install", "raft", str(ROOT / "deploy" / "helm"), *values, timeout_s=INSTALL_SECONDS_MAX)


def _weigh(store: Store, when: str) -> None:
    lines = weigh(store.programs(), REST_SECONDS, lambda: run("kubectl", "get", "--raw", "/metrics"))
    lines += [f"{node['name']}: {node_metrics(node['url'])}" for node in store.nodes]
    print(f"{when}, {store.leader()['name']} leads:", *lines, sep="\n  ", flush=True)


def _break(store: Store, folder: Path) -> Window:
    """The nodes in Kubernetes lose their leader, twice, and Kubernetes loses the leader of its store meanwhile."""
    tool = Tool(Path(os.environ["KUBECONFIG"]), folder / "chaos")
    with tool.breaking(*KILL, says="led term") as kills:
        begin = time.time()
        print(f"{store.kill_leader_and_start_it_again()} was killed and started again", flush=True)
        window = Window(begin, time.time() + GRACE_SECONDS)
        assert kills.ends() == 0, kills.output
    print(kills.output, flush=True)
    verdicts = json.loads((tool.runs()[-1] / "run.json").read_bytes())["verdicts"]
    lost = [one for one in verdicts if one["check"] == "acknowledged-writes-survive"]
    assert [one["outcome"] for one in lost] == ["pass"], verdicts
    return window


def _works_as_before() -> None:
    """Every pod is ready, and a new Deployment gets its pods."""
    with told("every pod ready"):
        until("every pod ready", lambda: not unready(), WELL_SECONDS_MAX)
    container = {
        "name": "sleeps",
        "image": f"{IMAGE}:{TAG}",
        "command": ["python", "-c", "import time; time.sleep(9999)"],
    }
    labels = {"app": "after"}
    SPACE.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "after"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
    )
    with told("a new Deployment of three"):
        SPACE.kubectl("rollout", "status", "deployment/after", f"--timeout={WELL_SECONDS_MAX:.0f}s")


async def _everything_agrees(url: str, folder: Path, nodes: list[str]) -> None:
    async with aiohttp.ClientSession() as http:
        objects, _ = await agree(Api(folder, "kubectl", url, http), http, nodes)
    print(f"{objects} objects alike in store, consistent list and watch cache", flush=True)
    await asyncio.sleep(0)  # let the connector's transports close
