"""The Prometheus Operator outside of the cluster, and a Prometheus inside of it that runs what the operator made.

Why it exists: an operator's own custom resources decide whether a chart's monitors are any good: what the API server
takes by them, what configuration comes of it, and whom a real Prometheus then scrapes. The operator would start
images that are nowhere to be had here, so it makes the configuration alone, and the Prometheus of `make prometheus`
gets it as it would from the operator, but for how it looks into Kubernetes: Debian's was built without that part. It
must know nothing of Raft.
"""

import base64
import gzip
import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.beside import carried, pod, running
from tests.kubernetes.doors import Proxy
from tests.kubernetes.kube import CommandFailed, Namespace, background, run, until
from tests.promtool import program

CACHED = Path(__file__).parents[2] / ".cache" / "operator"
GROUP = "monitoring.coreos.com"
SELECTED = {"release": "prometheus"}
"""The labels by which it selects monitors and rules, as many people's does."""
NAME = "watching"
PORT = 9090
DISCOVERY_PORT = 9091
EVERY = "1s"
DISCOVERY = Path(__file__).with_name("discovery_in_pod.py")
MADE_SECONDS_MAX = 60.0


def operator_folder() -> Path:
    """Where `operator` and the YAML of its kinds are; without them a test is skipped."""
    folder = Path(os.environ.get("PROMETHEUS_OPERATOR") or CACHED)
    if not (folder / "operator").exists():
        pytest.skip("no Prometheus Operator: `make operator` builds it where Go is")
    return folder


@contextmanager
def kinds(folder: Path) -> Iterator[None]:
    """Its custom resources: known to the API server meanwhile. Where they are known already, they stay."""
    files = sorted(folder.glob(f"{GROUP}_*.yaml"))
    names = [f"customresourcedefinition/{file.stem.partition('_')[2]}.{GROUP}" for file in files]
    known = run("kubectl", "get", "customresourcedefinitions", "--output=name")
    if f"/podmonitors.{GROUP}" in known:
        yield
        return
    try:
        run("kubectl", "apply", "--server-side", *(f"--filename={file}" for file in files))
        run("kubectl", "wait", "--for=condition=Established", *names, "--timeout=60s")
        yield
    finally:
        run("kubectl", "delete", "--ignore-not-found", *names)


@contextmanager
def operator(folder: Path, space: Namespace, output: Path) -> Iterator[None]:
    """It runs beside the test, as who the kubeconfig says, for this namespace alone."""
    kubeconfig = output.with_suffix(".kubeconfig")
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(run("kubectl", "config", "view", "--raw", "--minify", "--flatten"))
    command = [
        *("env", f"KUBECONFIG={kubeconfig}", str(folder / "operator"), f"--namespaces={space.name}"),
        "--web.listen-address=127.0.0.1:0",
    ]
    try:
        with background(*command, output=output):
            yield
    finally:
        kubeconfig.unlink()


def prometheus_object() -> dict[str, Any]:
    """What is asked of the operator: a Prometheus of the version that runs here, of which it starts none."""
    version = re.search(r"version (\d+\.\d+\.\d+)", run(program("prometheus"), "--version"))
    assert version is not None
    selectors = ("podMonitorSelector", "serviceMonitorSelector", "ruleSelector")
    spec = {
        **{selector: {"matchLabels": SELECTED} for selector in selectors},
        "replicas": 0,
        "version": f"v{version[1]}",
        "serviceAccountName": NAME,
        "evaluationInterval": EVERY,
        "scrapeInterval": EVERY,
    }
    return {"apiVersion": f"{GROUP}/v1", "kind": "Prometheus", "metadata": {"name": NAME}, "spec": spec}


def account() -> list[dict[str, Any]]:
    """Who Prometheus is: it may look for what it scrapes."""
    api = "rbac.authorization.k8s.io"
    looked_at = {"": ["pods", "services", "endpoints"], "discovery.k8s.io": ["endpointslices"]}
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]}
        for group, resources in looked_at.items()
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}},
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": NAME}, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": api, "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME}],
        },
    ]


class Prometheus:
    """One that runs in a pod of its own."""

    def __init__(self, space: Namespace, proxy: Proxy) -> None:
        self._space, self._proxy = space, proxy

    def ask(self, path: str) -> Any:
        """What its API says; a failure where it refuses, None where it does not answer."""
        answer = self._proxy.ask_at(PORT, self._space.name, NAME, path)
        if answer is None or answer.status in (502, 503, 504):
            return None
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of it now."""
        found = self.ask(f"/api/v1/query?query={urllib.parse.quote(expression, safe='')}")
        return [] if found is None else list(found["result"])

    def targets(self) -> dict[str, str]:
        """By the pod: `up` or what else."""
        found = self.ask("/api/v1/targets?state=active") or {"activeTargets": []}
        return {one["labels"].get("pod", ""): one["health"] for one in found["activeTargets"]}

    def rules(self) -> list[dict[str, Any]]:
        groups = (self.ask("/api/v1/rules") or {"groups": []})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self) -> dict[str, str]:
        """By its name: `pending` or `firing`."""
        found = self.ask("/api/v1/alerts") or {"alerts": []}
        return {one["labels"]["alertname"]: one["state"] for one in found["alerts"]}


@contextmanager
def prometheus(space: Namespace, proxy: Proxy) -> Iterator[Prometheus]:
    """It has the configuration and the rules that the operator made last."""
    rules = f"prometheus-{NAME}-rulefiles-0"
    data = {"prometheus.yaml": yaml.safe_dump(translated(configuration(space)))}
    space.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data})
    mounts = {
        "/config": {"configMap": {"name": NAME}},
        f"/etc/prometheus/rules/{rules}": {"configMap": {"name": rules}},
    }
    flags = ("--config.file=/config/prometheus.yaml", "--storage.tsdb.path=tsdb", f"--web.listen-address=:{PORT}")
    commands = {"prometheus": carried("prometheus", *flags), "discovery": ("python", "-c", DISCOVERY.read_text())}
    found = program("prometheus")
    with running(
        space,
        pod(NAME, commands, PORT, mounts=mounts, account=NAME),
        {"prometheus": Path(shutil.which(found) or found)},
    ):
        yield Prometheus(space, proxy)


def configuration(space: Namespace) -> dict[str, Any]:
    """As the operator made it, with what its sidecar would write into it."""
    data = space.get("secret", f"prometheus-{NAME}")["data"]["prometheus.yaml.gz"]
    text = gzip.decompress(base64.b64decode(data)).decode()
    made: dict[str, Any] = yaml.safe_load(text.replace("$(SHARD)", "0").replace("$(POD_NAME)", NAME))
    return made


def translated(made: dict[str, Any]) -> dict[str, Any]:
    """Where it would look into Kubernetes, it asks `discovery_in_pod`."""
    for scrape in made["scrape_configs"]:
        (looking,) = scrape.pop("kubernetes_sd_configs")
        scrape["http_sd_configs"] = [
            {"url": f"http://127.0.0.1:{DISCOVERY_PORT}/{looking['role']}", "refresh_interval": EVERY}
        ]
    return made


def configured(space: Namespace, job: str) -> None:
    """Wait until the operator has made a configuration with this job, and rules."""

    def made() -> bool:
        try:
            space.get("configmap", f"prometheus-{NAME}-rulefiles-0")
            return [scrape["job_name"] for scrape in configuration(space)["scrape_configs"]] == [job]
        except CommandFailed:
            return False

    until(f"the operator's configuration has the job {job}", made, MADE_SECONDS_MAX, every_s=1.0)
