"""The load generator counts what was answered, and nothing else."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from benchmarks.load import PUTS_PER_TXN, Load, answer_end, percentile, requests_for, run_load
from chaos.listeners import listen_no_more

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[tuple[str, int], list[bytes]]]:
    """A server that gives these answers in turn, in two pieces each, and keeps what it was asked."""
    asked: list[bytes] = []

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            serving.append(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
                asked.append(head + await reader.readexactly(length))
                answer = answers[(len(asked) - 1) % len(answers)]
                writer.write(answer[:10])
                await asyncio.sleep(0.002)  # two pieces, not one
                writer.write(answer[10:])
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2], asked
        await listen_no_more(server)
        if serving:
            await asyncio.wait(serving)
        await asyncio.sleep(0)  # the transports close in the turn after


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (OK, len(OK)),
        (OK + OK, len(OK)),
        (OK[:-1], -1),
        (OK[:20], -1),
        (BUSY, len(BUSY)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 59),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", -1),
    ],
)
def test_an_answer_ends_where_its_length_says(data: bytes, end: int) -> None:
    assert answer_end(data) == end


async def test_every_request_is_sent_once_and_every_answer_counted_once() -> None:
    async with answering(OK) as (target, asked):
        tally = await run_load(Load([target], "v3-put", clients=3, seconds=10, count=20, keys=20))
    assert (tally.done, tally.errors) == (20, {})
    assert len(set(asked)) == 20
    assert tally.p50_ms <= tally.p99_ms <= tally.max_ms


async def test_a_refusal_is_an_error_and_no_latency() -> None:
    async with answering(OK, BUSY) as (target, _):
        tally = await run_load(Load([target], "kv-put", clients=1, seconds=10, count=10))
    assert (tally.done, tally.errors) == (5, {"503": 5})


async def test_what_comes_during_the_warm_up_does_not_count() -> None:
    async with answering(OK) as (target, asked):
        tally = await run_load(Load([target], "kv-get", clients=1, seconds=0.5, warmup_s=0.1))
    assert 0 < tally.done < len(asked)


def test_transactions_put_every_key_once() -> None:
    keys = 2 * PUTS_PER_TXN + 3
    made = requests_for(Load([], "v3-txn", 1, 1.0, keys=keys, first_key=7))
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in made]
    puts = [b64decode(each["request_put"]["key"]) for body in bodies for each in body["success"]]
    assert puts == [b"bench/%08d" % number for number in range(7, 7 + keys)]
    assert max(len(body["success"]) for body in bodies) == PUTS_PER_TXN == 128


def test_requests_say_their_own_length() -> None:
    load = Load([], "v3-put", 1, 1.0, keys=2)
    for request in requests_for(load):
        head, _, body = request.partition(b"\r\n\r\n")
        assert int(head.rpartition(b" ")[2]) == len(body)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_percentiles_are_values_that_occurred(share: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == value
    assert percentile([], share) == 0.0
