"""aiohttp's client WebSocket with its transport in reach: what the links lean on of aiohttp that it does not promise.

Why it exists: a link must be dropped at once with whatever its buffer holds, and judged by whether that buffer shrinks;
aiohttp gives a WebSocket's transport to nobody, but its constructor is handed the writer that has it. A test names
what breaks where a new version changes that. It must not decide anything.
"""

import asyncio
from typing import Any

import aiohttp


class DialledSocket(aiohttp.ClientWebSocketResponse):
    """See the module. The client session makes these (`ws_response_class`)."""

    def __init__(self, reader: Any, writer: Any, protocol: Any, response: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(reader, writer, protocol, response, *args, **kwargs)
        self.transport: asyncio.Transport = writer.transport
        self._http_response: aiohttp.ClientResponse = response

    @property
    def takes_at_once(self) -> bool:
        """Whether nothing waits in its buffer to be sent."""
        return not self.transport.get_write_buffer_size()

    def send_at_once(self, data: bytes) -> None:
        """`send_bytes`, which waits only while the buffer is over its mark; only where it `takes_at_once`.

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
