"""The listening side: accepts the links that peers dial and hands their frames to the receiver.

Why it exists: here the network's strangers arrive, so every connection is bounded in number, in time and in bytes
before it may say who it is. It must not send anything but pongs and a closing sentence.

The socket is accepted here and handed to aiohttp's request parser afterwards, because aiohttp itself gives a
connection that never finishes its first request all the time in the world.
"""

import asyncio
import socket
from contextlib import suppress

import aiohttp
from aiohttp import web

from node.raft.messages import Lane
from node.tls.peers import PeerTls
from node.transport.dialling import LINK_PATH, REFUSAL_HEADER
from node.transport.packing import PACK_BYTES_MAX, PREFIX_BYTES, PackError, frames_of
from node.transport.port import GOODBYE, LOST, NO_PEER, Receiver
from node.transport.settings import LinkSettings

ACCEPT_BACKLOG = 128
SWEEP_S = 0.1
"""How often connections that ran out of time are looked for, and the pause after a failed accept."""
TAKEN_BYTES_MAX = 4 * 1024
"""A link makes way for others after so many bytes: after every message that is longer, or some fifty heartbeats."""
MESSAGE_BYTES = 32
"""What a message counts for beside its own: there are empty ones, and pings, and 250 kB of them would take 0.1 s."""
_SAID = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)
NAME_CHARS_MAX = 63
REASON_BYTES_MAX = 120
"""A WebSocket close frame carries at most 123 bytes of reason."""

_LANES = {lane.name.lower(): lane for lane in Lane}


class InboundLink:
    """One accepted link. `live` ends before the receiver hears of it, and no frame is handed over afterwards."""

    def __init__(
        self, peer: str, lane: Lane, websocket: web.WebSocketResponse, transport: asyncio.Transport, now: float
    ) -> None:
        self.peer = peer
        self.lane = lane
        self.websocket = websocket
        self.transport = transport
        self.live = True
        self.heard_at = now
        self.taken_bytes = 0
        """Since it last made way for others."""

    async def close(self, code: int, reason: str) -> None:
        """Close frame, its answer for a short while, then the connection."""
        with suppress(ConnectionError, RuntimeError):
            await self.websocket.close(
                code=code, message=reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
            )


class Acceptor:
    """The server of a `WebSocketCarrier`. `start` binds, `close` says goodbye to every peer. `tls` None: plain."""

    def __init__(
        self,
        *,
        name: str,
        peers: tuple[str, ...],
        receiver: Receiver,
        settings: LinkSettings,
        tls: PeerTls | None = None,
    ) -> None:
        self._name = name
        self._peers = peers
        self._receiver = receiver
        self._settings = settings
        self._tls = tls
        self._coming: dict[asyncio.Task[None], socket.socket] = {}
        """Accepted, and on their way through the door of TLS."""
        self._loop = asyncio.get_running_loop()
        self._links: dict[tuple[str, Lane], InboundLink] = {}
        self._half_open: dict[asyncio.Transport, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._goodbyes: dict[asyncio.Task[None], None] = {}
        self._listener: socket.socket | None = None
        self._server = web.Server(self._answer, access_log=None, lingering_time=0.0)
        self._refuse_above = max(settings.frame_bytes_max + PREFIX_BYTES, PACK_BYTES_MAX) + 1
        self.port = 0

    def start(self, host: str, port: int) -> None:
        """Bind and listen. Raises OSError where the address is not to be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        self._listener = socket.create_server((host, port), family=family, backlog=ACCEPT_BACKLOG, dualstack_ipv6=both)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._tasks.append(asyncio.create_task(self._accept(self._listener), name=f"links to {self._name}: accept"))
        self._tasks.append(asyncio.create_task(self._sweep(), name=f"links to {self._name}: sweep"))

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """Accept these from now on; links that others dialled end, with goodbye."""
        self._peers = peers
        for link in list(self._links.values()):
            if link.peer not in peers:
                self._send_away(link)

    def _send_away(self, link: InboundLink) -> None:
        """End it now, and say goodbye beside whoever asked for it."""
        self._end(link, NO_PEER, abrupt=False)
        closing = link.close(aiohttp.WSCloseCode.GOING_AWAY, GOODBYE)
        task = asyncio.create_task(closing, name=f"links to {self._name}: goodbye to {link.peer}")
        self._goodbyes[task] = None
        task.add_done_callback(lambda task: self._goodbyes.pop(task, None))

    async def close(self) -> None:
        coming = dict(self._coming)
        tasks = [*self._tasks, *coming]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for accepted in coming.values():  # of those that had not begun nobody else would
            accepted.close()
        if self._listener is not None:
            self._listener.close()
        links = list(self._links.values())
        for link in links:
            self._end(link, "this process leaves", abrupt=False)
        await asyncio.gather(*(link.close(aiohttp.WSCloseCode.GOING_AWAY, GOODBYE) for link in links), *self._goodbyes)
        for transport in self._half_open:
            transport.abort()
        await self._server.shutdown(self._settings.close_timeout_s)

    def reset(self, peer: str) -> None:
        """Drop the links that `peer` dialled, without goodbye."""
        for lane in Lane:
            link = self._links.get((peer, lane))
            if link is not None:
                self._end(link, "reset", abrupt=True)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await self._connection_waits(listener)
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                continue
            except OSError:  # out of file descriptors, or the connection was gone before it was accepted
                await asyncio.sleep(SWEEP_S)
                continue
            accepted.setblocking(False)
            self._forget_closed()
            if len(self._half_open) + len(self._coming) >= self._settings.half_open_max:
                accepted.close()
            elif self._tls is None:
                await self._come_in(accepted)
            else:  # others do not wait for its handshake
                task = asyncio.create_task(self._come_in(accepted), name=f"links to {self._name}: one comes")
                self._coming[task] = accepted
                task.add_done_callback(lambda task: self._coming.pop(task, None))

    async def _come_in(self, accepted: socket.socket) -> None:
        try:
            if self._tls is None:
                transport, _ = await self._loop.connect_accepted_socket(self._server, accepted)
            else:
                transport = await self._tls.doorway.connect(accepted, self._server)
        except OSError:
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise
        else:
            self._half_open[transport] = self._loop.time() + self._settings.handshake_timeout_s

    async def _connection_waits(self, listener: socket.socket) -> None:
        """Nothing is accepted while this waits: a connection accepted by a task that is then cancelled would be lost,
        as with the loop's own `sock_accept`."""
        waits: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(listener, lambda: None if waits.done() else waits.set_result(None))
        try:
            await waits
        finally:
            self._loop.remove_reader(listener)

    def _forget_closed(self) -> None:
        for transport in [transport for transport in self._half_open if transport.is_closing()]:
            del self._half_open[transport]

    async def _sweep(self) -> None:
        while True:
            due_at = self._loop.time() + SWEEP_S
            await asyncio.sleep(SWEEP_S)
            now = self._loop.time()
            if now > due_at + SWEEP_S:
                continue  # this process itself stood still: what came meanwhile is heard before anyone is judged
            self._forget_closed()
            for transport, deadline in list(self._half_open.items()):
                if now > deadline:
                    transport.abort()
            for link in list(self._links.values()):
                if now - link.heard_at > self._settings.inbound_silence_s:
                    self._end(link, f"silence: nothing came within {self._settings.inbound_silence_s} s", abrupt=True)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A dialler that left is no mistake of this node, as the framework would have it: a process that stood still
        finds the requests of all who dialled it meanwhile, and gave up."""
        try:
            return await self._handle(request)
        except ConnectionError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)  # nobody is there to get it

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the connection was lost before its request was answered")
        refusal = self._refusal(request)
        if refusal:
            response = web.Response(status=403, text=refusal + "\n", headers={REFUSAL_HEADER: refusal})
            response.force_close()
            return response
        websocket = web.WebSocketResponse(
            timeout=self._settings.close_timeout_s, autoping=False, compress=False, max_msg_size=self._refuse_above
        )
        await websocket.prepare(request)
        link = InboundLink(
            request.query["from"], _LANES[request.query["lane"]], websocket, transport, self._loop.time()
        )
        if link.peer not in self._peers and not self._has_room_for(
            link.peer
        ):  # it became a stranger while its link was being opened
            await link.close(aiohttp.WSCloseCode.GOING_AWAY, GOODBYE)
            return websocket
        self._begin(link)
        try:
            await self._read(link)
        except ConnectionError:
            self._end(link, LOST, abrupt=True)
        except Exception as error:  # not the network's doing: whoever receives frames must hear of it
            self._loop.call_exception_handler({"message": "a receiver of frames failed", "exception": error})
            self._end(link, "this node failed to take a frame", abrupt=True)
        finally:
            self._end(link, "this process leaves", abrupt=True)
        return websocket

    def _refusal(self, request: web.BaseRequest) -> str:
        """Why this request opens no link; empty if it may. Browsers send Origin with every WebSocket: no page may
        speak as a peer."""
        query = request.query
        if request.path != LINK_PATH or "Origin" in request.headers:
            return "this port is for the links between the nodes"
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return "a link is a WebSocket"
        if query.get("to") != self._name:
            return f"this is {self._name}: the dialler looks for another node, so its address list is wrong"
        dialler = query.get("from", "")
        if dialler not in self._peers and not self._has_room_for(dialler):
            return f"the dialler is no member as far as {self._name} knows, so its links are not accepted"
        doubt = self._tls.doubt(dialler, request.transport) if self._tls and request.transport else ""
        if self._tls and doubt:
            self._tls.refused(doubt)
            return doubt
        if query.get("lane") not in _LANES:
            return "the lane is neither control nor bulk"
        return ""

    def _has_room_for(self, name: str) -> bool:
        """Whether one that is no peer may say who it is."""
        guests = {link.peer for link in self._links.values() if link.peer not in self._peers}
        possible = 0 < len(name) <= NAME_CHARS_MAX and name.isprintable() and name != self._name
        return possible and len(guests | {name}) <= self._settings.guests_max

    def _begin(self, link: InboundLink) -> None:
        older = self._links.get((link.peer, link.lane))
        if older is not None:
            self._end(older, "replaced by a newer link", abrupt=True)
        self._links[link.peer, link.lane] = link
        self._receiver.on_inbound(link.peer, link.lane, True, "")

    def _end(self, link: InboundLink, reason: str, abrupt: bool) -> None:
        """Once a link."""
        if not link.live:
            return
        link.live = False
        del self._links[link.peer, link.lane]
        if abrupt:
            link.transport.abort()
        self._receiver.on_inbound(link.peer, link.lane, False, reason)

    async def _read(self, link: InboundLink) -> None:
        while link.live:
            await self._take(link, await link.websocket.receive())

    async def _take(self, link: InboundLink, message: aiohttp.WSMessage) -> None:
        if not link.live:
            return  # it was ended while this message was waited for: nothing of an ended link is handed over
        link.heard_at = self._loop.time()
        await self._do(link, message)
        if message.type in _SAID:
            link.taken_bytes += len(message.data) + MESSAGE_BYTES
            if link.taken_bytes >= TAKEN_BYTES_MAX:
                # `receive` does not yield while messages wait: other links get their turn.
                link.taken_bytes = 0
                await asyncio.sleep(0)

    async def _do(self, link: InboundLink, message: aiohttp.WSMessage) -> None:
        if message.type is aiohttp.WSMsgType.BINARY:
            self._half_open.pop(link.transport, None)
            reason = self._hand_over(link, message.data)
            if reason:
                self._end(link, reason, abrupt=False)
                await link.close(aiohttp.WSCloseCode.POLICY_VIOLATION, reason)
        elif message.type is aiohttp.WSMsgType.PING:
            await link.websocket.pong(message.data)
        elif message.type is aiohttp.WSMsgType.CLOSE:
            said_goodbye = message.data == aiohttp.WSCloseCode.GOING_AWAY
            self._end(link, GOODBYE if said_goodbye else f"the peer closed: {message.extra or message.data}", False)
        elif message.type is aiohttp.WSMsgType.ERROR:
            self._end(link, f"the peer broke the WebSocket protocol: {message.data}", abrupt=False)
        elif message.type is not aiohttp.WSMsgType.PONG:
            self._end(link, LOST if message.type is aiohttp.WSMsgType.CLOSED else "text came", False)

    def _hand_over(self, link: InboundLink, pack: bytes) -> str | None:
        """Give the frames to the receiver; a sentence if the link must close."""
        try:
            for frame in frames_of(pack):
                if len(frame) > self._settings.frame_bytes_max:
                    return f"a frame of {len(frame)} bytes is over the limit of {self._settings.frame_bytes_max}"
                reason = self._receiver.on_frame(link.peer, link.lane, frame)
                if reason or not link.live:
                    return reason
        except PackError as error:
            return str(error)
        return None
