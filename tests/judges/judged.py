"""Three of our nodes with an API server on them, and what must hold of both at the end of every test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, running_cluster
from tests.judges.apiserver import Api, Programs, programs, running_apiserver
from tests.judges.applying import DEFINITION, GROUP
from tests.judges.comparing import agree
from tests.judges.verdicts import Window, lines, storage_errors

FOUND = programs()
WHY_NOT = FOUND if isinstance(FOUND, str) else ""
"""Why the tests that need an API server are skipped; empty: they are not."""

SPACE = "judged"
PROGRESS_MS = 5000
"""As Kubernetes sets an etcd of its own (kubeadm: `--watch-progress-notify-interval=5s`). A watch of what never changes
is to know how far it has come, or it finds its place compacted when it goes on at another node."""


@asynccontextmanager
async def judged(folder: Path) -> AsyncIterator[tuple[Cluster, Api]]:
    """Three nodes, and an API server on them that has a namespace to work in and a kind of objects of ours."""
    nodes = folder / "nodes"
    nodes.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAFT_WATCH_PROGRESS_MS", str(PROGRESS_MS))
        async with running_cluster(nodes, 3) as cluster, _ready(cluster, folder / "kube") as api:
            yield cluster, api


@asynccontextmanager
async def _ready(cluster: Cluster, home: Path) -> AsyncIterator[Api]:
    assert isinstance(FOUND, Programs)
    urls = [cluster.url(name) for name in cluster.nodes]
    async with running_apiserver(FOUND, home, urls) as api:
        await api.did("create", "namespace", SPACE)
        await api.did("apply", "-f", "-", given=DEFINITION)
        await api.did("wait", "--for=condition=Established", f"crd/verdicts.{GROUP}", "--timeout=30s")
        yield api


async def everything_agrees(cluster: Cluster, api: Api) -> int:
    """Number of objects: store, consistent list and watch cache hold every one of them, and nothing else."""
    objects, keys = await agree(api, cluster.http, [cluster.url(name) for name in cluster.nodes])
    for one in keys:
        if one.key.startswith("/registry/configmaps/"):
            assert one.value.startswith(b"k8s\0"), f"{one.key} is not what Kubernetes writes: {one.value[:20]!r}"
    return objects


def log_is_clean(api: Api, windows: list[Window]) -> None:
    """Of its store the log says nothing bad that the times in which a node was away do not excuse."""
    wrong = storage_errors(lines(api.log.read_text(), datetime.now(UTC).year), windows)
    assert not wrong, f"{len(wrong)} lines of the API server's log that nothing excuses:\n" + "\n".join(wrong[:20])
