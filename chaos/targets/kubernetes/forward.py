"""The way in: one listener on 127.0.0.1 for every pod, on the same port for as long as the target is open.

Why it exists: recording clients must reach both sides of a partition, and port-forwarding comes out of the pod's own
loopback, where no policy stands. Every accepted connection has a WebSocket of its own. It must not hide what happened:
a request that provably never reached the pod is answered with 503 and `NOT_FORWARDED`; in all other cases the
connection just breaks, and the client must take the outcome for unknown.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

import aiohttp

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api

CONNECTIONS_PER_POD_MAX = 128
CHUNK_BYTES = 64 * 1024
DRAIN_SECONDS_MAX = 1.0
"""How long a refused client may take to send the rest of its request: unread bytes would reset its connection before it
has read the answer."""
CLOSE_SECONDS_MAX = 2.0
REASON_LETTERS_MAX = 400
NOT_FORWARDED = "not_forwarded"
"""`error` of the 503 that says: no byte of this request reached the pod."""
_DATA, _ERROR = 0, 1
_NEVER_CONNECTED = ("connection refused", "failed to find sandbox", "is not running", "container not running")
"""What container runtimes say when they found nobody listening on the pod's loopback: nothing was handed over."""


class Forwards:
    """Open with `start`, close with `close`. `urls`: by node."""

    def __init__(self, api: Api, namespace: str, pods: Sequence[str], port: int) -> None:
        self._listeners = {pod: _Listener(api, namespace, pod, port) for pod in pods}
        self.urls: Mapping[str, str] = {}

    async def start(self) -> None:
        try:
            ports = {pod: await listener.start() for pod, listener in self._listeners.items()}
        except OSError as error:
            await self.close()
            raise ChaosError(f"No port of 127.0.0.1 could be opened for forwarding: {error}.") from error
        self.urls = {pod: f"http://127.0.0.1:{port}" for pod, port in ports.items()}

    async def close(self) -> None:
        await asyncio.gather(*(listener.close() for listener in self._listeners.values()))


class _Listener:
    """Of one pod, whichever pod has its name in the instant of a connection."""

    def __init__(self, api: Api, namespace: str, pod: str, port: int) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        self._pod = pod
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_PER_POD_MAX:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name=f"forward to {self._pod}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. The WebSocket is open before a byte is taken from the client."""
        try:
            await _Connection(reader, writer).serve(self._api, self._path, self._port, self._pod)
        except OSError:
            pass  # the client went away
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS_MAX)


class _Connection:
    """One accepted connection and its WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked = False

    async def serve(self, api: Api, path: str, port: int, pod: str) -> None:
        try:
            websocket = await api.websocket(path, [("ports", str(port))])
        except ChaosError as error:
            await self._refuse(pod, str(error))
            return
        try:
            refused = await self._carry(websocket)
            # The client hears of it first: the goodbyes of a WebSocket may take their time
            if refused:
                await self._refuse(pod, refused[:REASON_LETTERS_MAX])
            self._writer.close()
        finally:
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(websocket.close(), CLOSE_SECONDS_MAX)

    async def _carry(self, websocket: aiohttp.ClientWebSocketResponse) -> str:
        """Both ways until either end closes; why it was refused where no byte reached the pod, else nothing."""
        upward = asyncio.ensure_future(self._upward(websocket))
        downward = asyncio.ensure_future(self._downward(websocket))
        try:
            await asyncio.wait((upward, downward), return_when=asyncio.FIRST_COMPLETED)
            if upward.done() and upward.exception() is not None:
                # The pod's end closed while the client was sending: why is still to be read
                await asyncio.wait((downward,), timeout=CLOSE_SECONDS_MAX)
            return downward.result() if downward.done() else ""
        finally:
            for task in (upward, downward):
                task.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)

    async def _upward(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        while data := await self._reader.read(CHUNK_BYTES):
            self._asked = True
            await websocket.send_bytes(bytes((_DATA,)) + data)

    async def _downward(self, websocket: aiohttp.ClientWebSocketResponse) -> str:
        """The first frame of each channel repeats the port."""
        announced: set[int] = set()
        carried = False
        async for message in websocket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                break
            channel, data = message.data[0], message.data[1:]
            if channel not in announced:
                announced.add(channel)
            elif channel == _ERROR:
                said = data.decode(errors="replace")
                return said if not carried and any(words in said for words in _NEVER_CONNECTED) else ""
            elif channel == _DATA:
                carried = True
                self._writer.write(data)
                await self._writer.drain()
        return ""

    async def _refuse(self, pod: str, why: str) -> None:
        """Answer in HTTP, in the shape of the API's own errors, once there is a request to be answered."""
        with suppress(TimeoutError):
            if not self._asked and not await asyncio.wait_for(self._reader.read(CHUNK_BYTES), DRAIN_SECONDS_MAX):
                return
        body = json.dumps({"error": NOT_FORWARDED, "message": f"No byte reached pod {pod}: {why}"}).encode() + b"\n"
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                while await self._reader.read(CHUNK_BYTES):
                    pass
