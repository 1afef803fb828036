"""Servers beside a release, in pods of their own: a storage that speaks S3, a Prometheus.

Why it exists: what a release talks to must be where its pods reach it, and no registry is asked for images. Such a pod
has the image under test, which every node of the cluster has already, and is given a program of this machine through
`kubectl exec`. It must know nothing of what the programs do.
"""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.kube import CommandFailed, Namespace
from tests.kubernetes.release import IMAGE_VARIABLE

FOLDER = "/beside"
"""Of the pod's own, to write into, and where its commands begin."""
CARRY_SECONDS_MAX = 120
READY_SECONDS_MAX = 60
_USER = 10001


def pod(
    name: str,
    commands: Mapping[str, Sequence[str]],
    port: int,
    *,
    environment: Mapping[str, str] | None = None,
    mounts: Mapping[str, dict[str, Any]] | None = None,
    account: str = "",
) -> dict[str, Any]:
    """One that the *restricted* standard lets in, ready once the first of its commands listens at `port`. `commands`:
    by the name of their container. `mounts`: volumes by their path. `account`: whose token it has; empty: none."""
    volumes = {FOLDER: {"emptyDir": {}}, **(mounts or {})}
    names = {path: f"v{number}" for number, path in enumerate(volumes)}
    first = next(iter(commands))
    ready = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": READY_SECONDS_MAX}
    containers = [
        {
            "name": container,
            "image": os.environ[IMAGE_VARIABLE],
            "imagePullPolicy": "IfNotPresent",
            "command": list(command),
            "workingDir": FOLDER,
            "env": [{"name": key, "value": value} for key, value in (environment or {}).items()],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": names[path], "mountPath": path} for path in volumes],
            **({"readinessProbe": ready} if container == first else {}),
        }
        for container, command in commands.items()
    ]
    security = {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {
        "containers": containers,
        "volumes": [{"name": names[path], **volume} for path, volume in volumes.items()],
        "securityContext": security,
        "automountServiceAccountToken": bool(account),
        **({"serviceAccountName": account} if account else {}),
        "terminationGracePeriodSeconds": 2,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def carried(program: str, *arguments: str, before: str = "true") -> tuple[str, ...]:
    """The command of a container that waits until `carry` has brought its program, then does `before`, then is it."""
    wait = f"until [ -e {program}.whole ]; do sleep 0.1; done"
    return "sh", "-c", f"{wait}; {before} && exec ./{program} {shlex.join(arguments)}"


def carry(space: Namespace, name: str, container: str, program: Path, known_as: str) -> None:
    """Bring a program of this machine into that container: as a whole, or the failure says what became of it."""
    size = program.stat().st_size
    whole = f"[ $(stat -c %s {known_as}) = {size} ]"
    receive = f"cat > {known_as} && {whole} && chmod 755 {known_as} && touch {known_as}.whole"
    words = space.command("exec", name, "--stdin", f"--container={container}", "--", "sh", "-c", receive)
    with program.open("rb") as given:
        done = subprocess.run(words, stdin=given, capture_output=True, text=True, timeout=CARRY_SECONDS_MAX)
    if done.returncode:
        raise CommandFailed(words, done.returncode, done.stdout + done.stderr)


@contextmanager
def running(space: Namespace, wanted: dict[str, Any], programs: Mapping[str, Path]) -> Iterator[None]:
    """That pod, ready, until it is no more needed. `programs`: by the container that waits for it under that name."""
    name = wanted["metadata"]["name"]
    space.apply(wanted)
    try:
        waiting = "--for=jsonpath={.status.phase}=Running", f"pod/{name}", f"--timeout={READY_SECONDS_MAX}s"
        space.kubectl("wait", *waiting, timeout_s=READY_SECONDS_MAX + 10)
        for container, program in programs.items():
            carry(space, name, container, program, container)
        waiting = "--for=condition=Ready", f"pod/{name}", f"--timeout={READY_SECONDS_MAX}s"
        try:
            space.kubectl("wait", *waiting, timeout_s=READY_SECONDS_MAX + 10)
        except CommandFailed as failed:
            raise AssertionError(f"{failed}\n{space.kubectl('logs', name, '--all-containers')}") from None
        yield
    finally:
        space.kubectl("delete", "pod", name, "--ignore-not-found", "--wait=true")
