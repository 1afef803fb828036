"""An API server of Kubernetes as far as the tool's requests go: objects in a dict, port-forward over a real WebSocket.

Why it exists: refusals, conflicts and pods that die in the wrong instant cannot be had on demand from a real cluster.
What it does was read off a real one; tests/kubernetes holds the tool against that.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

COLLECTIONS = frozenset({"daemonsets", "jobs", "leases", "networkpolicies", "nodes", "pods", "statefulsets"})
CHANNELS = "v4.channel.k8s.io"


class FakeApiServer:
    """`objects`: by path. `forbidden`: paths that answer 403. `pod_port`: where port-forward ends; None: refused.
    `resets`: the node takes what it is sent and dies over it. `made_by`: answers every POST instead. `before`: called
    with method and path before anything is answered; what it returns is the answer."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.forbidden: set[str] = set()
        self.pod_port: int | None = None
        self.no_pod = False
        self.slow_s = 0.0
        self.resets = False
        self.changes: list[tuple[str, str]] = []
        self.versions = 0
        self.made_by: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.before: Callable[[str, str], web.StreamResponse | None] = lambda *_: None
        self.host = ""

    def put(self, path: str, found: dict[str, Any]) -> None:
        self.versions += 1
        metadata = {**found.get("metadata", {}), "resourceVersion": str(self.versions), "uid": f"uid-of-{path}"}
        self.objects[path] = {**found, "metadata": metadata}

    def kubeconfig(self, folder: Path, namespace: str = "home") -> Path:
        context = {"cluster": "c", "user": "u", "namespace": namespace}
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "current-context": "fake",
                    "contexts": [{"name": "fake", "context": context}],
                    "clusters": [{"name": "c", "cluster": {"server": self.host}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                }
            )
        )
        return path

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        assert request.headers["Authorization"] == "Bearer t"
        if request.method not in ("GET",):
            self.changes.append((request.method, path))
        if (instead := self.before(request.method, path)) is not None:
            return instead
        await asyncio.sleep(self.slow_s)
        if path in self.forbidden:
            return status(403, f'pods is forbidden: User "u" cannot {request.method} {path}')
        if path.endswith("/portforward"):
            return await self._forward(request)
        body = await request.json() if request.can_read_body else {}
        match request.method:
            case "GET":
                if path in self.objects:
                    return web.json_response(self.objects[path])
                asked = request.query.get("labelSelector", "")
                listed = [
                    one for key, one in self.objects.items() if key.rpartition("/")[0] == path and _selected(one, asked)
                ]
                named = path.rpartition("/")[2]
                if listed or named in COLLECTIONS:
                    return web.json_response({"items": listed, "metadata": {}})
                return status(404, f"{path} not found")
            case _:
                return await self.answer_change(request, body)

    def apply(self, method: str, path: str, body: dict[str, Any], manager: str) -> None:
        """That change, as whoever may make it."""
        if method == "DELETE":
            del self.objects[path]
        else:
            there = self.objects[path]
            self.put(path, _owned(there, merge_patched(there, body), body, manager))

    async def answer_change(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        path = request.path
        match request.method:
            case "POST" if self.made_by is not None:
                return await self.made_by(request)
            case "POST":
                made = f"{path}/{body['metadata']['name']}"
                if made in self.objects:
                    return status(409, "already exists")
                self.put(made, body)
                return web.json_response(self.objects[made], status=201)
            case "PUT" | "PATCH" if path not in self.objects:
                return status(404, "not found")
            case "PUT":
                if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
                    return status(409, "the object has been modified")
                self.put(path, body)
                return web.json_response(self.objects[path])
            case "PATCH":
                there = self.objects[path]
                if body.get("metadata", {}).get("resourceVersion", "") not in (
                    "",
                    there["metadata"]["resourceVersion"],
                ):
                    return status(409, "the object has been modified")
                self.apply("PATCH", path, body, request.query.get("fieldManager", ""))
                return web.json_response(self.objects[path])
            case "DELETE":
                uid = (body.get("preconditions") or {}).get("uid")
                if path not in self.objects:
                    return status(404, "not found")
                if uid not in (None, self.objects[path]["metadata"]["uid"]):
                    return status(409, "the UID in the precondition does not match")
                self.apply("DELETE", path, body, "")
                return web.json_response({"status": "Success"})
        return status(405, "no such method")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        """As the kubelet does: the first frame of each channel repeats the port, an error ends it."""
        if self.no_pod:
            return status(404, "pods not found")
        websocket = web.WebSocketResponse(protocols=(CHANNELS,))
        await websocket.prepare(request)
        port = int(request.query["ports"]).to_bytes(2, "little")
        await websocket.send_bytes(b"\x00" + port)
        await websocket.send_bytes(b"\x01" + port)
        if self.resets:
            await websocket.receive()
            await websocket.send_bytes(b"\x01error copying from local connection: read: connection reset by peer")
            await websocket.close()
            return websocket
        try:
            if self.pod_port is None:
                raise ConnectionRefusedError("dial tcp4 127.0.0.1:8001: connect: connection refused")
            reader, writer = await asyncio.open_connection("127.0.0.1", self.pod_port)
        except OSError as error:
            await websocket.send_bytes(b"\x01" + f"error forwarding port: {error}".encode())
            await websocket.close()
            return websocket
        down = asyncio.ensure_future(_down(reader, websocket))
        async for message in websocket:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data[1:])
                with suppress(OSError):
                    await writer.drain()
        writer.close()
        down.cancel()
        await asyncio.gather(down, return_exceptions=True)
        with suppress(OSError):
            await writer.wait_closed()
        return websocket


def _owned(there: dict[str, Any], patched: dict[str, Any], patch: dict[str, Any], manager: str) -> dict[str, Any]:
    """Whoever changes the selector takes it from its owner, unless the same request says who owns what."""
    before = there["metadata"].get("managedFields")
    if not before or "managedFields" in patch.get("metadata", {}) or there.get("spec") == patched.get("spec"):
        return patched
    others = [{**one, "lost": "its selector"} for one in before if one["manager"] != manager]
    return {**patched, "metadata": {**patched["metadata"], "managedFields": [*others, {"manager": manager}]}}


def merge_patched(there: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(there) if isinstance(there, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), value)
    return result


def _selected(found: dict[str, Any], selector: str) -> bool:
    """`key=value` and `key`, all of them."""
    labels = found["metadata"].get("labels") or {}
    wanted = [one.partition("=") for one in selector.split(",") if one]
    return all(key in labels and labels[key] == (value if equals else labels[key]) for key, equals, value in wanted)


async def _down(reader: asyncio.StreamReader, websocket: web.WebSocketResponse) -> None:
    while data := await reader.read(65536):
        await websocket.send_bytes(b"\x00" + data)
    await websocket.close()


def status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "status": "Failure", "code": code, "message": message}, status=code)


@asynccontextmanager
async def fake_apiserver() -> AsyncIterator[FakeApiServer]:
    fake = FakeApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
