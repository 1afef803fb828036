"""Google's client of gRPC, for methods by their paths."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from tests.grpc.messages import message, new

KV = "/etcdserverpb.KV"


class Client:
    """One channel. Calls return Google's message, or raise `grpc.aio.AioRpcError`."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    async def ask(
        self, path: str, kinds: tuple[str, str], timeout: float | None = 10, metadata: Any = None, **fields: Any
    ) -> Any:
        """One message for one."""
        call = self.channel.unary_unary(path, message(kinds[0]).SerializeToString, message(kinds[1]).FromString)
        return await call(new(kinds[0], **fields), timeout=timeout, metadata=metadata)

    async def put(self, key: bytes, value: bytes, **more: Any) -> Any:
        return await self.ask(f"{KV}/Put", ("PutRequest", "PutResponse"), key=key, value=value, **more)

    async def range(self, key: bytes, range_end: bytes = b"", **more: Any) -> Any:
        return await self.ask(f"{KV}/Range", ("RangeRequest", "RangeResponse"), key=key, range_end=range_end, **more)

    async def raw(self, path: str, data: bytes, metadata: Any = None, timeout: float | None = 10) -> bytes:
        """These very bytes as message."""
        call = self.channel.unary_unary(path, bytes, bytes)
        found: bytes = await call(data, timeout=timeout, metadata=metadata)
        return found

    def stream(self, path: str, requests: Iterable[bytes] | AsyncIterator[bytes]) -> Any:
        """A stream of bytes, both ways."""
        return self.channel.stream_stream(path, bytes, bytes)(requests)


@asynccontextmanager
async def client(target: str) -> AsyncIterator[Client]:
    """A client on a channel of its own."""
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", 0),
    )
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield Client(channel)
