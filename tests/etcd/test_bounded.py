"""No request to etcd's API holds the loop, however large it legally is: each here is at its full size.

What is counted between two turns of the loop: tokens of JSON, characters of base64, keys and bytes that are rendered.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from node.api.etcd import quick, rendering, scalars, scanner
from node.api.etcd.bodies import BODY_BYTES_MAX
from node.api.etcd.requests import NESTED_OPERATIONS_MAX, OPERATIONS_MAX
from node.api.etcd.scanner import TOKENS_MAX
from node.api.slices import SLICE_WORK_MAX
from node.api.streaming import PIECE_BYTES
from node.runtime.ports import Done, DoneUntold
from node.statemachine.writes import DeleteResult, KeyValue, Put, PutResult, RangeResult, TxnResult
from tests.api.double import Server, client_of, serving
from tests.api.work import WorkPerTurn, counting

KEYS = 200_000
TOKENS_PER_TURN_MAX = SLICE_WORK_MAX // scanner.WORK_PER_TOKEN + scanner.TOKENS_PER_STEP + 4
ALL = {"key": "AA==", "range_end": "AA=="}


@pytest.fixture
async def tokens(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkPerTurn]:
    """Tokens between two turns."""
    async with counting() as work:
        add = scanner.Tokens.add

        def counted(self: scanner.Tokens, kind: int, start: int, end: int) -> None:
            work.did()
            add(self, kind, start, end)

        monkeypatch.setattr(scanner.Tokens, "add", counted)
        yield work


@pytest.fixture
async def kvs(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkPerTurn]:
    """Bytes of rendered keys between two turns."""
    async with counting() as work:
        render = rendering.kv_text

        def counted(kv: KeyValue) -> str:
            text = render(kv)
            work.did(len(text))
            return text

        monkeypatch.setattr(rendering, "kv_text", counted)
        yield work


@asynccontextmanager
async def client() -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    async with serving() as server, client_of(server) as http:
        yield server, http


async def post(http: aiohttp.ClientSession, name: str, body: bytes) -> tuple[int, dict[str, Any]]:
    async with http.post(f"/v3/kv/{name}", data=pieces(body)) as answer:
        return answer.status, json.loads(await answer.read())


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


ONES = b'{"x":[' + b"1," * 2_000_000 + b"1]}"
COMPARES = b'{"compare":[' + b"{}," * 1_300_000 + b"{}]}"


@pytest.mark.parametrize(("name", "body"), [("put", ONES), ("txn", COMPARES)], ids=["two-million-tokens", "compares"])
async def test_a_body_of_a_million_tokens_is_refused_in_small_steps(
    name: str, body: bytes, tokens: WorkPerTurn
) -> None:
    """They held the loop of a leader for 20 and 15 seconds."""
    assert len(body) < BODY_BYTES_MAX
    async with client() as (server, http):
        status, answer = await post(http, name, body)
        assert (status, answer["code"], "tokens" in answer["message"]) == (429, 8, True)
        assert server.node.proposed == []
    assert TOKENS_MAX < tokens.total <= TOKENS_MAX + 2 * scanner.TOKENS_PER_STEP, "no more is read than decides it"
    assert tokens.most <= TOKENS_PER_TURN_MAX


@pytest.mark.slowest
async def test_many_large_bodies_together_take_one_slice_in_a_turn(tokens: WorkPerTurn) -> None:
    body = b'{"key":"YQ==","x":[' + b"1," * 10_000 + b"1]}"
    async with client() as (_, http):
        answers = await asyncio.gather(*(post(http, "range", body) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert tokens.total > 20 * 10_000
    assert tokens.most <= TOKENS_PER_TURN_MAX + 20 * scanner.TOKENS_PER_STEP


LONG = {
    "white space": b'{"key":"YQ==","x":' + b" " * 4_100_000 + b"1}",
    "a name": b'{"key":"YQ==","' + b"n" * 4_100_000 + b'":1}',
    "a string": b'{"key":"YQ==","x":"' + b"s" * 4_100_000 + b'"}',
    "escapes": b'{"key":"YQ==","x":"' + b"\\/" * 2_000_000 + b'"}',
    "nesting": b'{"key":"YQ==","x":' + b"[" * 9_999 + b"]" * 9_999 + b"}",
}


@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
async def test_what_nobody_wants_is_stepped_over_in_steps(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step says how much it was; what a pattern runs over in one go is bounded."""
    went = 0
    spaces = scanner._end

    def counted(pattern: object, data: bytes, at: int) -> int:
        nonlocal went
        end = spaces(pattern, data, at)  # type: ignore[arg-type]
        went = max(went, end - at)
        return end

    monkeypatch.setattr(scanner, "_end", counted)
    async with client() as (_, http):
        assert (await post(http, "range", body))[0] == 200
    assert went <= scanner.BYTES_PER_STEP


async def test_a_number_without_end_is_too_long() -> None:
    async with client() as (_, http):
        status, answer = await post(http, "range", b'{"key":"YQ==","x":' + b"1" * 4_000_000 + b"}")
    assert (status, answer["code"]) == (429, 8)


async def test_an_error_quotes_no_more_than_so_much() -> None:
    async with client() as (_, http):
        status, answer = await post(http, "put", b'{"key":"YQ==","lease":"' + b"x" * 4_000_000 + b'"}')
    assert (status, len(answer["message"]) < 5000) == (400, True)


async def test_base64_of_the_longest_value_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    value = b64encode(bytes(range(256)) * 6_000)
    async with client() as (server, http), counting() as work:

        def counted(data: bytes) -> bytes:
            work.did(len(data))
            return b64decode(data)

        monkeypatch.setattr(scalars, "b64decode", counted)
        status, _ = await post(http, "put", b'{"key":"YQ==","value":"' + value + b'"}')
        assert status == 200
        found = server.node.store.get(b"a")
        assert isinstance(found, KeyValue)
        assert found.value == bytes(range(256)) * 6_000
    assert work.total >= len(value)
    assert work.most <= SLICE_WORK_MAX * scalars.BASE64_CHARS_PER_WORK + scalars.BASE64_CHARS_PER_STEP


def test_what_is_read_at_once_is_light() -> None:
    assert not quick.is_light(b"[" * quick.UNCOUNTED_BYTES_MAX * 3)
    assert not quick.is_light(b" " * (quick.BYTES_MAX + 1))
    assert quick.is_light(b'{"key":"YQ==","value":"' + b64encode(bytes(100_000)) + b'"}')
    usual = {"request_put": {"key": "YQ==", "value": "YQ==", "lease": "1"}}
    txn = {part: [usual] * 128 for part in ("success", "failure")}
    assert quick.is_light(json.dumps({**txn, "compare": [{"key": "YQ==", "target": "VERSION", "version": 1}]}).encode())


def flat(count: int) -> dict[str, Any]:
    """A transaction of so many operations, nested ones included, at most 64 in each."""
    get = {"request_range": {"key": "YQ=="}}
    nested = [{"request_txn": {"success": [get] * 60}} for _ in range(count // 61)]
    return {"success": [*nested, *([get] * (count % 61))]}


def chain(compares: int) -> dict[str, Any]:
    """Sixty transactions in each other, with a delete beside each, two instead of it, and so many compares."""
    message: dict[str, Any] = {}
    for depth in range(60):
        keys = [b64encode(b"%d %d" % (depth, number)).decode() for number in range(2)]
        one, other = ({"request_delete_range": {"key": key}} for key in keys)
        compare = [{"key": key} for key in keys[:compares]]
        message = {"compare": compare, "success": [{"request_txn": message}, one], "failure": [one, other]}
    return message


@pytest.mark.parametrize(
    ("txn", "status"),
    [(flat(OPERATIONS_MAX), 200), (flat(OPERATIONS_MAX + 1), 400), (chain(0), 200), (chain(2), 400)],
    ids=["all", "one-too-many", "nested", "nested-too-much"],
)
async def test_a_whole_transaction_has_so_many_operations(txn: dict[str, Any], status: int) -> None:
    async with client() as (_, http):
        answer = await post(http, "txn", json.dumps(txn).encode())
    assert answer[0] == status
    if status == 400:
        assert answer[1]["message"] == "etcdserver: too many operations in txn request"


def test_the_limits_leave_room_for_what_etcd_allows_on_one_path() -> None:
    assert NESTED_OPERATIONS_MAX >= 128 * 129 // 2
    assert OPERATIONS_MAX >= 3 * 128


class Read:
    """A read that is done; see `node.api.slices.ReadJob`."""

    def __init__(self, result: object) -> None:
        self.result = result

    def run(self, _work_max: int, /) -> bool:
        return True

    def close(self) -> None:
        pass


@pytest.mark.slowest
@pytest.mark.parametrize("how", ["range", "eight-ranges", "txn-with-a-put", "deleterange"])
async def test_an_answer_of_200_000_keys_leaves_in_pieces(
    how: str, kvs: WorkPerTurn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of them held the loop for seconds, and was in memory as one text."""
    keys = KEYS if how in ("range", "deleterange") else KEYS // 5
    all_ = tuple(KeyValue(b"key-%06d" % number, b"value", 2, 2, 1) for number in range(keys))
    found = RangeResult(2, all_, keys, False)
    eighth = RangeResult(2, all_[: keys // 8], keys, True)
    put, get = {"request_put": {"key": "YQ==", "value": "YQ=="}}, {"request_range": ALL}
    requests: dict[str, tuple[str, dict[str, Any], object]] = {
        "range": ("range", ALL, found),
        "eight-ranges": ("txn", {"success": [get] * 8}, TxnResult(2, True, (eighth,) * 8)),
        "txn-with-a-put": ("txn", {"success": [put, get]}, TxnResult(2, True, (PutResult(2), found))),
        "deleterange": ("deleterange", {**ALL, "prev_kv": True}, DeleteResult(2, keys, all_)),
    }
    name, message, result = requests[how]
    async with client() as (server, http):
        monkeypatch.setattr(server.node.store, "begin_read", lambda _: Read(result), raising=False)
        monkeypatch.setattr(server.node.store, "begin_read_txn", lambda _: Read(result), raising=False)
        server.node.outcome = Done(result, 1, 1)
        async with http.post(f"/v3/kv/{name}", json=message) as answer:
            assert (answer.status, answer.headers["Transfer-Encoding"]) == (200, "chunked")
            body = await answer.read()
    assert body.count(b'"create_revision"') == keys
    assert body.endswith(b"}\n")
    json.loads(body)
    assert kvs.total > keys * 70
    assert kvs.most <= PIECE_BYTES + 200, "a piece, and the key that fills it"


async def test_keys_weigh_what_their_values_weigh(kvs: WorkPerTurn) -> None:
    async with client() as (server, http):
        server.node.do(*(Put(b"%d" % number, bytes(1 << 20)) for number in range(40)))
        async with http.post("/v3/kv/range", json=ALL) as answer:
            assert (await answer.read()).count(b'"create_revision"') == 40
    assert kvs.total > 40 * (1 << 20)
    assert kvs.most < 2 * (1 << 20), "one key of a megabyte in a turn"


async def test_done_without_an_answer_says_that_it_was_done() -> None:
    async with client() as (server, http):
        server.node.outcome = DoneUntold(7, 2, "its answer is too long to be sent here")
        status, answer = await post(http, "put", b'{"key":"YQ=="}')
    assert (status, answer["code"]) == (504, 4)
    assert answer["message"] == "etcdserver: the write was done, but its answer is too long to be sent here"


async def test_a_result_may_be_a_value() -> None:
    kv = KeyValue(b"a", b"1", 2, 2, 1)
    results = [
        PutResult(3, kv),
        DeleteResult(3, 1, (kv,)),
        TxnResult(3, True, (RangeResult(3, (kv,), 1, False), PutResult(3))),
    ]
    async with client() as (server, http):
        for result in results:
            server.node.outcome = Done(result, 1, 1)
            status, answer = await post(http, "put", b'{"key":"YQ=="}')
            assert (status, answer["header"]["revision"]) == (200, "3")
