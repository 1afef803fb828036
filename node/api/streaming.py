"""Answers that may be long, in pieces: each is made in a slice of its own, and goes out before the next is made.

Why it exists: an answer of 56 MB in one piece holds the loop while it is made and all of its memory while it is sent.
A client that does not read holds what its answer refers to no longer than a stated time. It must not know what is in
the pieces.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar

from aiohttp import web

from node.api.answers import json_text
from node.api.slices import Slices

PIECE_BYTES = 64 * 1024
"""A piece ends with the part that brings it to this; one part is a key with its value, say."""

WRITE_SECONDS_MAX = 30.0
"""A client that takes no more of its answer for so long is cut off."""

ANSWER_SECONDS_MAX = 600.0
"""A client that has not taken the whole answer by then is cut off: it may not hold old versions for ever."""

RETIRING: ContextVar[Callable[[], bool]] = ContextVar("retiring")
"""Set for a request: whether its connection ends with the answer (see `ApiRunner`)."""

_LOG = logging.getLogger("node.api")


class Broken(Exception):
    """The rest of an answer cannot be had."""


def in_pieces(parts: Iterator[bytes], piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """`parts` joined to pieces: few writes, and little work between two."""
    waiting: list[bytes] = []
    size_bytes = 0
    for part in parts:
        waiting.append(part)
        size_bytes += len(part)
        if size_bytes >= piece_bytes:
            yield b"".join(waiting)
            waiting.clear()
            size_bytes = 0
    if waiting:
        yield b"".join(waiting)


def listed(about: Mapping[str, object], name: str, rows: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON object part by part: the members `about`, then a list `name` of what is JSON already; a newline."""
    separator = json_text(about)[:-1] + b"," + json_text(name) + b":["
    for row in rows:
        yield separator + row
        separator = b","
    yield (b"" if separator == b"," else separator) + b"]}\n"


def cut(body: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """`body` in pieces."""
    return (body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes))


async def answer_in_pieces(
    request: web.Request,
    pieces: Iterator[bytes],
    slices: Slices,
    headers: Mapping[str, str],
    size_bytes: int | None = None,
) -> web.StreamResponse:
    """200 with `pieces`. `size_bytes`: how long they are together, where that is known; else the answer is chunked
    unless one piece is all of it, as etcd's gateway has it."""
    await slices.next()
    first = next(pieces, b"")
    second = b""
    if size_bytes is None or len(first) < size_bytes:
        await slices.next()
        second = next(pieces, b"")
    if not second:
        return web.Response(body=first, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = size_bytes
    if RETIRING.get(_never)():
        response.force_close()
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await response.prepare(request)
            if request.method != "HEAD":
                await _write(response, first)
                await _write(response, second)
                await _write_rest(response, pieces, slices)
            await response.write_eof()
    except (ConnectionError, TimeoutError):
        _abort(request)
    except Exception:
        _LOG.exception("an answer broke off: %s %s", request.method, ascii(request.raw_path[:200]))
        _abort(request)
    return response


async def answer_as_read(
    request: web.Request,
    pieces: AsyncIterator[bytes],
    headers: Mapping[str, str],
    seconds_max: float,
    size_bytes: int | None = None,
) -> web.StreamResponse:
    """200 with `pieces`, each of which is waited for: they come from a disk. One that raises `Broken` breaks the answer
    off, so that the client sees that it is not whole."""
    response = web.StreamResponse(headers=headers)
    response.content_length = size_bytes
    if RETIRING.get(_never)():
        response.force_close()
    try:
        async with asyncio.timeout(seconds_max):
            await response.prepare(request)
            if request.method != "HEAD":
                async for piece in pieces:
                    await _write(response, piece)
            await response.write_eof()
    except (ConnectionError, TimeoutError, Broken):
        _abort(request)
    return response


async def _write_rest(response: web.StreamResponse, pieces: Iterator[bytes], slices: Slices) -> None:
    while True:
        await slices.next()
        piece = next(pieces, b"")
        if not piece:
            return
        await _write(response, piece)


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    """Returns when the client has taken all but the last of it."""
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await response.write(piece)


def _abort(request: web.Request) -> None:
    """Part of an answer is none: the client must see that it is not whole."""
    if request.transport is not None:
        request.transport.abort()


def _never() -> bool:
    return False
