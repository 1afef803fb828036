"""The way in: one listener on 127.0.0.1 for every pod, on the same port for as long as the target is open.

Why it exists: recording clients must reach both sides of a partition, and port-forwarding comes out of the pod's own
loopback, where no policy stands. Every accepted connection has a WebSocket of its own. Where nodes speak TLS alone, it
is spoken from here to the node, as whom the environment says: what asks here speaks plain text. What a client may
believe of a connection that broke is `carry.py`'s to say.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress

from chaos.errors import ChaosError
from chaos.listeners import listen_no_more
from chaos.targets.kubernetes.api import Api
from chaos.targets.kubernetes.carry import CHUNK_BYTES, CLOSE_SECONDS_MAX, Connection
from chaos.targets.kubernetes.release import Release
from chaos.targets.kubernetes.sealed import Seal, own_context, trouble

CONNECTIONS_PER_POD_MAX = 128
TRIAL_SECONDS_MAX = 3.0


class Forwards:
    """Open with `start`, close with `close`. `urls`: by node. `trouble`: why no node can be asked, where TLS came to
    nothing with all of them when this was opened."""

    def __init__(self, api: Api, release: Release) -> None:
        self._tls = own_context() if release.tls else None
        self._listeners = {node: _Listener(api, release, node, self._tls) for node in release.nodes}
        self.urls: Mapping[str, str] = {}
        self.trouble = ""

    async def start(self) -> None:
        try:
            ports = {pod: await listener.start() for pod, listener in self._listeners.items()}
        except OSError as error:
            await self.close()
            raise ChaosError(f"No port of 127.0.0.1 could be opened for forwarding: {error}.") from error
        self.urls = {pod: f"http://127.0.0.1:{port}" for pod, port in ports.items()}
        if self._tls is not None:
            await asyncio.gather(*(listener.try_tls(ports[pod]) for pod, listener in self._listeners.items()))
            told = [listener.trouble for listener in self._listeners.values()]
            self.trouble = "" if "" in told else " ".join(why for why in told if why)

    async def close(self) -> None:
        await asyncio.gather(*(listener.close() for listener in self._listeners.values()))


class _Listener:
    """Of one pod, whichever pod has its name in the instant of a connection. `trouble`: what was wrong with TLS when it
    was spoken last; empty: nothing; None: it was not."""

    def __init__(self, api: Api, release: Release, pod: str, tls: ssl.SSLContext | None) -> None:
        self._api = api
        self._path = release.pod_path(pod, "portforward")
        self._pod = pod
        self._name = release.host(pod)
        self._port = release.client_port
        self._tls = tls
        self.trouble: str | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def try_tls(self, port: int) -> None:
        """Ask the node one thing, so that `trouble` is known: only after the handshake does it say that it does not
        take what it was shown."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TRIAL_SECONDS_MAX):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                await reader.read(CHUNK_BYTES)
                writer.close()

    async def close(self) -> None:
        if self._server is not None:
            await listen_no_more(self._server)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def _tell(self, error: ssl.SSLError | None) -> None:
        self.trouble = "" if error is None else trouble(self._pod, error)

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
            seal = None if self._tls is None else Seal(self._tls, self._name)
            await Connection(reader, writer, seal, self._tell).serve(self._api, self._path, self._port, self._pod)
        except OSError:
            pass  # the client went away
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS_MAX)
