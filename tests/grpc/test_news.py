"""Watches, leases, locks and elections over gRPC, as Google's client sees them."""

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from node.api.grpc import leases as lease_module
from node.api.grpc import watches as watch_module
from node.statemachine.writes import Compact, DeleteRange, Put
from tests.grpc.client import Client, client
from tests.grpc.double import Serving, serving, until
from tests.grpc.messages import message, new
from tests.http2.raw import DATA, HEADERS, frame, raw

WATCH = "/etcdserverpb.Watch/Watch"
LEASE = "/etcdserverpb.Lease/"
ELECTION = "/v3electionpb.Election/"


def framed(said: Any) -> bytes:
    data: bytes = said.SerializeToString()
    return b"\x00" + struct.pack(">I", len(data)) + data


class Watching:
    """A stream of watches; `ask` sends, `hear` reads."""

    def __init__(self, ask: Client) -> None:
        self._asked: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.stream = ask.stream(WATCH, self._requests())

    async def _requests(self) -> AsyncIterator[bytes]:
        while (asked := await self._asked.get()) is not None:
            yield asked

    def create(self, **fields: Any) -> None:
        created = new("WatchRequest", create_request=new("WatchCreateRequest", **fields))
        self._asked.put_nowait(created.SerializeToString())

    def ask(self, **fields: Any) -> None:
        self._asked.put_nowait(new("WatchRequest", **fields).SerializeToString())

    def half_close(self) -> None:
        self._asked.put_nowait(None)

    async def hear(self) -> Any:
        async with asyncio.timeout(10):
            return message("WatchResponse").FromString(await self.stream.read())


def told(response: Any) -> list[tuple[int, bytes, bytes, int]]:
    return [(event.type, event.kv.key, event.kv.value, event.kv.mod_revision) for event in response.events]


async def test_a_watch_is_told_what_was_and_what_comes_in_order() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.do(Put(b"a", b"1"), Put(b"b", b"1"), DeleteRange(b"a"))
        watching = Watching(ask)
        watching.create(key=b"a", start_revision=2, prev_kv=True)
        assert (await watching.hear()).created
        heard = await watching.hear()
        assert told(heard) == [(0, b"a", b"1", 2), (1, b"a", b"", 4)]
        assert heard.events[1].prev_kv.value == b"1"
        served.node.do(Put(b"a", b"2"))
        assert told(await watching.hear()) == [(0, b"a", b"2", 5)]
        watching.ask(progress_request=new("WatchProgressRequest"))
        progress = await watching.hear()
        assert (progress.watch_id, progress.header.revision, len(progress.events)) == (-1, 5, 0)
        watching.ask(cancel_request=new("WatchCancelRequest", watch_id=0))
        assert (await watching.hear()).canceled
        watching.half_close()
        assert await watching.stream.read() == grpc.aio.EOF
        assert await watching.stream.code() == grpc.StatusCode.OK
        assert (served.node.hub.watches, len(served.node.hub.streams)) == (0, 0)


async def test_watches_of_a_stream_that_want_the_same_are_told_in_one_frame_in_their_order() -> None:
    async with serving() as served, raw(served.port) as asking:
        asking.send(frame(HEADERS, 4, 1, asking.block(WATCH)))
        create = new("WatchRequest", create_request=new("WatchCreateRequest", key=b"k"))
        asking.send(*(frame(DATA, 0, 1, framed(create)) for _ in range(10)))
        created = b""
        while created.count(b"\x18\x01") < 10:
            created += (await asking.until(DATA, 1)).payload
        served.node.do(Put(b"k", b"v"))
        body, heard = (await asking.until(DATA, 1)).payload, []
        while body:
            size = int.from_bytes(body[1:5], "big")
            heard.append(message("WatchResponse").FromString(body[5 : 5 + size]))
            body = body[5 + size :]
        assert [response.watch_id for response in heard] == list(range(10))
        assert {tuple(told(response)) for response in heard} == {((0, b"k", b"v", 2),)}


async def test_who_did_not_ask_for_what_lived_before_is_not_told() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.do(Put(b"a", b"1"))
        curious, other = Watching(ask), Watching(ask)
        for watching, wants in ((curious, True), (other, False)):
            watching.create(key=b"a", prev_kv=wants)
            assert (await watching.hear()).created
        for value in (b"2", b"3"):
            served.node.do(Put(b"a", value))
            (event,) = (await curious.hear()).events
            assert int(event.prev_kv.value) == int(value) - 1
            (event,) = (await other.hear()).events
            assert (event.kv.value, event.HasField("prev_kv")) == (value, False)
        curious.stream.cancel()
        other.stream.cancel()
        await until(lambda: not served.node.hub.streams)


async def test_who_asks_for_what_was_compacted_is_told_from_where_on_all_is_kept() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.do(Put(b"a", b"1"), Put(b"a", b"2"), Put(b"a", b"3"), Compact(4))
        watching = Watching(ask)
        watching.create(key=b"a", start_revision=3)
        assert (await watching.hear()).created
        told_so = await watching.hear()
        assert (told_so.canceled, told_so.created, told_so.compact_revision) == (True, False, 4)
        watching.stream.cancel()
        await until(lambda: not served.node.hub.streams)


async def test_a_long_history_comes_whole_to_a_client_that_takes_it_slowly() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.do(*(Put(b"k%d" % (at % 50), b"v" * 4_000) for at in range(2_000)))
        watching = Watching(ask)
        watching.create(key=b"\0", range_end=b"\0", start_revision=2)
        revisions: list[int] = []
        while len(revisions) < 2_000:
            revisions += [revision for _, _, _, revision in told(await watching.hear())]
            await asyncio.sleep(0)
        assert revisions == list(range(2, 2_002))
        watching.stream.cancel()
        await until(lambda: not served.node.hub.streams)


async def test_a_client_that_asks_and_takes_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "ASKED_MAX", 5)
    create = new("WatchRequest", create_request=new("WatchCreateRequest", key=b"k", start_revision=2))
    progress = new("WatchRequest", progress_request=new("WatchProgressRequest"))
    async with serving() as served, raw(served.port) as client:
        served.node.do(*(Put(b"k", b"v" * 1_000_000) for _ in range(3)))
        client.send(frame(HEADERS, 4, 1, client.block(WATCH)), frame(DATA, 0, 1, framed(create)))
        await until(lambda: served.node.hub.events_sent)
        client.send(*(frame(DATA, 0, 1, framed(progress)) for _ in range(5)))
        client.send(frame(DATA, 0, 1, framed(progress)))
        await until(lambda: not served.node.hub.streams)


async def grant(ask: Client, number: int, ttl: int = 60) -> Any:
    return await ask.ask(f"{LEASE}LeaseGrant", ("LeaseGrantRequest", "LeaseGrantResponse"), ID=number, TTL=ttl)


def asking(*numbers: int) -> list[bytes]:
    return [new("LeaseKeepAliveRequest", ID=number).SerializeToString() for number in numbers]


async def test_leases_are_granted_kept_alive_listed_and_revoked() -> None:
    async with serving() as served, client(served.target) as ask:
        assert (await grant(ask, 7)).TTL == 60
        with pytest.raises(grpc.aio.AioRpcError) as taken:
            await grant(ask, 7)
        assert taken.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert (await grant(ask, 0)).ID > 0
        await ask.put(b"k", b"v", lease=7)
        stream = ask.stream(f"{LEASE}LeaseKeepAlive", asking(7, 404, 7))
        kept = message("LeaseKeepAliveResponse")
        heard = [kept.FromString(await stream.read()) for _ in range(3)]
        assert [(one.ID, one.TTL) for one in heard] == [(7, 60), (404, 0), (7, 60)]
        assert await stream.read() == grpc.aio.EOF
        kinds = ("LeaseTimeToLiveRequest", "LeaseTimeToLiveResponse")
        left = await ask.ask(f"{LEASE}LeaseTimeToLive", kinds, ID=7, keys=True)
        assert (left.ID, left.grantedTTL, list(left.keys)) == (7, 60, [b"k"])
        assert (await ask.ask(f"{LEASE}LeaseTimeToLive", kinds, ID=404)).TTL == -1
        listed = await ask.ask(f"{LEASE}LeaseLeases", ("LeaseLeasesRequest", "LeaseLeasesResponse"))
        assert 7 in [one.ID for one in listed.leases]
        await ask.ask(f"{LEASE}LeaseRevoke", ("LeaseRevokeRequest", "LeaseRevokeResponse"), ID=7)
        assert not (await ask.range(b"k")).kvs
        with pytest.raises(grpc.aio.AioRpcError, match="requested lease not found"):
            await ask.ask(f"{LEASE}LeaseRevoke", ("LeaseRevokeRequest", "LeaseRevokeResponse"), ID=7)


async def test_keep_alives_that_are_not_answered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "UNDER_WAY_MAX", 10)
    asked = b"".join(framed(new("LeaseKeepAliveRequest", ID=number)) for number in range(1, 12))
    async with serving() as served, raw(served.port) as client:
        served.node.holding = True
        client.send(frame(HEADERS, 4, 1, client.block(f"{LEASE}LeaseKeepAlive")), frame(DATA, 0, 1, asked))
        fields, _ = await client.answer(1)
        assert fields[b"grpc-status"] == b"8"
        assert len(served.node.held) == 10
        served.node.let_go()


async def test_keep_alives_that_were_asked_for_are_answered_before_their_stream_ends() -> None:
    asked = b"".join(framed(new("LeaseKeepAliveRequest", ID=number)) for number in (7, 8))
    async with serving() as served, raw(served.port) as client:
        served.node.holding = True
        client.send(frame(HEADERS, 4, 1, client.block(f"{LEASE}LeaseKeepAlive")), frame(DATA, 1, 1, asked))
        await until(lambda: len(served.node.held) == 2)
        served.node.let_go()
        fields, body = await client.answer(1)
        kept = message("LeaseKeepAliveResponse")
        first = 5 + int.from_bytes(body[1:5], "big")
        assert [kept.FromString(one).ID for one in (body[5:first], body[first + 5 :])] == [7, 8]
        assert fields[b"grpc-status"] == b"0"


async def lock(ask: Client, lease: int) -> bytes:
    answer = await ask.ask("/v3lockpb.Lock/Lock", ("LockRequest", "LockResponse"), name=b"m", lease=lease)
    key: bytes = answer.key
    return key


async def unlock(ask: Client, key: bytes) -> None:
    await ask.ask("/v3lockpb.Lock/Unlock", ("UnlockRequest", "UnlockResponse"), key=key)


def keys(served: Serving) -> int:
    return served.node.store.key_count


async def test_a_lock_goes_from_one_to_the_next_and_who_leaves_is_passed_over() -> None:
    async with serving() as served, client(served.target) as ask:
        for number in (7, 8, 9):
            await grant(ask, number)
        first = await lock(ask, 7)
        leaving = asyncio.create_task(lock(ask, 8))
        await until(lambda: keys(served) == 2)
        waiting = asyncio.create_task(lock(ask, 9))
        await until(lambda: keys(served) == 3)
        leaving.cancel()
        await until(lambda: keys(served) == 2)
        assert not waiting.done()
        await unlock(ask, first)
        assert await waiting == b"m/9"
        assert not served.node.hub.streams


async def test_an_election_is_campaigned_for_observed_and_resigned() -> None:
    async with serving() as served, client(served.target) as ask:
        await grant(ask, 7)
        stream = ask.stream(f"{ELECTION}Observe", [new("LeaderRequest", name=b"e").SerializeToString()])
        kinds = ("CampaignRequest", "CampaignResponse")
        leader = (await ask.ask(f"{ELECTION}Campaign", kinds, name=b"e", lease=7, value=b"one")).leader
        assert (leader.name, leader.key, leader.lease) == (b"e", b"e/7", 7)
        observed = message("LeaderResponse")
        assert observed.FromString(await stream.read()).kv.value == b"one"
        await ask.ask(f"{ELECTION}Proclaim", ("ProclaimRequest", "ProclaimResponse"), leader=leader, value=b"two")
        assert observed.FromString(await stream.read()).kv.value == b"two"
        now = await ask.ask(f"{ELECTION}Leader", ("LeaderRequest", "LeaderResponse"), name=b"e")
        assert (now.kv.key, now.kv.create_revision) == (b"e/7", leader.rev)
        await ask.ask(f"{ELECTION}Resign", ("ResignRequest", "ResignResponse"), leader=leader)
        with pytest.raises(grpc.aio.AioRpcError, match="election: no leader"):
            await ask.ask(f"{ELECTION}Leader", ("LeaderRequest", "LeaderResponse"), name=b"e")
        stream.cancel()
        await until(lambda: not served.node.hub.streams)
