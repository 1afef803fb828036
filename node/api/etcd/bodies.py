"""A request's body, bounded in size and in the time that it may take to arrive.

Why it exists: etcd's messages may be longer than a value of `/kv`, so the server's own limit is not theirs. It must
not know what a body means.
"""

import asyncio

from aiohttp import web

from node.api.answers import Problem
from node.api.connection import room_for_body
from node.api.etcd.errors import Code, EtcdError, invalid
from node.api.etcd.requests import too_long

BODY_BYTES_MAX = 4 * 1024 * 1024
"""A message of 2 MiB in base64, and what else belongs to it. A longer body is answered as too long a message is."""

BODY_SECONDS_MAX = 5.0


async def read_body(request: web.Request) -> bytes:
    """The whole body; raises `EtcdError`."""
    content = request.content
    length = request.content_length or 0
    if length > BODY_BYTES_MAX:
        raise too_long(length)
    if content.is_eof():  # it came with its headers, and waits for room as others do
        body = content.read_nowait(-1)
        await _room(request, len(body))
        return body
    await _room(request, length or BODY_BYTES_MAX)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while piece := await content.readany():
                await asyncio.sleep(0)  # `readany` itself gives nobody else a turn while pieces wait
                size += len(piece)
                if size > BODY_BYTES_MAX:
                    raise too_long(size)
                pieces.append(piece)
    except TimeoutError:
        raise EtcdError(Code.CANCELLED, "the body did not arrive in time; nothing was done") from None
    except web.RequestPayloadError:
        raise invalid("unexpected EOF") from None
    return b"".join(pieces)


async def _room(request: web.Request, size: int) -> None:
    try:
        await room_for_body(request, size)
    except Problem as problem:
        raise EtcdError(Code.RESOURCE_EXHAUSTED, str(problem)) from None
