"""Argo CD outside of the cluster: its controller and its repo-server run beside the test, for one namespace.

Why it exists: what hooks, waves, differences and self-healing come to is decided by Argo CD's own code, so the tests
ask that. What it deploys: `applications.py`. It must know nothing of Raft.
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.kube import CommandFailed, Namespace, background, run, until
from tests.ports import free_port

CACHED = Path(__file__).parents[2] / ".cache" / "argo-cd"
GROUP = "argoproj.io"
KINDS = ("application", "appproject")
NAMES = [f"customresourcedefinition/{kind}s.{GROUP}" for kind in KINDS]
CLUSTER = "https://kubernetes.default.svc"
START_SECONDS_MAX = 60.0


def argo_folder() -> Path:
    """Where `argo-cd`, of argo_cd.go, and the YAML of Argo CD's kinds are; without them a test is skipped."""
    folder = Path(os.environ.get("ARGO_CD") or CACHED)
    if not (folder / "argo-cd").exists():
        pytest.skip("no Argo CD: `make argo-cd` builds it where Go is")
    return folder


@contextmanager
def kinds(folder: Path) -> Iterator[None]:
    """Its custom resources: known to the API server meanwhile. Where they are known already, they stay."""
    if f"/applications.{GROUP}" in run("kubectl", "get", "customresourcedefinitions", "--output=name"):
        yield
        return
    files = [f"--filename={folder / kind}-crd.yaml" for kind in KINDS]
    try:
        run("kubectl", "apply", "--server-side", *files)
        until("Argo CD's kinds are known", _known, START_SECONDS_MAX)
        yield
    finally:
        run("kubectl", "delete", "--ignore-not-found", *NAMES)


def _known() -> bool:
    """`kubectl wait` fails where a definition that was just made says nothing of itself yet."""
    try:
        run("kubectl", "wait", "--for=condition=Established", *NAMES, "--timeout=10s")
    except CommandFailed:
        return False
    return True


def its_objects(space: Namespace) -> list[dict[str, Any]]:
    """What an installed Argo CD has beside its pods: settings, the default project, and a cluster of one namespace."""
    labels = {"app.kubernetes.io/part-of": "argocd"}

    def secret(name: str, kind: Mapping[str, str], data: Mapping[str, str]) -> dict[str, Any]:
        metadata = {"name": name, "labels": {**labels, **kind}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(data)}

    everything = [{"group": "*", "kind": "*"}]
    project = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    cluster = {"name": "here", "server": CLUSTER, "namespaces": space.name, "clusterResources": "true", "config": "{}"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "labels": labels}},
        secret("argocd-secret", {}, {"server.secretkey": "of nobody: no server runs"}),
        secret("cluster-here", {"argocd.argoproj.io/secret-type": "cluster"}, cluster),
        {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default"},
            "spec": {**project, "clusterResourceWhitelist": everything},
        },
    ]


@contextmanager
def argo_cd(folder: Path, space: Namespace, output: Path) -> Iterator[None]:
    """It runs, as who the kubeconfig says. `output`: a folder for what it prints and keeps."""
    shutil.rmtree(output, ignore_errors=True)
    (output / "tmp").mkdir(parents=True)
    kubeconfig = output / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(run("kubectl", "config", "view", "--raw", "--minify", "--flatten"))
    redis, repo_server, *metrics = (free_port() for _ in range(4))

    def part(name: str, *flags: str) -> tuple[str, ...]:
        environment = {
            "ARGOCD_FAKE_IN_CLUSTER": "true",  # it is outside, and has a kubeconfig
            "ARGOCD_CONTROLLER_SHARD": "0",  # else by the machine's name
            "ARGOCD_GPG_ENABLED": "false",
            **{f"ARGOCD_{what}_PATH": str(output / "tmp") for what in ("TLS_DATA", "SSH_DATA", "GPG_DATA")},
            "ARGOCD_PLUGINSOCKFILEPATH": str(output / "tmp"),
            "TMPDIR": str(output / "tmp"),
            "KUBECONFIG": str(kubeconfig),
        }
        words = (f"{key}={value}" for key, value in environment.items())
        return ("env", *words, str(folder / "argo-cd"), name, *flags, f"--redis=127.0.0.1:{redis}", "--loglevel=info")

    serving = ("--address=127.0.0.1", f"--port={repo_server}", "--metrics-address=127.0.0.1", "--disable-tls")
    asking = (f"--namespace={space.name}", f"--repo-server=127.0.0.1:{repo_server}", "--repo-server-plaintext")
    commands = {
        "redis": (str(folder / "argo-cd"), "redis", f"127.0.0.1:{redis}"),
        "repo-server": part("repo-server", *serving, f"--metrics-port={metrics[0]}"),
        # Nothing by the clock: what is new is refreshed by the tests
        "controller": part("controller", *asking, f"--metrics-port={metrics[1]}", "--app-resync=0"),
    }
    try:
        with ExitStack() as stack:
            space.apply(*its_objects(space))
            for name, command in commands.items():
                stack.enter_context(background(*command, output=output / f"{name}.log"))
                if name != "controller":
                    port = redis if name == "redis" else repo_server
                    until(f"{name} listens", lambda at=port: _listens(at), START_SECONDS_MAX)  # type: ignore[misc]
            yield
    finally:
        kubeconfig.unlink()
        _let_go(space)


def _let_go(space: Namespace) -> None:
    """Of what waits for Argo CD before it can be deleted, in a test that failed."""
    for name in space.kubectl("get", f"applications.{GROUP},jobs", "--output=name").split():
        patch = json.dumps({"metadata": {"finalizers": None}})
        space.kubectl("patch", name, "--type=merge", f"--patch={patch}")


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
