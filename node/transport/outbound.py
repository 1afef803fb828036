"""One outbound link: dials a peer's lane for ever, writes what is queued, judges by ping and pong whether it lives.

Why it exists: everything this node says to a peer on a lane goes through one of these, so order, bounds and the
reasons of failures have one place. It must not read anything but pongs and the peer's goodbye, and not retry frames.
"""

import asyncio
from contextlib import suppress

import aiohttp

from node.raft.messages import Lane
from node.tls.peers import PeerTls
from node.transport.dialling import DialFailed, Dialler, Resolver
from node.transport.framework import AT_ONCE_BYTES_MAX, DialledSocket
from node.transport.packing import PREFIX_BYTES
from node.transport.port import GOODBYE, LOST, REFUSED, Chance, Receiver
from node.transport.queue import FrameQueue
from node.transport.settings import LinkSettings


class OutboundLink:
    """See the module. `run` is the task; `send`, `up`, `reset`, `dial_now` and `leave` are called beside it."""

    def __init__(
        self,
        *,
        name: str,
        peer: str,
        lane: Lane,
        session: aiohttp.ClientSession,
        resolver: Resolver,
        receiver: Receiver,
        chance: Chance,
        settings: LinkSettings,
        tls: PeerTls | None = None,
    ) -> None:
        self.up = False
        self._peer = peer
        self._lane = lane
        self._dialler = Dialler(name, peer, lane, session, resolver, settings, tls)
        self._receiver = receiver
        self._chance = chance
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._queue = FrameQueue(settings)
        self._socket: DialledSocket | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._nudge: asyncio.Future[None] | None = None
        self._leaving = False
        self._reported: str | None = None
        self._heard_at = 0.0
        self._task = asyncio.create_task(self._run(), name=f"link {name} -> {peer} {lane.name.lower()}")
        self._task.add_done_callback(self._report_failure)

    def send(self, frame: bytes) -> bool:
        """See `Carrier.send`. `flush` takes it from the queue, all that waits at once."""
        return self.up and self._queue.add(frame)

    def flush(self) -> None:
        """See `Carrier.flush`. One pack; the rest is for the writer, as is all while it waits for the peer to take what
        was written before."""
        writer_waits = self._waiter is not None and not self._waiter.done()
        if not self._queue or self._socket is None or not writer_waits:
            return
        if self._socket.takes_at_once and self._queue.first_bytes + PREFIX_BYTES <= AT_ONCE_BYTES_MAX:
            pack = self._queue.take(AT_ONCE_BYTES_MAX)
            try:
                self._socket.send_at_once(pack)
            except (aiohttp.ClientError, OSError):
                self._go_down(LOST, abrupt=True)
        if self._queue:
            self._wake_writer()

    def reset(self) -> None:
        """Drop the link without goodbye, and the queue with it."""
        self._go_down("reset", abrupt=True)

    def dial_now(self) -> None:
        """The peer was just heard of: if dials failed so far, do not sit out the pause."""
        if self._nudge is not None and not self._nudge.done():
            self._nudge.set_result(None)

    @property
    def ended(self) -> bool:
        """Whether the task is over, after `retire` or `leave`."""
        return self._task.done()

    def retire(self, reason: str) -> None:
        """Begin to `leave`, and let nobody wait for it; `reason` is what the receiver is told where the link is up."""
        self._leaving = True
        if self._socket is not None:
            self._go_down(reason, abrupt=False)
        else:
            self._task.cancel()

    async def leave(self) -> None:
        """Say goodbye where the link is up, and end the task. Also after `retire`, to wait for the end."""
        self.retire("this process leaves")
        await asyncio.wait([self._task])

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        """The network never ends the task; a receiver that raises does, and must not do so unheard."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": f"the {task.get_name()} failed", "exception": error})

    async def _run(self) -> None:
        settings = self._settings
        pause_s = settings.redial_min_s
        while not self._leaving:
            failed, after_loss = False, self._reported in (LOST, REFUSED)
            try:
                socket = await self._dialler.dial(after_loss=after_loss)
            except DialFailed as error:
                failed = True
                self._report_failed_dial(str(error))
                if after_loss and self._reported == REFUSED:
                    pause_s = min(max(pause_s, settings.redial_gone_s), settings.redial_max_s)
            else:
                came_up_at = self._loop.time()
                await self._serve(socket)
                if self._loop.time() - came_up_at >= settings.redial_max_s:
                    pause_s = settings.redial_min_s
                    continue  # at once: a refusal tells that the process is gone, a new link that it lives
            if not self._leaving:
                await self._pause(pause_s * (0.5 + self._chance.random() / 2), may_be_cut_short=failed)
            pause_s = min(pause_s * 2, settings.redial_max_s)

    async def _pause(self, pause_s: float, *, may_be_cut_short: bool) -> None:
        """A link that came up and was closed again is never dialled early: two peers that refuse each other's hello
        would otherwise wake each other without end."""
        if not may_be_cut_short:
            await asyncio.sleep(pause_s)
            return
        self._nudge = self._loop.create_future()
        await asyncio.wait([self._nudge], timeout=pause_s)
        self._nudge = None

    def _report_failed_dial(self, reason: str) -> None:
        if reason != self._reported:
            self._reported = reason
            self._receiver.on_outbound(self._peer, self._lane, False, reason)

    async def _serve(self, socket: DialledSocket) -> None:
        """From up to down, to closed."""
        settings = self._settings
        self._socket = socket
        self._heard_at = self._loop.time()
        self.up = True
        self._reported = None
        age_s = settings.age_max_s * (0.75 + self._chance.random() / 4)
        age_timer = self._loop.call_later(age_s, self._go_down, "the link reached its age limit", False)
        beside = [asyncio.create_task(self._listen(socket)), asyncio.create_task(self._ping(socket))]
        try:
            self._receiver.on_outbound(self._peer, self._lane, True, "")
            await self._write(socket)
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(settings.close_timeout_s):
                    await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY, message=GOODBYE.encode())
        finally:
            age_timer.cancel()
            self._go_down("this process leaves", abrupt=True)
            socket.abort()
            self._socket = None
            self._queue.clear()
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    def _go_down(self, reason: str, abrupt: bool) -> None:
        """Once a link. Not abrupt: what is queued is still written, for a short while, and goodbye after it."""
        if not self.up or self._socket is None:
            return
        self.up = False
        if abrupt:
            self._socket.abort()
        else:
            self._loop.call_later(self._settings.close_timeout_s, self._socket.abort)
        self._wake_writer()
        self._reported = reason
        self._receiver.on_outbound(self._peer, self._lane, False, reason)

    def _wake_writer(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _write(self, socket: DialledSocket) -> None:
        """Until the link is down and the queue is empty. `send_bytes` waits only while the transport's buffer is over
        its mark, so the queue, not the buffer, holds what the peer does not take."""
        try:
            while self.up or self._queue:  # on a link that was aborted, what is left of the queue cannot be written
                if self._queue:
                    pack = self._queue.take()
                    await socket.send_bytes(pack)
                else:
                    self._waiter = self._loop.create_future()
                    await self._waiter
                    self._waiter = None
        except (aiohttp.ClientError, OSError):
            self._go_down(LOST, abrupt=True)

    async def _listen(self, socket: DialledSocket) -> None:
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.PONG:
                self._heard_at = self._loop.time()
            elif message.type is aiohttp.WSMsgType.CLOSE:
                said_goodbye = message.data == aiohttp.WSCloseCode.GOING_AWAY
                self._go_down(GOODBYE if said_goodbye else f"the peer closed: {message.extra or message.data}", True)
                return
            elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self._go_down("the peer sent data on a link that it did not dial", abrupt=True)
                return
            elif message.type is not aiohttp.WSMsgType.PING:
                self._go_down(LOST, abrupt=True)
                return

    async def _ping(self, socket: DialledSocket) -> None:
        """Silence is judged by this process's clock, so a turn that comes late (this process was stopped, a pong may
        lie in its buffer) judges nobody; and a shrinking buffer means that the peer still takes bytes."""
        interval_s, timeout_s = self._settings.ping_interval_s, self._settings.pong_timeout_s
        buffered_before = 0
        while True:
            due_at = self._loop.time() + interval_s
            await asyncio.sleep(interval_s)
            now = self._loop.time()
            buffered = socket.unsent_bytes
            if buffered < buffered_before or now > due_at + interval_s:
                self._heard_at = now
            buffered_before = buffered
            if now - self._heard_at > timeout_s:
                self._go_down(f"silence: no pong within {timeout_s} s", abrupt=True)
                return
            try:
                async with asyncio.timeout(interval_s):  # the ping is written at once; only a full buffer makes it wait
                    await socket.ping()
            except TimeoutError:
                continue
            except (aiohttp.ClientError, OSError):
                return  # the listener says so
