"""aiohttp's client WebSocket with its transports in reach: what the links lean on of aiohttp that it does not promise.

Why it exists: a link must be dropped at once with whatever its buffer holds, and judged by whether that buffer shrinks;
aiohttp gives a WebSocket's transport to nobody, but its constructor is handed the writer that has it. A test names
what breaks where a new version changes that. It must not decide anything.
"""

import asyncio
import ssl as tls
from typing import Any

import aiohttp

CONNECTOR_METHODS = {"_wrap_create_connection": "how much of what was written waits below TLS"}
"""Of `aiohttp.TCPConnector`."""
AT_ONCE_BYTES_MAX = 32 * 1024
"""So much is sent without a wait where nothing waits before it, whatever the network takes: half of the mark above
which a transport's buffer counts as full, and aiohttp waits for it to shrink."""
CLOSING_SECONDS_MAX = 1.0
"""How long the end of TLS waits for the peer's own."""


class DialledConnector(aiohttp.TCPConnector):
    """Begins TLS on a connection that is there, and keeps that one in reach: what TLS passed on waits in its buffer,
    and a link is judged by whether that shrinks."""

    async def _wrap_create_connection(
        self, *args: Any, ssl: tls.SSLContext | None = None, server_hostname: str | None = None, **options: Any
    ) -> tuple[asyncio.Transport, Any]:
        if ssl is None:
            return await super()._wrap_create_connection(*args, **options)
        below, _ = await super()._wrap_create_connection(asyncio.Protocol, *args[1:], **options)
        protocol = args[0]()
        try:
            transport = await asyncio.get_running_loop().start_tls(
                below, protocol, ssl, server_hostname=server_hostname, ssl_shutdown_timeout=CLOSING_SECONDS_MAX
            )
            if transport is None:
                raise ConnectionResetError("the connection was lost in its handshake")
        except BaseException:
            below.abort()
            raise
        protocol.connection_made(transport)
        protocol.below_tls = below
        return transport, protocol


class DialledSocket(aiohttp.ClientWebSocketResponse):
    """See the module. The client session makes these (`ws_response_class`)."""

    def __init__(self, reader: Any, writer: Any, protocol: Any, response: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(reader, writer, protocol, response, *args, **kwargs)
        self.transport: asyncio.Transport = writer.transport
        self._below: asyncio.Transport | None = getattr(protocol, "below_tls", None)
        self._http_response: aiohttp.ClientResponse = response

    @property
    def unsent_bytes(self) -> int:
        """What waits in its buffers to be sent."""
        below = self._below.get_write_buffer_size() if self._below is not None else 0
        return self.transport.get_write_buffer_size() + below

    @property
    def takes_at_once(self) -> bool:
        """Whether nothing waits in its buffers to be sent."""
        return not self.unsent_bytes

    def send_at_once(self, data: bytes) -> None:
        """`send_bytes`, which waits only while the buffer is over its mark; only where it `takes_at_once`, and for no
        more than `AT_ONCE_BYTES_MAX`.

        Raises what that raises, and `ConnectionError` where it would wait all the same: a link is lost, not the node.
        """
        try:
            self.send_bytes(data).send(None)
        except StopIteration:
            return
        raise ConnectionError("aiohttp waits although nothing is in the way")

    def abort(self) -> None:
        """Drop the connection now, without goodbye, with whatever its buffer holds."""
        self.transport.abort()
        self._http_response.close()
