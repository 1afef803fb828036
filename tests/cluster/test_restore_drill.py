"""The drill of docs/operations.md: a backup of 100,000 keys becomes a cluster again, by init steps as pods run them."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.bare import PATIENT, Bare, bare_nodes
from tests.cluster.harness import WAIT_SECONDS, raft_node
from tests.keeping.gateway import BUCKET, gateway, program
from tests.ports import PEER_PORT_OFFSET, free_base_port

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(240)]

KEYS, KEYS_OF_A_TXN = 100_000, 125
VALUE = b64encode(b"v" * 100).decode()
RESTORE_SECONDS_MAX = 60.0
NAMES = ("n1", "n2", "n3")


async def fill(nodes: Bare) -> None:
    """So many keys, by transactions that clients of etcd can send, some at once."""

    def body(first: int) -> dict[str, Any]:
        keys = (b64encode(b"key-%08d" % number).decode() for number in range(first, first + KEYS_OF_A_TXN))
        return {"success": [{"request_put": {"key": key, "value": VALUE}} for key in keys]}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as http:

        async def put(first: int) -> None:
            url = f"http://127.0.0.1:{nodes.ports['n1']}/v3/kv/txn"
            async with http.post(url, json=body(first)) as answer:
                assert answer.status == 200, await answer.text()

        async with asyncio.TaskGroup() as group:
            for first in range(0, KEYS, KEYS_OF_A_TXN):
                group.create_task(put(first))
    await asyncio.sleep(0)  # let the connector's transports close


def step(file: str, folder: Path, name: str, base_port: int) -> "subprocess.Popen[str]":
    """The init step of one pod."""
    members = ",".join(f"{one}=127.0.0.1:{base_port + PEER_PORT_OFFSET + at}" for at, one in enumerate(NAMES))
    urls = ",".join(f"http://127.0.0.1:{base_port + at}" for at, _ in enumerate(NAMES))
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "node.cli", "restore", file, "--data-dir", str(folder / name)),
            *("--name", name, "--members", members, "--token", "drill", "--once"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RAFT_URLS": urls},
    )


def stepped(file: str, folder: Path, base_port: int) -> list[str]:
    """What the init steps of all pods said, which run side by side."""
    running = [step(file, folder, name, base_port) for name in NAMES]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    return said


def count(nodes: Bare, name: str) -> int:
    url = f"http://127.0.0.1:{nodes.ports[name]}/v3/kv/range"
    request = urllib.request.Request(url, b'{"key":"AA==","range_end":"AA==","count_only":true}', method="POST")
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return int(json.loads(answer.read())["count"])


@contextmanager
def place(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where backups go, as commands name it."""
    if kind == "folder":
        (folder / "kept").mkdir()
        yield f"{folder}/kept/"
        return
    if program() is None:
        pytest.skip("no versitygw, a server that speaks S3: `make s3` builds it where Go is")
    with gateway(folder / "s3") as environment:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}/raft/"


@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.longest)])
async def test_100_000_keys_are_served_again_within_a_minute_and_a_disk_lost_later_is_let_in_anew(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place(kind, tmp_path, monkeypatch) as kept:
        with bare_nodes(tmp_path, 3, *PATIENT) as old:
            await fill(old)
            code, out = await raft_node("backup", f"http://127.0.0.1:{old.ports['n2']}", kept, "--json")
            assert (code, json.loads(out)["keys"]) == (0, KEYS), out
        drill(json.loads(out)["file"], tmp_path / "new")


def drill(file: str, home: Path) -> None:
    """All is lost but that file."""
    base = free_base_port(3)
    home.mkdir()
    began = time.monotonic()
    stepped(file, home, base)
    with bare_nodes(home, 3, "--auto-members", "n*", base_port=base) as nodes:
        assert count(nodes, "n1") == KEYS
        took_s = time.monotonic() - began
        print(f"restored and served: {KEYS} keys in {took_s:.1f} s")
        assert took_s < RESTORE_SECONDS_MAX
        nodes.put("n1", "after", b"1")
        a_pod_that_starts_again_goes_on(nodes, file, home, base)
        a_lost_disk_is_let_in_anew(nodes, file, home, base)


def a_pod_that_starts_again_goes_on(nodes: Bare, file: str, home: Path, base: int) -> None:
    nodes.end("n2")
    again = step(file, home, "n2", base)
    assert "left as it is" in again.communicate()[0]
    nodes.restart("n2")
    assert nodes.ask("n2", "/kv/after")[1] == b"1"


def a_lost_disk_is_let_in_anew(nodes: Bare, file: str, home: Path, base: int) -> None:
    """The init step must not bring the old voter back, which would have forgotten its votes."""
    nodes.end("n3")
    shutil.rmtree(home / "n3")
    nodes.put("n1", "while-away", b"1")
    lost = step(file, home, "n3", base)
    assert "asks to be let in" in lost.communicate()[0]
    nodes.restart("n3")
    voters = {"n1", "n2", "n3"}
    nodes.until(lambda: {one["name"] for one in nodes.status("n3").get("voters", ())} == voters, "n3 votes again")
    nodes.until(lambda: nodes.ask("n3", "/kv/while-away")[1] == b"1", "n3 has caught up")
    assert count(nodes, "n3") == KEYS + 2
