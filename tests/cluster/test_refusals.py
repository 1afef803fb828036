"""What a real node does with what it must not accept: one clear sentence, an exit code, and nothing changed."""

import asyncio
import base64
import hashlib
import json
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node import cures
from tests.cluster.harness import Cluster, running_cluster, standing_cluster, visiting
from tests.ports import free_base_port

pytestmark = pytest.mark.slow

SERVE_SECONDS = 20
SLOW = ("--heartbeat-ms", "100", "--election-timeout-ms", "600-1200")
"""Not about timing: no election disturbs these."""
PATIENT = ("--heartbeat-ms", "100", "--election-timeout-ms", "4000-5000")
REFUSED_SECONDS = 3.0
"""Less than the leader leads on without its followers."""


async def _serve(*arguments: str) -> tuple[int | None, str]:
    """`raft-node serve`, which is expected to refuse: its exit code and what it said."""
    command = (sys.executable, "-m", "node.cli", "serve", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), SERVE_SECONDS)
    return process.returncode, said.decode()


def _arguments(data_dir: Path, name: str = "n1") -> list[str]:
    base = free_base_port(3)
    seeds = ",".join(f"n{number}=127.0.0.1:{base + number}" for number in (1, 2, 3))
    return ["--name", name, "--seeds", seeds, "--data-dir", str(data_dir), "--port", str(base)]


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a cluster of three that these tests do no harm to."""
    with standing_cluster(tmp_path_factory.mktemp("standing"), 3, *SLOW) as folder:
        yield folder


@pytest.fixture
async def cluster(standing: Path) -> AsyncIterator[Cluster]:
    async with visiting(standing) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a cluster of three that was written to and stopped."""

    async def write(folder: Path) -> None:
        async with visiting(folder) as cluster:
            for number in range(20):
                async with cluster.http.put(f"{cluster.url('n1')}/kv/key-{number}", data=b"x" * 100) as answer:
                    assert answer.status == 200
            await cluster.all_applied()

    with standing_cluster(tmp_path_factory.mktemp("stopped"), 3, *SLOW) as folder:
        asyncio.run(write(folder))
    return folder / "data"


@pytest.fixture
def written(stopped: Path, tmp_path: Path) -> Path:
    """A copy of them for one test to spoil."""
    shutil.copytree(stopped, tmp_path / "data")
    return tmp_path / "data"


async def test_a_damaged_log_is_refused_with_exit_code_3_and_left_as_it_is(written: Path) -> None:
    data = written / "n1" / "data"
    segment = next(data.glob("segment-*.wal"))
    content = bytearray(segment.read_bytes())
    content[700] ^= 0x10
    segment.write_bytes(content)
    before = _digest(data)
    code, said = await _serve(*_arguments(data))
    assert code == 3, said
    sentence = said.strip().splitlines()[-1]
    assert str(segment) in sentence
    assert "byte " in sentence
    assert cures.MEMBER_LOST in sentence
    assert "Traceback" not in said
    assert _digest(data) == before


async def test_another_nodes_folder_and_another_clusters_file_are_refused(written: Path, standing: Path) -> None:
    before = _digest(written / "n2" / "data")
    code, said = await _serve(*_arguments(written / "n2" / "data", "n1"))
    assert code == 3, said
    assert "n2" in said
    assert _digest(written / "n2" / "data") == before

    mixed = written / "n1" / "data"
    last = sorted(mixed.glob("segment-*.wal"))[-1]
    following = f"segment-{int(last.stem.split('-')[1]) + 1:08d}.wal"
    shutil.copy(next((standing / "data" / "n1" / "data").glob("segment-*.wal")), mixed / following)
    before = _digest(mixed)
    code, said = await _serve(*_arguments(mixed))
    assert code == 3, said
    assert following in said
    assert _digest(mixed) == before


async def test_a_folder_has_one_process_at_a_time(cluster: Cluster) -> None:
    code, said = await _serve(*_arguments(cluster.folder / "data" / "n1" / "data"))
    assert code == 3, said
    assert f"process {cluster.nodes['n1']['pid']}" in said


async def test_a_port_in_use_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    port = cluster.url("n2").rsplit(":", 1)[1]
    code, said = await _serve(*_arguments(tmp_path / "lonely"), "--port", port)
    assert code == 2, said
    assert f"127.0.0.1:{port}" in said
    assert "Traceback" not in said


@pytest.mark.slowest
async def test_a_log_that_fills_refuses_writes_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not committed cannot be compacted: without the others, 78 of these fill what is not kept for shorter
    ones. They are short enough not to wait at the door."""
    monkeypatch.setenv("RAFT_MAX_LOG_BYTES", str(4 * 1024 * 1024))
    async with running_cluster(tmp_path, 3, *PATIENT) as cluster:
        leader = await cluster.leader()
        others = [name for name in cluster.nodes if name != leader]
        url, value = cluster.url(leader), b"v" * 40_000
        for name in others:
            cluster.signal(name, signal.SIGSTOP)
        try:
            asked = [asyncio.create_task(_put(cluster.http, f"{url}/kv/x", value)) for _ in range(85)]
            done, _ = await asyncio.wait(asked, timeout=REFUSED_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            short = asyncio.create_task(_put(cluster.http, f"{url}/kv/short", b"v"))
            body = json.dumps({"key": "eA==", "value": base64.b64encode(value).decode()})
            async with cluster.http.post(f"{url}/v3/kv/put", data=body) as answer:
                of_v3 = answer.status, await answer.json()
        finally:
            for name in others:
                cluster.signal(name, signal.SIGCONT)
        status, said = done.pop().result()
        assert status == 507
        assert "max_log_bytes" in said["message"]
        assert of_v3 == (429, {"code": 8, "message": f"etcdserver: {said['message']}"}), "of the log, not of the store"
        assert (await short)[0] == 200, "there is room for it yet"
        assert Counter([(await task)[0] for task in asked]) == {200: 78, 507: 7}
        async with cluster.http.get(f"{url}/kv/x") as answer:
            assert (answer.status, await answer.read()) == (200, value)
        statuses = []
        while 200 not in statuses:  # pytest's timeout ends it: a snapshot makes room, and nobody asks for one
            statuses.append((await _put(cluster.http, f"{url}/kv/x", value))[0])
        assert set(statuses) <= {200, 507}


async def test_garbage_on_the_peer_port_harms_nobody(cluster: Cluster) -> None:
    before = await cluster.statuses()
    for name, node in cluster.nodes.items():
        host, port = node["peer"].rsplit(":", 1)
        for garbage in (b"\x00" * 5000, b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 70_000, bytes(range(256)) * 40):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage)
            try:
                await asyncio.wait_for(reader.read(), SERVE_SECONDS)
            except ConnectionError:
                pass
            finally:
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        assert await cluster.status(name) is not None
    after = await cluster.statuses()
    assert {n: (s["boot"], s["term"]) for n, s in after.items()} == {
        n: (s["boot"], s["term"]) for n, s in before.items()
    }


async def test_a_foreign_host_or_origin_changes_nothing(cluster: Cluster) -> None:
    url = cluster.url("n1")
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        async with cluster.http.put(f"{url}/kv/x", data=b"1", headers=headers) as answer:
            assert answer.status == 403, headers
    async with cluster.http.get(f"{url}/kv/x") as answer:
        assert answer.status == 404
    async with cluster.http.put(f"{url}/kv/x", data=b"1", headers={"Origin": url}) as answer:
        assert answer.status == 200


async def _put(http: aiohttp.ClientSession, url: str, value: bytes) -> tuple[int, dict[str, Any]]:
    async with http.put(url, data=value) as answer:
        return answer.status, dict(await answer.json())
