"""The way in to a running supervisor: HTTP on a unix socket that only this user can open.

Why it exists: whoever starts a node again, starts one more or ends a removed one must reach the parent of all nodes.
The socket lies in a private temporary folder, because a path of more than about 100 bytes cannot be bound;
`cluster.json` says where. It must not be reachable over the network.
"""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Literal, Protocol

import aiohttp
import msgspec
from aiohttp import web

from node.api.server import ApiRunner
from node.supervisor import layout
from node.supervisor.layout import ClusterFile, SupervisorError
from node.supervisor.watch import UNREACHABLE, new_session

ASK_TIMEOUT_SECONDS = 30.0
"""A node that is retired may take its time to leave."""
SOCKET_PATH_BYTES_MAX = 100
"""Longer paths cannot be bound on every system."""


class Answer(msgspec.Struct, frozen=True):
    """What the supervisor did with an order: `text` is one sentence, `pid` the node's process where it runs, `node` its
    name where the order did not say it."""

    ok: bool
    text: str
    pid: int | None = None
    node: str = ""


class Orders(Protocol):
    """What a supervisor can be told. `Supervisor` satisfies it."""

    def start_again(self, name: str) -> Answer: ...
    def add(self, name: str) -> Answer: ...
    async def retire(self, name: str) -> Answer: ...
    def cluster_file(self) -> ClusterFile: ...


class Control:
    """Serves `POST /start/{node}`, `/add/{node}` (without a name: any), `/retire/{node}` and `GET /cluster`. Orders run
    on the supervisor's own loop and thread."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._folder: Path | None = None
        self._runner: web.AppRunner | None = None

    async def open(self) -> str:
        """Serve; return the path of the socket, mode 0600 in a folder of mode 0700."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/start/{node}", self._on_start),
                web.post("/add/{node:[^/]*}", self._on_add),
                web.post("/retire/{node}", self._on_retire),
                web.get("/cluster", self._on_cluster),
            ]
        )
        self._runner = ApiRunner(app)
        await self._runner.setup()
        self._folder = _private_folder()
        path = self._folder / "control"
        await web.UnixSite(self._runner, path).start()
        os.chmod(path, 0o600)
        return str(path)

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        if self._folder:
            with contextlib.suppress(OSError):
                (self._folder / "control").unlink(missing_ok=True)
                self._folder.rmdir()

    async def _on_start(self, request: web.Request) -> web.Response:
        return _told(self._orders.start_again(request.match_info["node"]))

    async def _on_add(self, request: web.Request) -> web.Response:
        return _told(self._orders.add(request.match_info["node"]))

    async def _on_retire(self, request: web.Request) -> web.Response:
        return _told(await self._orders.retire(request.match_info["node"]))

    async def _on_cluster(self, _request: web.Request) -> web.Response:
        return _told(self._orders.cluster_file())


def _told(answer: Answer | ClusterFile) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _private_folder() -> Path:
    """A new folder of mode 0700, where temporary files go, or in /tmp where that path is too long for a socket."""
    usual = tempfile.gettempdir()
    longest = len(os.fsencode(usual)) + len(f"/{layout.CONTROL_FOLDER_PREFIX}12345678/control")
    return Path(
        tempfile.mkdtemp(prefix=layout.CONTROL_FOLDER_PREFIX, dir=usual if longest <= SOCKET_PATH_BYTES_MAX else "/tmp")
    )


async def ask(data_dir: Path, order: Literal["start", "add", "retire"], node: str) -> Answer:
    """Have the supervisor of that folder do it with `node`. Raises SupervisorError where there is none to ask."""
    cluster = layout.read(data_dir)
    if cluster is None:
        raise SupervisorError(
            f"There is no cluster in {data_dir}: start one with raft-node cluster, or name its --data-dir."
        )
    if cluster.control is None:
        raise SupervisorError(f"The cluster in {data_dir} is not running: start it with raft-node cluster.")
    try:
        async with (
            new_session(aiohttp.UnixConnector(cluster.control)) as session,
            asyncio.timeout(ASK_TIMEOUT_SECONDS),
            session.post(f"http://supervisor/{order}/{node}") as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=Answer)
    except (*UNREACHABLE, msgspec.MsgspecError, RecursionError):
        raise SupervisorError(
            f"The supervisor of {data_dir} (process {cluster.supervisor_pid}) does not answer: "
            "start the cluster again with raft-node cluster."
        ) from None
