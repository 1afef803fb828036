"""What the routes beside etcd's do in one turn of the loop, with the largest that they answer, counted."""

import asyncio
import zlib
from collections.abc import Iterator

import pytest

from node.api import operations
from node.api.answers import json_text
from node.api.events import STREAMS_MAX, EventsApi
from node.api.kv import LIST_KEYS_MAX
from node.api.operations import LOG_BYTES_PER_PIECE, LOG_LINES_MAX, LOG_LINES_PER_PIECE
from node.api.streaming import PIECE_BYTES
from node.observe.trace import Reader
from node.runtime.ports import LogLine, PeerView
from node.statemachine.writes import KEY_BYTES_MAX, VALUE_BYTES_MAX, Put
from tests.api.double import client_of, serving
from tests.api.work import counting
from tests.observe.status import node_status


async def test_the_longest_value_leaves_in_pieces_and_whole() -> None:
    value = bytes(range(256)) * (VALUE_BYTES_MAX // 256)
    async with serving() as server, client_of(server) as client:
        server.node.do(Put(b"k", value))
        async with client.get("/kv/k") as answer:
            assert answer.headers["Content-Length"] == str(VALUE_BYTES_MAX)
            assert answer.headers["ETag"] == '"2"'
            assert zlib.crc32(await answer.read()) == zlib.crc32(value)
        async with client.head("/kv/k") as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(VALUE_BYTES_MAX))


async def test_a_list_of_the_longest_keys_leaves_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand keys of 8 KiB are 19 MB of JSON."""
    async with serving() as server, client_of(server) as client, counting() as work:
        server.node.do(*(Put(b"%04d" % number + b"k" * (KEY_BYTES_MAX - 4), b"v") for number in range(LIST_KEYS_MAX)))

        def counted(value: object) -> bytes:
            text = json_text(value)
            work.did(len(text))
            return text

        monkeypatch.setattr("node.api.kv.json_text", counted)
        async with client.get(f"/kv/?limit={LIST_KEYS_MAX}") as answer:
            body = await answer.json()
    assert (len(body["keys"]), body["more"], body["next"]) == (LIST_KEYS_MAX, False, None)
    assert body["keys"][999]["key"].startswith("0999kkk")
    assert work.total > LIST_KEYS_MAX * KEY_BYTES_MAX * 2
    assert work.most <= PIECE_BYTES + 3 * KEY_BYTES_MAX


@pytest.mark.parametrize("size_bytes", [100, 1536 * 1024])
async def test_the_log_is_read_for_checksums_in_small_pieces(size_bytes: int) -> None:
    async with serving() as server, client_of(server) as client, counting() as work:

        def log(from_index: int, limit: int) -> Iterator[LogLine]:
            for index in range(from_index, from_index + limit):
                work.did()
                yield LogLine(index, 1, "write", size_bytes, "0" * 8, "put", 7, index)

        server.node.log = log  # type: ignore[method-assign]
        async with client.get(f"/log?limit={LOG_LINES_MAX}") as answer:
            body = await answer.json()
    assert [line["index"] for line in body["entries"]] == list(range(1, LOG_LINES_MAX + 1))
    assert (body["entries"][4]["session"], body["entries"][4]["sequence"]) == (7, 5)
    assert body["last_index"] == node_status().core.last_index
    assert work.most <= min(LOG_LINES_PER_PIECE, -(-LOG_BYTES_PER_PIECE // size_bytes))


async def test_a_cluster_of_many_is_shown_member_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, client_of(server) as client, counting() as work:
        views = tuple(PeerView(f"n{number}", server.node.own_status, 0, True) for number in range(200))
        server.node.views = lambda: views  # type: ignore[method-assign]
        body_of = operations.status_body

        def counted(*args: object) -> dict[str, object]:
            work.did()
            return body_of(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(operations, "status_body", counted)
        async with client.get("/cluster") as answer:
            body = await answer.json()
    assert len(body["nodes"]) == 200
    assert work.most < 100


async def test_metrics_are_made_one_after_the_other() -> None:
    async with serving() as server, client_of(server) as client, counting() as work:
        families = list(server.metrics.families())

        def counted() -> Iterator[bytes]:
            for family in families:
                work.did(len(family))
                yield family

        server.metrics.families = counted  # type: ignore[method-assign]
        async with client.get("/metrics") as answer:
            assert await answer.text() == b"".join(families).decode()
    assert b"".join(families).count(b"\nraft_term ") == 1
    assert work.most <= operations.METRICS_PIECE_BYTES + max(map(len, families))


async def test_all_event_streams_together_read_one_batch_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, client_of(server) as client, counting() as work:
        take = Reader.take

        def counted(self: Reader, limit: int) -> object:
            work.did()
            return take(self, limit)

        monkeypatch.setattr(Reader, "take", counted)
        streams = [await client.get("/events") for _ in range(STREAMS_MAX)]
        for stream in streams:
            await stream.content.readuntil(b"\n\n")
        before = work.total
        server.trace.transition("term", 5, "follower", {"from": 4, "to": 5})
        for stream in streams:
            assert b'"kind":"term"' in await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 5)
        assert work.total - before >= STREAMS_MAX
        assert work.most == 1
        for stream in streams:
            stream.close()
    assert isinstance(server.events, EventsApi)


MARK = "c" * 8
"""What the name of a session begins with, on a `ScriptedNode`."""


@pytest.mark.parametrize(
    ("headers", "status", "session"),
    [
        ({}, 200, (0, 0)),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "1"}, 410, (7, 1)),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "2", "Raft-Answered": "1"}, 410, (7, 2)),
        ({"Raft-Session": f"{MARK}-{2**63 - 1}", "Raft-Sequence": str(2**63 - 1)}, 410, (2**63 - 1, 2**63 - 1)),
        ({"Raft-Session": f"{MARK}-7"}, 400, None),
        ({"Raft-Sequence": "7"}, 400, None),
        ({"Raft-Session": f"{MARK}-0", "Raft-Sequence": "1"}, 400, None),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "-1"}, 400, None),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "1.0"}, 400, None),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": str(2**63)}, 400, None),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "9" * 5000}, 400, None),
        ({"Raft-Answered": "1"}, 400, None),
        ({"Raft-Session": "7", "Raft-Sequence": "1"}, 400, None),
        ({"Raft-Session": f"{MARK}-{2**63}", "Raft-Sequence": "1"}, 400, None),
        ({"Raft-Session": f"{MARK}-", "Raft-Sequence": "1"}, 400, None),
        ({"Raft-Session": f"{MARK}x-7", "Raft-Sequence": "1"}, 400, None),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "1", "Raft-Answered": "1"}, 400, None),
        ({"Raft-Session": f"{MARK}-7", "Raft-Sequence": "1", "Raft-Answered": "0"}, 400, None),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_write_may_name_its_session(
    headers: dict[str, str], status: int, session: tuple[int, int] | None, method: str
) -> None:
    async with serving() as server, client_of(server) as client:
        server.node.do(Put(b"k", b"v"))
        async with client.request(method, "/kv/k", data=b"v", headers=headers) as answer:
            assert answer.status == status
            if status == 400:
                assert (await answer.json())["field"] in ("Raft-Session", "Raft-Sequence", "Raft-Answered")
    assert server.node.sessions == ([] if session is None else [session])
