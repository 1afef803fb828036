"""Watches over HTTP: etcd's lines and server-sent events, as clients see them; and the client that resumes."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from node.api import following as following_module
from node.api import kv_watch
from node.api.etcd.watch_door import BODY_BYTES_MAX, one_by_one
from node.raft.types import Role
from node.runtime.ports import ReadFailed
from node.statemachine.writes import Compact, Put, Txn
from raftclient import Change, HistoryGone, NotDone, RaftClient
from tests.api.double import Server, client_of, serving
from tests.observe.status import node_status

A = "YQ=="


async def lines(http: aiohttp.ClientSession, body: str, count: int) -> list[Any]:
    """So many lines of a watch."""
    async with http.post("/v3/watch", data=body) as answer:
        assert answer.status == 200, await answer.text()
        return [json.loads(await answer.content.readline())["result"] for _ in range(count)]


async def blocks(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Server-sent events, each as its fields."""
    fields: dict[str, str] = {}
    async for line in answer.content:
        if line == b"\n":
            yield fields
            fields = {}
        else:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value


async def heard(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, str, str]]:
    """Kind, id and key of the next events."""
    found: list[tuple[str, str, str]] = []
    async for fields in blocks(answer):
        key = json.loads(fields.get("data", "{}")).get("key", "")
        found.append((fields.get("event", ""), fields.get("id", ""), key))
        if len(found) == count:
            return found
    return found


def test_a_body_holds_messages_one_after_the_other() -> None:
    body = b' {"create_request":{"key":"}{"}} {"a":["\\"}"]}x '
    assert list(one_by_one(body)) == [b' {"create_request":{"key":"}{"}}', b' {"a":["\\"}"]}', b"x "]


@pytest.mark.parametrize("piece", [b'\\"', b'"\\', b'"', b"\\", b'{"', b'[\\"'])
def test_a_body_of_no_use_is_read_once(piece: bytes) -> None:
    """A string without an end was looked for at every quote in it: 64 KiB took half a minute."""

    def seconds(body: bytes) -> float:
        took = []
        for _ in range(3):
            began = time.process_time()
            assert b"".join(one_by_one(body)) == body
            took.append(time.process_time() - began)
        return min(took)

    for before in (b"", b'"'):
        assert seconds(before + piece * (BODY_BYTES_MAX // len(piece))) < 0.25


@pytest.mark.parametrize(
    ("body", "status"),
    [("", 400), ("{}", 400), ("x", 400), ('{"create_request":', 400), ('{"create_request":{"key":"!"}}', 400)],
)
async def test_a_body_that_asks_for_no_watch_is_refused(body: str, status: int) -> None:
    async with serving() as server, client_of(server) as http, http.post("/v3/watch", data=body) as answer:
        assert answer.status == status
        assert (await answer.json())["code"] == 3


async def test_a_line_comes_for_each_write_and_nothing_is_left_of_a_client_that_leaves() -> None:
    async with serving() as server, client_of(server) as http:
        async with http.post("/v3/watch", data=f'{{"create_request":{{"key":"{A}"}}}}') as answer:
            assert json.loads(await answer.content.readline())["result"]["created"]
            for number in range(3):
                server.node.do(Put(b"a", b"%d" % number))
                line = json.loads(await answer.content.readline())["result"]
                assert [event["kv"]["mod_revision"] for event in line["events"]] == [str(number + 2)]
            assert server.node.hub.watches == 1
        server.node.do(Put(b"a", b"last"))
        async with asyncio.timeout(10):
            while server.node.hub.watches:  # noqa: ASYNC110 - nobody tells when a server has seen its client leave
                await asyncio.sleep(0.01)


async def test_a_watch_that_hears_nothing_ends_with_a_connection_that_is_reset() -> None:
    body = f'{{"create_request":{{"key":"{A}"}}}}'.encode()
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v3/watch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await reader.readuntil(b'"created":true')
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        async with asyncio.timeout(10):
            while server.node.hub.watches:  # noqa: ASYNC110 - nobody tells when a server has seen its client leave
                await asyncio.sleep(0.01)


async def test_streams_end_with_the_reason_where_the_leader_is_gone_and_the_client_asked() -> None:
    async with serving() as server, client_of(server) as http:
        body, headers = f'{{"create_request":{{"key":"{A}"}}}}', {"Grpc-Metadata-hasleader": "true"}
        async with http.post("/v3/watch", data=body, headers=headers) as answer:
            await answer.content.readline()
            server.node.hub.no_leader()
            assert json.loads(await answer.content.readline()) == {
                "error": {"code": 14, "message": "etcdserver: no leader"}
            }
            assert await answer.content.read() == b""


async def test_a_stream_of_events_ends_with_the_reason_where_the_leader_is_gone_unless_it_may_be_stale() -> None:
    async with serving() as server, client_of(server) as http:
        async with http.get("/kv/?watch=1") as fresh, http.get("/kv/?watch=1&consistency=stale") as stale:
            assert await heard(fresh, 1) == await heard(stale, 1) == [("watching", "1", "")]
            server.node.do(Put(b"a", b"1"))
            server.node.hub.no_leader()
            assert await heard(fresh, 3) == [
                ("put", "2", "a"),
                ("no-leader", "", ""),
            ]  # all that there was, and the end
            server.node.do(Put(b"a", b"2"))
            assert await heard(stale, 2) == [("put", "2", "a"), ("put", "3", "a")]
        server.node.read_failure = ReadFailed("no-leader", "no leader is known")
        async with http.get("/kv/?watch=1") as fresh, http.get("/kv/?watch=1&consistency=stale") as stale:
            assert (fresh.status, stale.status) == (503, 200)


async def test_the_client_goes_on_at_another_node_where_the_leader_is_gone() -> None:
    async with (
        serving() as first,
        serving() as second,
        RaftClient([first.url, second.url], exactly_once=False, timeout_s=5) as client,
    ):
        watch = client.watch("a", 2)
        for server in (first, second):
            server.node.do(Put(b"a", b"1"))
        assert (await anext(watch)).revision == 2
        here, there = (first, second) if first.node.hub.watches else (second, first)
        here.node.read_failure = ReadFailed("no-leader", "no leader is known")
        here.node.own_status = node_status(role=Role.FOLLOWER, leader="")
        here.node.hub.no_leader()
        there.node.do(Put(b"a", b"2"))
        async with asyncio.timeout(10):
            assert (await anext(watch)).revision == 3
        await watch.aclose()  # type: ignore[attr-defined]


async def test_only_so_many_clients_watch_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, client_of(server) as http:
        body = f'{{"create_request":{{"key":"{A}"}}}}'
        async with http.post("/v3/watch", data=body) as first:
            await first.content.readline()
            (watch_door,) = _followings(server)
            monkeypatch.setattr(watch_door, "_followers_max", 1)
            async with http.post("/v3/watch", data=body) as second:
                assert second.status == 503
            async with http.get("/kv/?watch=1") as third:
                assert third.status == 503


def _followings(_server: Server) -> set[following_module.Following]:
    import gc

    return {each for each in gc.get_objects() if isinstance(each, following_module.Following) and each._followers}


async def test_changes_come_as_server_sent_events_and_resume_after_the_last_id() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.do(Put(b"a", b"1"), Put(b"b", b"1"), Txn((), (Put(b"ac", b"2"), Put(b"ab", b"2")), ()))
        async with http.get("/kv/?prefix=a&watch=1&revision=2") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert await heard(answer, 4) == [
                ("watching", "1", ""),
                ("put", "2", "a"),
                ("put", "", "ac"),
                ("put", "4", "ab"),
            ]
            await http.delete("/kv/ab")
            assert await heard(answer, 1) == [("delete", "5", "ab")]
        async with http.get("/kv/?prefix=a&watch=1", headers={"Last-Event-ID": "3"}) as answer:
            assert await heard(answer, 2) == [("watching", "3", ""), ("put", "", "ac")]
        async with http.get("/kv/?prefix=a&watch=1") as answer:
            assert await heard(answer, 1) == [("watching", "5", "")]


async def test_a_watch_of_what_was_compacted_is_refused_and_one_that_is_overtaken_is_told() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.do(*(Put(b"a", b"%d" % number) for number in range(5)), Compact(4))
        async with http.get("/kv/?watch=1&revision=3") as answer:
            assert answer.status == 410
            assert (await answer.json())["compact_revision"] == 4
        async with http.get("/kv/?watch=1&limit=3") as answer:
            assert answer.status == 400
        async with http.get("/kv/?watch=1", headers={"Last-Event-ID": "x"}) as answer:
            assert answer.status == 400


async def test_silence_says_how_far_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_watch._Blocks, "silence_seconds", 0.02)
    async with serving() as server, client_of(server) as http, http.get("/kv/?prefix=a&watch=1") as answer:
        assert (await heard(answer, 1))[0][1] == "1"
        server.node.do(Put(b"b", b"1"), Put(b"b", b"2"))
        while (await heard(answer, 1))[0] != ("", "3", ""):
            pass


async def test_the_client_follows_from_node_to_node_and_hears_each_change_once() -> None:
    async with serving() as first, serving() as second:
        both = (first, second)
        heard_of: list[Change] = []

        def write(*values: bytes) -> None:
            for server in both:
                server.node.do(*(Put(b"a", value) for value in values))

        async with RaftClient([first.url, second.url], exactly_once=False, timeout_s=5) as client:
            write(b"1", b"2")
            watch = client.watch("a", 2)
            heard_of += [await anext(watch) for _ in range(2)]
            for number in range(6):
                for server in both:
                    server.node.hub.stop()  # every stream of that node ends
                write(b"%d" % number)
                heard_of.append(await anext(watch))
            await watch.aclose()  # type: ignore[attr-defined]
    assert [change.revision for change in heard_of] == [*range(2, 10)]


async def test_the_client_says_where_history_is_gone_and_where_nobody_can_be_watched() -> None:
    async with serving() as server:
        server.node.do(*(Put(b"a", b"%d" % number) for number in range(5)), Compact(4))
        async with RaftClient([server.url], exactly_once=False, timeout_s=5) as client:
            with pytest.raises(HistoryGone) as caught:
                await anext(client.watch("a", 2))
            assert caught.value.compact_revision == 4
            with pytest.raises(TypeError):
                await anext(client.watch(3))  # type: ignore[arg-type]
    async with RaftClient([server.url], exactly_once=False, timeout_s=0.3) as client:
        with pytest.raises(NotDone):
            await anext(client.watch("a"))
