"""A whole node, the only one of its cluster, on a loop that counts; its clients are on the test's own thread.

Why it exists: routes are walked on what runs in production, from the socket to the log's file: the framework, the gate,
the express lane, the driver, the state machine. The clients must make nothing that the node's meter would count.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node import app, restoring
from node.api.server import ApiRunner
from node.observe.lines import Lines
from node.settings import Settings
from node.settings.reading import load
from node.statemachine.store import KeyValueStore
from tests.bounds.loop import CountingLoop
from tests.bounds.meter import ONE_IN, Meter, Work
from tests.ports import free_port

READ_BYTES = 1 << 16
ANSWER_SECONDS_MAX = 60


class Node(app._Node):
    """Remembers its server and its store."""

    server: ApiRunner | None = None
    store: KeyValueStore | None = None

    def _make_server(self, *arguments: object) -> ApiRunner:
        self.store = arguments[0].store  # type: ignore[attr-defined]
        self.server = super()._make_server(*arguments)  # type: ignore[arg-type]
        return self.server


class ClusterOfOne:
    """`request` does one request and says what the longest turn meanwhile did."""

    def __init__(self, meter: Meter, port: int) -> None:
        self.meter = meter
        self.port = port
        self.answer = b""
        """The last one's beginning."""
        self.loop: CountingLoop
        self.node: Node

    def routes(self) -> set[tuple[str, str]]:
        """Method and path of every route, as the router has them."""
        assert self.node.server is not None
        return {
            (route.method, route.resource.canonical)
            for route in self.node.server.app.router.routes()
            if route.resource is not None
        }

    def request(self, data: bytes, until: bytes = b"") -> tuple[int, int, Work]:
        """Send `data`, read to the end of the connection, or to `until`. Status (of HTTP/2:
        200), bytes of the answer, longest turn."""
        self._settle()
        self.meter.reset()
        status, length = self._exchange(data, until)
        self._settle()
        return status, length, self.meter.worst

    def _exchange(self, data: bytes, until: bytes) -> tuple[int, int]:
        room = memoryview(bytearray(READ_BYTES))
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS_MAX) as connection:
            sender = threading.Thread(target=connection.sendall, args=(data,))
            sender.start()
            status = length = 0
            while got := connection.recv_into(room):
                if not length:
                    self.answer = bytes(room[: min(got, 1000)])
                    status = int(self.answer[9:12]) if self.answer.startswith(b"HTTP/") else 200
                length += got
                if until and until in bytes(room[:got]):
                    break
            sender.join()
        return status, length

    def _settle(self, turns: int = 6) -> None:
        """Some turns of the loop."""
        for _ in range(turns):
            turned = threading.Event()
            self.loop.call_soon_threadsafe(turned.set)
            assert turned.wait(ANSWER_SECONDS_MAX)


def _settings(folder: Path, port: int, peer_port: int) -> Settings:
    flags = {
        "name": "n1",
        "seeds": f"n1=127.0.0.1:{peer_port}",
        "data_dir": str(folder),
        "host": "127.0.0.1",
        "port": str(port),
        "fsync_mode": "inline",
        "leave_wait_ms": "0",
        "request_timeout_ms": "60000",
        "enable_faults": "true",
    }
    return load(flags, {}).settings


@contextmanager
def running(folder: Path, store: KeyValueStore, one_in: int = ONE_IN) -> Iterator[ClusterOfOne]:
    """The node, elected, with that store. `one_in`: of so many turns beyond the first ones, one is counted."""
    meter = Meter(one_in)
    settings = _settings(folder, free_port(), free_port())
    cluster = ClusterOfOne(meter, settings.port)
    up = threading.Event()
    lines = Lines(os.open(os.devnull, os.O_WRONLY))

    async def run() -> int:
        cluster.node = Node(settings, lines)
        up.set()
        return await cluster.node.run()

    def thread() -> None:
        cluster.loop = CountingLoop(meter)
        with asyncio.Runner(loop_factory=lambda: cluster.loop) as runner, meter.counting():
            runner.run(run())

    patched = pytest.MonkeyPatch()
    patched.setattr(restoring, "KeyValueStore", lambda: store)
    worker = threading.Thread(target=thread, name="a node that is counted")
    worker.start()
    try:
        assert up.wait(ANSWER_SECONDS_MAX)
        _wait_until_ready(cluster)
        assert cluster.node.store is store, "the node has another store"
        yield cluster
    finally:
        cluster.loop.call_soon_threadsafe(cluster.node._signals.ask)
        worker.join()
        lines.close()
        patched.undo()


def _wait_until_ready(cluster: ClusterOfOne) -> None:

    end = time.monotonic() + ANSWER_SECONDS_MAX
    while time.monotonic() < end:
        try:
            if cluster.request(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("the node did not get ready")
