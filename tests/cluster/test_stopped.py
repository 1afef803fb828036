"""A node that was stopped for a while (SIGSTOP, a laptop's lid) finds what others began and gave up meanwhile."""

import asyncio
import signal
import socket
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.api.leaving import RESET
from tests.cluster.harness import Cluster, running_cluster

PATHS = (
    "/events?messages=1&rate=40",
    "/events",
    "/cluster",
    "/log",
    "/stats",
    "/kv/",
    "/kv/a",
    "/metrics",
    "/static/app.js",
)
STOPPED_SECONDS = 4.0
"""Long enough for peers to give their links up and dial anew, again and again."""


def ask(address: tuple[str, int], path: str) -> socket.socket:
    client = socket.create_connection(address)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n\r\n".encode())
    return client


async def linked(cluster: Cluster, name: str) -> bool:
    """Whether every other node has its links to `name` up again, and `name` its own."""
    statuses = await cluster.statuses()
    others = [
        peer["link_up"] for one in statuses.values() for peer in one["peers"] if name in (one["name"], peer["name"])
    ]
    return len(statuses) == len(cluster.nodes) and all(others)


@pytest.mark.slowest
async def test_a_stopped_node_logs_no_traceback_of_those_who_left_meanwhile(tmp_path: Path) -> None:
    """An open page, requests that wait, and peers that dial: all of them have gone when the node goes on."""
    async with running_cluster(tmp_path, 3, "--monitor-port", "0") as cluster:
        host, _, port = cluster.url("n1").removeprefix("http://").partition(":")
        address = (host, int(port))
        clients = [ask(address, path) for path in PATHS]
        await cluster.until(lambda: linked(cluster, "n1"), "all links up")
        cluster.signal("n1", signal.SIGSTOP)
        clients += [ask(address, path) for path in PATHS * 2]
        timeout = aiohttp.ClientTimeout(total=0.3)
        end = asyncio.get_running_loop().time() + STOPPED_SECONDS
        while asyncio.get_running_loop().time() < end:  # the page of all nodes asks on
            for what in ("events?messages=1&rate=40", "log"):
                with suppress(TimeoutError, aiohttp.ClientError):
                    async with cluster.http.get(f"{cluster.monitor}nodes/n1/{what}", timeout=timeout) as answer:
                        await answer.read()
        for number, client in enumerate(clients):
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
        cluster.signal("n1", signal.SIGCONT)
        await cluster.until(lambda: linked(cluster, "n1"), "n1 linked again")
        await cluster.all_known()
        for log in (Path(cluster.nodes["n1"]["log_file"]), tmp_path / "supervisor.log"):
            said = [line for line in log.read_text().splitlines() if "Traceback" in line or "ERROR" in line]
            assert said == [], said[0][:2000]
