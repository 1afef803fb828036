"""Running `raft-node` in this process, and nodes that answer as a test wants them to."""

import contextlib
import http.server
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pytest

from node.cli import main


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: bytes
    err: str


def raft_node(*arguments: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> Ran:
    """Run the command here, with no variable RAFT_... but those of `environ`; standard output as bytes."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        for name in [name for name in os.environ if name.startswith("RAFT_")]:
            patch.delenv(name)
        for name, value in (environ or {}).items():
            patch.setenv(name, value)
        code = main(arguments)
        out.flush()
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    return Ran(code, buffer.getvalue(), err.getvalue())


class Asked(NamedTuple):
    """A request as a node saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What a node answers; status 0 closes the connection without a word."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class FakeNode:
    """A test double for a node: answers every request with `answer`, or where there are any with the next of `first`,
    and remembers what it was asked. Who asks for a session gets `session`, who says that a
    backup is made `told`, and both are counted apart."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.registered: list[Asked] = []
        self.answer = Answer(200)
        self.first: list[Answer] = []
        self.told = Answer(200, b'{"node":"n1","message":"noted"}')
        self.backups_told = 0
        self.session = Answer(200, b'{"session":"mark-7","idle_ms":60000}')
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(self.command, self.path, dict(self.headers), body)
                if self.path.startswith("/sessions"):
                    node.registered.append(asked)
                    answer = node.session
                elif self.path == "/commands/backup_done":
                    node.backups_told += 1
                    answer = node.told
                else:
                    node.asked.append(asked)
                    answer = node.first.pop(0) if node.first else node.answer
                if answer.status:
                    self.send_response(answer.status)
                    for name, value in answer.headers:
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

            do_PUT = do_DELETE = do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def fake_node() -> Iterator[Callable[[], FakeNode]]:
    made: list[FakeNode] = []

    def make() -> FakeNode:
        made.append(FakeNode())
        return made[-1]

    yield make
    for node in made:
        node.stop()
