"""What the client makes of a node's stream of changes: a revision whole or not at all, whatever breaks off."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import pytest

from node.statemachine.writes import Put
from raftclient import Change, HistoryGone, NotDone, RaftClient
from raftclient import client as client_module
from raftclient import watching as module
from raftclient.answers import Failed
from raftclient.watching import Followed, blocks
from tests.api.double import serving


def event(key: bytes, revision: int, *, last: bool, value: bytes | None = b"v") -> bytes:
    said = {"key_base64": b64encode(key).decode(), "revision": revision}
    if value is not None:
        said["value_base64"] = b64encode(value).decode()
    kind = b"delete" if value is None else b"put"
    return (b"id: %d\n" % revision if last else b"") + b"event: %s\ndata: %s" % (kind, json.dumps(said).encode())


def test_changes_of_one_revision_come_together() -> None:
    followed = Followed(b"", 3)
    assert followed.take(event(b"a", 4, last=False)) == []
    assert followed.next == 3
    assert followed.take(event(b"b", 4, last=True, value=None)) == [Change(b"a", b"v", 4), Change(b"b", None, 4)]
    assert followed.next == 5


def test_a_revision_that_broke_off_is_heard_once() -> None:
    followed = Followed(b"", 3)
    followed.take(event(b"a", 4, last=False))
    followed.begin()
    assert followed.take(b"id: 2\nevent: watching\ndata: {}") == []
    assert followed.began
    assert followed.next == 3
    followed.take(event(b"a", 4, last=False))
    assert followed.take(event(b"b", 4, last=True)) == [Change(b"a", b"v", 4), Change(b"b", b"v", 4)]


def test_who_is_told_how_far_all_has_come_asks_from_there_on_and_never_from_before() -> None:
    followed = Followed(b"", 0)
    assert followed.take(b"id: 7\nevent: watching\ndata: {}") == []
    assert followed.next == 8
    followed.take(b": still here\nid: 12")
    assert followed.next == 13
    followed.take(b": still here\nid: 9")
    assert followed.next == 13


def test_a_stream_says_that_history_is_gone() -> None:
    with pytest.raises(HistoryGone, match="too late") as gone:
        Followed(b"a", 3).take(b'event: compacted\ndata: {"compact_revision": 9, "message": "too late"}')
    assert gone.value.compact_revision == 9


@pytest.mark.parametrize(
    "block", [b"id: x", b"event: put\ndata: {}", b"event: put\ndata: {", b"event: delete\ndata: 1"]
)
def test_what_no_node_sends_is_a_node_that_failed(block: bytes) -> None:
    with pytest.raises(Failed, match="an event that no node sends"):
        Followed(b"", 0).take(block)


async def of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_events_may_come_in_any_pieces_and_none_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES_MAX", 6)
    assert [block async for block in blocks(of(b"a\nb", b"\n", b"\nc\n\nd\n\n", b"rest"))] == [b"a\nb", b"c", b"d"]
    with pytest.raises(Failed, match="longer than 6 bytes"):
        [block async for block in blocks(of(b"1234567"))]


async def test_a_node_that_takes_the_connection_and_says_nothing_is_left_for_another_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be paused, or its machine gone; a stream that has begun may be silent for longer."""
    monkeypatch.setattr(client_module, "WATCH_ANSWER_SECONDS_MAX", 0.1)

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    async with silent, serving() as server, asyncio.timeout(10):
        port = silent.sockets[0].getsockname()[1]
        async with RaftClient([f"http://127.0.0.1:{port}", server.url], discover=False) as client:
            server.node.do(Put(b"a", b"1"))
            async with aclosing(cast(AsyncGenerator[Change, None], client.watch("a", 1))) as told:
                assert (await anext(told)).value == b"1"


async def test_a_node_that_is_slow_to_begin_has_a_third_of_the_clients_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[float]()

    def looked(_session: object, endpoint: str, _followed: Followed, answer_s: float) -> AsyncGenerator[Change, None]:
        given.append(answer_s)
        raise Failed(endpoint, safe=True)

    monkeypatch.setattr(client_module, "changes", looked)
    async with RaftClient(["http://127.0.0.1:1"], timeout_s=0.3, discover=False) as client:
        with pytest.raises(NotDone):
            await anext(client.watch("a"))
    assert set(given) == {0.3 / 3}
