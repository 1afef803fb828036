"""Starts `load.py` in a pod, follows what it prints, and stops it.

Why it exists: the tests break things while the load runs and must know that it runs, and all that it was told.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.kubernetes.figures import figure
from tests.kubernetes.kube import background, until
from tests.kubernetes.oracle import Line
from tests.kubernetes.release import Release
from tests.tls.certificates import Mounted

SCRIPT = Path(__file__).with_name("load.py")
CERTIFICATES = "/certificates"
START_SECONDS_MAX = 90.0
PROGRESS_SECONDS_MAX = 90.0
END_SECONDS_MAX = 60.0
MOUNTED_SECONDS_MAX = 150.0
"""For a Secret's new contents."""

_RUNS = count(1)


def looked_at(release: Release, *pods: str) -> None:
    """A kubelet looks at the Secrets of a pod when the pod has changed; else within two minutes."""
    release.namespace.kubectl("annotate", "pods", *pods, f"seen={release.now()}", "--overwrite")


class Load:
    """A load that runs. `lines`: all that it printed so far."""

    def __init__(self, release: Release, pod: str, printed: Path) -> None:
        self._release = release
        self._pod = pod
        self._printed = printed

    @property
    def lines(self) -> list[Line]:
        """Of operations."""
        return [line for line in self._said() if line["op"] in ("put", "get")]

    @property
    def stood(self) -> list[Line]:
        """When the load itself stood still."""
        return [line for line in self._said() if line["op"] == "stood"]

    def takes_up(self, files: Mounted) -> None:
        """Wait until it trusts and shows what its Secret holds now, these files; it began with others."""
        paths = {"ca": files.ca, "cert": files.cert}
        wanted = {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in paths.items()}

        def done() -> bool:
            looked_at(self._release, self._pod)
            return {"op": "tls", **wanted} in [line for line in self._said() if line["op"] == "tls"][-1:]

        until("the load has taken up its certificates", done, MOUNTED_SECONDS_MAX, every_s=1.0)

    def count(self, outcome: str, op: str = "put") -> int:
        return sum(1 for line in self.lines if line["op"] == op and line["outcome"] == outcome)

    def more_acknowledged(self, more: int, within_s: float = PROGRESS_SECONDS_MAX) -> None:
        """Wait until so many more writes were acknowledged."""
        goal = self.count("acknowledged") + more

        def reached() -> bool:
            return self.count("acknowledged") >= goal

        try:
            until(f"{more} more acknowledged writes", reached, within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the load's last lines: {self.lines[-5:]}") from None

    def stop(self) -> list[Line]:
        """Let every writer end its operation; all lines, none of them lost on the way."""
        self._release.namespace.kubectl("exec", self._pod, "--", "sh", "-c", "kill -TERM 1")
        end = until("the load's last line", self._end, END_SECONDS_MAX)
        lines = self.lines
        assert len(lines) == end["operations"], f"{end['operations']} operations, and {len(lines)} lines of them"
        if self.stood:
            figure("the load itself stood still: longest", max(line["ms"] for line in self.stood) / 1000, "s")
        return lines

    def _end(self) -> Line | None:
        return next((line for line in self._said() if line["op"] == "end"), None)

    def _said(self) -> list[Line]:
        whole, _, _ = self._printed.read_text().rpartition("\n")  # what follows is on its way
        return [_parsed(line) for line in whole.splitlines()]


@contextmanager
def load(
    release: Release, folder: Path, endpoints: Sequence[str] = (), name: str = "load", secret: str = "", **options: int
) -> Iterator[Load]:
    """A load through these `host:port` (the client Service), running with the first write acknowledged.

    `options`: those of `load.py`, such as `writers=8`. `secret`: of a client's certificate; with one, all is TLS. No
    other load of this run has the same keys.
    """
    namespace = release.namespace
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"load.py": SCRIPT.read_text()},
    }
    words = ["--endpoints", ",".join(endpoints or service(release)), "--prefix", f"{name}-{next(_RUNS)}-"]
    words += ["--tls", CERTIFICATES] if secret else []
    for option, value in options.items():
        words += [f"--{option.replace('_', '-')}", str(value)]
    image = next(iter(release.pods().values()))["spec"]["containers"][0]["image"]
    printed = folder / f"{name}.ndjson"
    namespace.apply(script, _pod(name, image, words, secret))
    try:
        pod = f"pod/{name}"
        namespace.kubectl("wait", "--for=condition=Ready", pod, f"--timeout={START_SECONDS_MAX:.0f}s")
        with background(*namespace.command("logs", "--follow", pod), output=printed):
            running = Load(release, name, printed)
            running.more_acknowledged(1)
            yield running
    finally:
        namespace.kubectl("delete", f"pod/{name}", f"configmap/{name}", "--ignore-not-found", "--grace-period=1")


def service(release: Release) -> list[str]:
    """The client Service, as programs in the cluster name it."""
    return [f"{release.fullname}.{release.namespace.name}.svc:8001"]


def every_pod(release: Release) -> list[str]:
    """Each node by its own name."""
    domain = f"{release.fullname}-headless.{release.namespace.name}.svc"
    return [f"{node}.{domain}:8001" for node in release.nodes]


def _parsed(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        raise AssertionError(f"the load says: {line}") from None


def _pod(name: str, image: str, words: list[str], secret: str) -> dict[str, Any]:
    mounted = [{"name": "tls", "mountPath": CERTIFICATES, "readOnly": True}] if secret else []
    volumes = [{"name": "tls", "secret": {"secretName": secret}}] if secret else []
    container = {
        "name": "load",
        "image": image,
        "command": ["python", "/load/load.py", *words],
        "volumeMounts": [{"name": "script", "mountPath": "/load", "readOnly": True}, *mounted],
        # As much as a node asks for: with less it is the first that stands still where processors are few
        "resources": {"requests": {"cpu": "250m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "raft-load"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "script", "configMap": {"name": name}}, *volumes],
        },
    }
