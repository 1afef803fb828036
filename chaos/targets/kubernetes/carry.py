"""One forwarded connection: from an accepted socket over a WebSocket of the API server into a pod, with TLS or without.

Why it exists: what a client may believe of its request hangs on where a connection broke. A request that provably never
reached the node is answered with 503 and `NOT_FORWARDED`, in the shape of a node's own errors; in all other cases the
connection just breaks, and the client must take the outcome for unknown. It must not know which pod is whose.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api
from chaos.targets.kubernetes.sealed import Seal, trouble

CHUNK_BYTES = 64 * 1024
DRAIN_SECONDS_MAX = 1.0
"""How long a refused client may take to send the rest of its request: unread bytes would reset its connection before it
has read the answer."""
CLOSE_SECONDS_MAX = 2.0
HANDSHAKE_SECONDS_MAX = 5.0
"""A node's own bound is the same."""
REASON_LETTERS_MAX = 400
NOT_FORWARDED = "not_forwarded"
"""`error` of the 503 that says: no byte of this request reached the pod."""
_DATA, _ERROR = 0, 1
_NEVER_CONNECTED = ("connection refused", "failed to find sandbox", "is not running", "container not running")
"""What container runtimes say when they found nobody listening on the pod's loopback: nothing was handed over."""


class Connection:
    """One accepted connection and its WebSocket. `seal` None: no TLS. `tell` is told at once what became of it: why it
    failed, or nothing where the node said a word."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seal: Seal | None,
        tell: Callable[[ssl.SSLError | None], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._seal = seal
        self._tell = tell
        self._asked = False
        self._announced: set[int] = set()

    async def serve(self, api: Api, path: str, port: int, pod: str) -> None:
        try:
            websocket = await api.websocket(path, [("ports", str(port))])
        except ChaosError as error:
            await self._refuse(pod, str(error))
            return
        try:
            refused = await self._agree(websocket, pod) or await self._carry(websocket)
            # The client hears of it first: the goodbyes of a WebSocket may take their time
            if refused:
                await self._refuse(pod, refused[:REASON_LETTERS_MAX])
            self._writer.close()
        finally:
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(websocket.close(), CLOSE_SECONDS_MAX)

    async def _agree(self, websocket: aiohttp.ClientWebSocketResponse, pod: str) -> str:
        """The handshake, before anything is taken from the client; why it came to nothing, else nothing."""
        if self._seal is None:
            return ""
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS_MAX):
                agreed = self._seal.handshake()
                await self._say(websocket, self._seal.to_send())
                while not agreed:
                    channel, data = await self._next(websocket) or (_ERROR, b"it ended the connection in its handshake")
                    if channel == _ERROR:
                        return data.decode(errors="replace")
                    try:
                        agreed = self._seal.handshake(data)
                    finally:
                        await self._say(websocket, self._seal.to_send())
        except TimeoutError:
            return f"no handshake within {HANDSHAKE_SECONDS_MAX:g} s"
        except ssl.SSLError as error:
            self._tell(error)
            return trouble(pod, error)
        return ""

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
            await self._say(websocket, data if self._seal is None else self._seal.sealed(data))

    async def _downward(self, websocket: aiohttp.ClientWebSocketResponse) -> str:
        """Why it was refused where no byte reached the pod, else nothing. Raises SSLError."""
        carried = self._seal is not None  # a handshake
        while (frame := await self._next(websocket)) is not None:
            channel, data = frame
            if channel == _ERROR:
                said = data.decode(errors="replace")
                return said if not carried and any(words in said for words in _NEVER_CONNECTED) else ""
            carried = True
            if self._seal is not None:
                try:
                    data = self._seal.opened(data)
                except ssl.SSLError as error:
                    self._tell(error)
                    raise
                if data:
                    self._tell(None)
                await self._say(websocket, self._seal.to_send())
            self._writer.write(data)
            await self._writer.drain()
        return ""

    async def _say(self, websocket: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
        if data:
            await websocket.send_bytes(bytes((_DATA,)) + data)

    async def _next(self, websocket: aiohttp.ClientWebSocketResponse) -> tuple[int, bytes] | None:
        """Channel and content of the next frame, None at the end. The first frame of each channel repeats the port."""
        async for message in websocket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                return None
            channel, data = message.data[0], message.data[1:]
            if channel not in self._announced:
                self._announced.add(channel)
            elif channel in (_DATA, _ERROR):
                return channel, data
        return None

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
