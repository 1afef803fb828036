"""What became of a request is told as it is, and no request is sent twice."""

import asyncio
import socket
from base64 import b64encode

import pytest
from aiohttp import web

from chaos.clock import Clock
from chaos.errors import ChaosError
from chaos.observe.nodeapi import (
    command,
    fetch_log,
    fetch_view,
    get_value,
    new_session,
    put_value,
)
from chaos.observe.past import RANGES_PAGE, fetch_past, fetch_versions
from tests.chaos.doubles import answering, raw


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (400, "fail"),
        (412, "fail"),
        (503, "fail"),
        (507, "fail"),
        (500, "unknown"),
        (502, "unknown"),
        (504, "unknown"),
    ],
)
async def test_a_write_failed_only_where_nothing_can_have_happened(status: int, outcome: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert (request.path, await request.read()) == ("/kv/chaos/t/w1", b"7")
        return web.json_response({"error": "why", "message": "because"}, status=status)

    async with answering(handler) as url, new_session() as session:
        reply = await put_value(session, url, "chaos/t/w1", 7, 2.0)
    assert (reply.outcome, reply.code) == (outcome, status)
    assert reply.error == ("" if outcome == "ok" else "why: because")


async def test_a_refused_connection_is_a_failure_and_a_broken_one_is_not() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with new_session() as session:
            assert (await put_value(session, nobody, "k", 1, 2.0)).outcome == "fail"
            assert not (await command(session, nobody, "recover", {})).ok

    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with raw(hang_up) as url, new_session() as session:
        assert (await put_value(session, url, "k", 1, 2.0)).outcome == "unknown"
        assert (await command(session, url, "recover", {})).code == "unknown"


async def test_no_answer_in_time_is_unknown() -> None:
    over = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async with answering(silent) as url, new_session() as session:
        assert (await put_value(session, url, "k", 1, 0.1)).outcome == "unknown"
        assert (await get_value(session, url, "k", 0.1)).outcome == "fail"
        assert await fetch_view(session, url, Clock(), 0.1) is None
        over.set()


async def test_a_write_on_a_kept_connection_that_breaks_is_sent_once() -> None:
    seen = []

    async def first_good_then_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            seen.append(head.split(b" ", 2)[:2])
            await reader.readexactly(1)
            if len(seen) > 1:
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw(first_good_then_gone) as url, new_session() as session:
        assert (await put_value(session, url, "a", 1, 2.0)).outcome == "ok"
        assert (await put_value(session, url, "b", 2, 2.0)).outcome == "unknown"
        await asyncio.sleep(0)
    assert seen == [[b"PUT", b"/kv/a"], [b"PUT", b"/kv/b"]]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "17", ("ok", 17)),
        (200, "seventeen", ("ok", -1)),
        (404, '{"error":"key-not-found","message":"there is no such key"}', ("ok", 0)),
        (404, "404: Not Found", ("fail", None)),
        (503, '{"error":"no-leader","message":"none"}', ("fail", None)),
        (504, "", ("fail", None)),
    ],
)
async def test_a_read_that_is_no_value_and_no_absence_says_nothing(
    status: int, body: str, expected: tuple[str, int | None]
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with answering(handler) as url, new_session() as session:
        reply = await get_value(session, url, "k", 2.0)
    assert (reply.outcome, reply.value) == expected


async def test_a_view_carries_when_it_was_asked_and_answered() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "name": "n1",
                "role": "leader",
                "term": 3,
                "leader": "n1",
                "commit": 8,
                "applied": 7,
                "later": {"field": 1},
                "voters": [{"name": "n1", "incarnation": "a"}],
                "peers": [{"name": "n2", "last_contact_ms": None, "link_up": True, "match_index": 5}],
            }
        )

    async with answering(handler) as url, new_session() as session:
        clock = Clock()
        view = await fetch_view(session, url, clock)
    assert view is not None
    assert 0 < view.asked_us <= view.answered_us <= clock.now_us()
    assert (view.time_us, view.peers[0].match_index, view.voters[0].incarnation) == (None, 5, "a")


async def test_what_is_no_node_has_no_view_and_no_log() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(["something", "else"])

    async with answering(handler) as url, new_session() as session:
        assert await fetch_view(session, url, Clock()) is None
        with pytest.raises(ChaosError, match="answered as no node does"):
            await fetch_log(session, url)


async def test_a_log_is_read_in_pages_from_its_first_index_to_its_commit() -> None:
    async def handler(request: web.Request) -> web.Response:
        first, limit = max(5, int(request.query["from"])), int(request.query["limit"])
        entries = [
            {"index": n, "term": 1, "checksum": f"{n:08x}", "kind": "write"}
            for n in range(first, min(first + limit, 2511))
        ]
        return web.json_response({"first_index": 5, "last_index": 2510, "commit": 2500, "entries": entries})

    async with answering(handler) as url, new_session() as session:
        lines = await fetch_log(session, url)
        late = await fetch_log(session, url, from_index=2499)
    assert [line.index for line in lines] == list(range(5, 2501))
    assert [line.index for line in late] == [2499, 2500]


async def test_what_lies_before_a_log_that_is_compacted_meanwhile_is_left_out() -> None:
    async def handler(request: web.Request) -> web.Response:
        asked = int(request.query["from"])
        first = asked if asked < 1001 else 1500
        entries = [{"index": n, "term": 1, "checksum": "c"} for n in range(first, min(first + 1000, 1601))]
        return web.json_response({"first_index": 1, "last_index": 1600, "commit": 1600, "entries": entries})

    async with answering(handler) as url, new_session() as session:
        lines = await fetch_log(session, url)
    assert [line.index for line in lines] == list(range(1500, 1601))


async def test_an_acknowledged_write_carries_the_revision_that_the_node_named() -> None:
    named: dict[str, str] = {}

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({}, headers=named)

    async with answering(handler) as url, new_session() as session:
        assert (await put_value(session, url, "k", 7, 2.0)).revision == 0
        named["ETag"] = '"41"'
        assert (await put_value(session, url, "k", 7, 2.0)).revision == 41
        named["ETag"] = '"other"'
        assert (await put_value(session, url, "k", 7, 2.0)).revision == 0


async def test_the_past_is_read_in_pages_and_holds_nothing_that_is_yet_to_come() -> None:
    asked: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/v3/kv/txn"
        reads = [one["request_range"] for one in (await request.json())["success"]]
        asked.append(len(reads))
        return web.json_response({"succeeded": True, "responses": [_past(read) for read in reads]})

    def _past(read: dict[str, str]) -> dict[str, object]:
        revision = int(read["revision"])
        assert revision <= 200, "the node refuses what is yet to come"
        value = b64encode(b"x" if revision == 5 else str(revision * 10).encode()).decode()
        kvs = [{"mod_revision": str(revision), "value": value}] if revision > 3 else []
        return {"response_range": {"header": {"revision": "200"}, "kvs": kvs}}

    async with answering(handler) as url, new_session() as session:
        found = await fetch_past(session, url, [("k", revision) for revision in range(2, 203)])
    assert found[:4] == [(0, 0), (0, 0), (4, 40), (5, -1)]
    assert found[-4:] == [(199, 1990), (200, 2000), (0, 0), (0, 0)]
    assert asked == [1, RANGES_PAGE, 199 - RANGES_PAGE]


async def test_a_past_that_is_not_told_is_an_error() -> None:
    async def compacted(_: web.Request) -> web.Response:
        return web.json_response({"code": 11, "message": "compacted"}, status=400)

    async def too_few(_: web.Request) -> web.Response:
        return web.json_response({"responses": []})

    for handler in (compacted, too_few):
        async with answering(handler) as url, new_session() as session:
            with pytest.raises(ChaosError):
                await fetch_past(session, url, [("k", 2)])


async def test_how_often_keys_were_written_is_read_in_pages() -> None:
    keys = [{"key": f"chaos/t/w{n}", "version": n} for n in range(5)]

    async def handler(request: web.Request) -> web.Response:
        assert request.query["prefix"] == "chaos/t/"
        rest = [key for key in keys if str(key["key"]) >= request.query.get("from", "")]
        return web.json_response({"keys": rest[:2], "more": len(rest) > 2})

    async with answering(handler) as url, new_session() as session:
        found = await fetch_versions(session, url, "chaos/t/")
    assert found == {f"chaos/t/w{n}": n for n in range(5)}


async def test_a_command_tells_what_the_node_said() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert (request.path, await request.json()) == ("/commands/cut_link", {"peer": "n2", "seconds": 5})
        return web.json_response({"error": "faults-disabled", "message": "start it with --enable-faults"}, status=403)

    async with answering(handler) as url, new_session() as session:
        answer = await command(session, url, "cut_link", {"peer": "n2", "seconds": 5})
    assert (answer.ok, answer.code, answer.message) == (False, "faults-disabled", "start it with --enable-faults")
