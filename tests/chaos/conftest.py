"""A real cluster of three for the tests of one module, and the tool to break it with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.local_cluster import LocalCluster, local_cluster
from tests.chaos.raft_chaos import Tool, shorten


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def tool(
    cluster: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Tool:
    shorten(monkeypatch)
    made = Tool(cluster, tmp_path / "runs", capsys)
    made.until_healthy()
    return made
