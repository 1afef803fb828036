"""A whole Kubernetes that takes its etcd from outside, by the program that CLUSTER names.

Why it exists: how a Kubernetes is started differs from machine to machine, so the test asks five things of one program:

    CLUSTER up                 start it; its API server's `--etcd-servers` are those in CLUSTER_STORE, which are empty
    CLUSTER env                print lines for a shell that set PATH (kubectl, helm) and KUBECONFIG
    CLUSTER image TAG FOLDER   build the image of that folder's Dockerfile, and put it on every machine of the cluster
    CLUSTER status             exit with 0 where one is up already: that one is somebody's, and is left alone
    CLUSTER down               end it, and leave nothing running
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.kube import background, run, until

VARIABLE = "CLUSTER"
COMMAND_SECONDS_MAX = 900.0
PROXY_SECONDS_MAX = 20.0


def program() -> str:
    """What CLUSTER names; empty: nothing."""
    return os.environ.get(VARIABLE, "")


@contextmanager
def whole_kubernetes(store: Sequence[str]) -> Iterator[float]:
    """It is up, and is what kubectl and helm of this process mean; seconds that took. Down afterwards."""
    up = subprocess.run([program(), "status"], capture_output=True, timeout=COMMAND_SECONDS_MAX)
    assert up.returncode != 0, "a Kubernetes is up already, on a store of its own: end it first with `$CLUSTER down`"
    before = dict(os.environ)
    os.environ |= {"CLUSTER_STORE": ",".join(store), "TZ": "UTC"}
    begin = time.monotonic()
    try:
        run(program(), "up", timeout_s=COMMAND_SECONDS_MAX)
        took = time.monotonic() - begin
        os.environ.update(_environment())
        yield took
    finally:
        os.environ.clear()
        os.environ.update(before)
        run(program(), "down", timeout_s=COMMAND_SECONDS_MAX)


def _environment() -> dict[str, str]:
    """What a shell has after `eval "$(CLUSTER env)"`."""
    said = subprocess.run(
        ["bash", "-c", 'eval "$("$0" env)" && env -0', program()], capture_output=True, text=True, check=True
    ).stdout
    return dict(pair.split("=", 1) for pair in said.split("\0") if pair)


@contextmanager
def proxy(folder: Path) -> Iterator[str]:
    """The URL of the API server without identities or certificates: those of KUBECONFIG are used."""
    output = folder / "proxy"
    with background("kubectl", "proxy", "--port=0", output=output):
        found = until(
            "kubectl proxy", lambda: re.search(r"on (127\.0\.0\.1:\d+)", output.read_text()), PROXY_SECONDS_MAX
        )
        yield f"http://{found[1]}"


def log_of_the_api_server() -> str:
    """What stands beside KUBECONFIG as logs/kube-apiserver.log; empty where that is elsewhere."""
    log = Path(os.environ["KUBECONFIG"]).parent / "logs" / "kube-apiserver.log"
    return log.read_text() if log.exists() else ""


def unready() -> list[str]:
    """The pods that are neither ready nor done, with their namespaces."""
    pods = json.loads(run("kubectl", "get", "pods", "--all-namespaces", "--output=json"))["items"]
    return [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods if not _is_well(pod["status"])]


def _is_well(status: dict[str, object]) -> bool:
    conditions = status.get("conditions") or []
    assert isinstance(conditions, list)
    return status["phase"] == "Succeeded" or any(
        one["type"] == "Ready" and one["status"] == "True" for one in conditions
    )
