"""Long answers leave in pieces, as fast as the client takes them and no faster; and no client holds one for ever."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from node.api import streaming
from node.api.server import ApiRunner
from node.api.slices import Slices
from node.api.streaming import PIECE_BYTES, answer_in_pieces, cut, in_pieces, listed
from tests.api.work import WorkPerTurn, counting

PIECES = 200
PIECE = b"x" * PIECE_BYTES


class Source:
    """Pieces that are counted when they are made."""

    def __init__(self, pieces: int = PIECES) -> None:
        self.pieces = pieces
        self.made = 0
        self.work = WorkPerTurn()
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.pieces):
            self.made += 1
            self.begun.set()
            self.work.did()
            yield PIECE


@asynccontextmanager
async def serving(source: Source, size_bytes: int | None = None) -> AsyncIterator[tuple[int, ApiRunner]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await answer_in_pieces(request, iter(source), Slices(), {"X-Own": "1"}, size_bytes)
        finally:
            source.ended.set()

    app = web.Application()
    app.router.add_get("/", handle)
    runner = ApiRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1], runner
    finally:
        await runner.cleanup()


async def test_a_long_answer_is_made_piece_by_piece_in_turns_of_its_own() -> None:
    source = Source()
    async with serving(source) as (port, _), counting() as source.work, aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.headers["X-Own"] == "1"
            assert len(await answer.read()) == PIECES * PIECE_BYTES
        assert source.work.most == 1


async def test_an_answer_of_one_piece_says_how_long_it_is() -> None:
    async with (
        serving(Source(1)) as (port, _),
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/") as answer,
    ):
        assert answer.headers["Content-Length"] == str(PIECE_BYTES)
        assert await answer.read() == PIECE


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_whose_length_is_known_says_so(method: str) -> None:
    async with serving(Source(3), 3 * PIECE_BYTES) as (port, _), aiohttp.ClientSession() as client:
        for _ in range(2):  # the connection stays good
            async with client.request(method, f"http://127.0.0.1:{port}/") as answer:
                assert answer.headers["Content-Length"] == str(3 * PIECE_BYTES)
                assert len(await answer.read()) == (3 * PIECE_BYTES if method == "GET" else 0)


async def unread(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks and reads nothing: its buffer of 64 KiB fills, and so does the kernel's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=PIECE_BYTES)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return reader, writer


async def test_no_more_is_made_than_the_client_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(10_000)
    async with serving(source) as (port, runner):
        _, writer = await unread(port)
        await asyncio.wait_for(source.begun.wait(), 5)
        made = -1
        while made != source.made:  # until the kernel's buffers are full
            made = source.made
            await asyncio.sleep(0.05)
        assert made * PIECE_BYTES < 32 * 1024 * 1024
        assert runner.server is not None
        (connection,) = runner.server.connections
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() <= 3 * PIECE_BYTES
        assert not source.ended.is_set()
        writer.close()
        await asyncio.wait_for(source.ended.wait(), 5)


@pytest.mark.parametrize("limit", ["WRITE_SECONDS_MAX", "ANSWER_SECONDS_MAX"])
async def test_a_client_that_reads_nothing_is_cut_off(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, limit, 0.05)
    source = Source(10_000)
    async with serving(source) as (port, _):
        reader, writer = await unread(port)
        await asyncio.wait_for(source.ended.wait(), 5)
        assert not (await asyncio.wait_for(reader.read(), 5)).endswith(b"0\r\n\r\n"), "it looks whole"
        writer.close()
    assert source.made < source.pieces


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Source):
        def __iter__(self) -> Iterator[bytes]:
            yield PIECE
            yield PIECE
            raise RuntimeError("planted")

    async with serving(Failing()) as (port, _), aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError):
            async with client.get(f"http://127.0.0.1:{port}/") as answer:
                await answer.read()
    assert "an answer broke off" in caplog.text


async def test_a_long_answer_of_a_connection_that_retires_says_so() -> None:
    async with serving(Source(3)) as (port, runner), aiohttp.ClientSession() as client:
        runner.retire_connections()
        async with client.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.headers["Connection"] == "close"
            assert len(await answer.read()) == 3 * PIECE_BYTES


def test_parts_are_joined_up_to_the_length_of_a_piece() -> None:
    parts = [b"a" * 10] * 25 + [b"b" * 1000] + [b"c"]
    pieces = list(in_pieces(iter(parts), 100))
    assert [len(piece) for piece in pieces] == [100, 100, 1050, 1]
    assert b"".join(pieces) == b"".join(parts)
    assert list(in_pieces(iter(()))) == []
    assert list(cut(b"abcde", 2)) == [b"ab", b"cd", b"e"]


@pytest.mark.parametrize("rows", [[], [b"1"], [b"1", b'"b"']])
def test_a_list_in_parts_is_json(rows: list[bytes]) -> None:
    assert b"".join(listed({"a": 1}, "rows", iter(rows))) == b'{"a":1,"rows":[' + b",".join(rows) + b"]}\n"
