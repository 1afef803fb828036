"""With what guards of a rollout are tried: pods by what they are, a voter that is away, and commands that are refused.

Why it exists: each guard (the Job, the API server, the render) is asked the same things. It judges nothing.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.kubernetes.kube import CommandFailed, until
from tests.kubernetes.release import CHART, Release, image_values, is_ready

CHANGED = ("--set", "settings.trace_messages=2048")
"""It rolls every pod."""
OTHERWISE = ("--set", "settings.trace_messages=1024")
WAITING = ("--wait", "--timeout=240s")
HELM_SECONDS_MAX = 260
OVERRIDE = "--no-hooks of helm upgrade and helm rollback"
"""What a refusal of the Job says of how to go on."""


def uids(raft: Release) -> dict[str, str]:
    return {node: pod["metadata"]["uid"] for node, pod in raft.pods().items()}


def deployed(raft: Release) -> str:
    """The revision that runs, as Helm counts; it keeps the last ten."""
    history = json.loads(raft.namespace.helm("history", raft.name, "--output=json"))
    [found] = [str(one["revision"]) for one in history if one["status"] == "deployed"]
    return found


def rollback(raft: Release, *options: str, to: str) -> str:
    return raft.namespace.helm("rollback", raft.name, to, *options, timeout_s=HELM_SECONDS_MAX)


def upgrade(raft: Release, *options: str) -> str:
    """`helm upgrade` that does not wait for pods; what it printed."""
    words = ("upgrade", raft.name, str(CHART), *image_values(), "--set", f"replicaCount={len(raft.nodes)}")
    return raft.namespace.helm(*words, *options, timeout_s=HELM_SECONDS_MAX)


def refusal(begin: Callable[[], object]) -> str:
    """What is said, its line breaks as blanks; a failure where it is not refused."""
    with pytest.raises(CommandFailed) as refused:
        begin()
    return " ".join(refused.value.said.split())


def values_of(raft: Release) -> Any:
    """What the release was given, as Helm keeps it."""
    return json.loads(raft.namespace.helm("get", "values", raft.name, "--output=json"))


@contextmanager
def away(raft: Release, node: str) -> Iterator[None]:
    """The node's process is stopped: its pod stays, and is not ready."""
    raft.signal_in_place(node, "STOP")
    until(f"{node} is not ready", lambda: not is_ready(raft.pod(node)), 60)
    try:
        yield
    finally:
        raft.signal_in_place(node, "CONT")
        raft.ready(node)
