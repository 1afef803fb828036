"""What holds a node's loop shows, and hundreds of readers do not hold it for long enough to cost a leader."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.bare import Bare, bare_nodes

pytestmark = pytest.mark.slow

READERS = 256
READING_SECONDS = 2.0
RANGE = b'{"key":"a2V5","serializable":true}'
REQUEST = (
    b"POST /v3/kv/range HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(RANGE), RANGE)
)


def test_a_process_that_was_stopped_says_so_afterwards(tmp_path: Path) -> None:
    with bare_nodes(tmp_path, 1, "--leave-wait-ms", "0") as nodes:
        process = nodes.processes["n1"]
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)  # the duration is what is tested
        process.send_signal(signal.SIGCONT)

        def told() -> dict[str, object]:
            stalls = json.loads(nodes.ask("n1", "/stats")[1])["stalls"]
            return dict(stalls["longest"] or {})

        longest = nodes.until(lambda: told() if told().get("ms", 0) > 400 else None, "the stall is told")  # type: ignore[operator]
        assert (longest["doing"], longest["own"]) == ("nothing", False)
        assert nodes.metric("n1", 'raft_loop_stalls_total{doing="nothing",own="false"}') >= 1
        first = nodes.until(lambda: _logged(tmp_path / "n1.log"), "the stall is a line of the log")
        assert first["level"] == "WARNING"
        assert "the process was stopped, or the machine had no time for it" in first["message"]


def _logged(log: Path) -> dict[str, Any]:
    """The first line of a long stall, which may wait for a second after another one; empty: none yet."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    found = [line for line in lines if line.get("kind") == "stalled" and line["detail"]["ms"] > 400]
    return dict(found[0]) if found else {}


class Reader(asyncio.Protocol):
    """Asks again as soon as it is answered."""

    def __init__(self) -> None:
        self.answers = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.answers += 1
        if self.transport is not None:
            self.transport.write(REQUEST)


async def read(port: int) -> int:
    """How many answers that many readers had."""
    loop = asyncio.get_running_loop()
    readers = [(await loop.create_connection(Reader, "127.0.0.1", port))[1] for _ in range(READERS)]
    await asyncio.sleep(READING_SECONDS)
    for reader in readers:
        if reader.transport is not None:
            reader.transport.abort()
    await asyncio.sleep(0)
    return sum(reader.answers for reader in readers)


@pytest.mark.slowest
def test_hundreds_of_stale_readers_cost_no_leader(tmp_path: Path) -> None:
    with bare_nodes(tmp_path, 3, "--leave-wait-ms", "0") as nodes:
        leader = nodes.until(nodes.leader, "one leader")
        nodes.put(leader, "key", b"v")
        term = nodes.status(leader)["term"]
        answers = asyncio.run(read(nodes.ports[leader]))
        assert answers > READERS
        own = _own_stalls(nodes, leader)
        assert own == 0, "no turn was held by work for half an election timeout"
        if not _machine_stalls(nodes, leader):  # where the machine itself stood still, an election is its doing
            assert nodes.status(leader)["term"] == term


def _own_stalls(nodes: Bare, name: str) -> float:
    return _stalls(nodes, name, "true")


def _machine_stalls(nodes: Bare, name: str) -> float:
    return _stalls(nodes, name, "false")


def _stalls(nodes: Bare, name: str, own: str) -> float:
    lines = nodes.ask(name, "/metrics", timeout_s=10)[1].decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("raft_loop_stalls_total") and f'own="{own}"' in line
    )
