"""Locks and elections where a story with etcd does not look: who waits for whom, who is gone meanwhile, and bounds."""

import asyncio
from typing import Any

import grpc
import pytest

from node.api.etcd import turns as turns_module
from node.runtime.ports import ReadFailed
from node.statemachine.writes import LeaseRevoke
from tests.grpc.client import Client, client
from tests.grpc.double import Serving, serving, until
from tests.grpc.messages import message, new
from tests.grpc.test_news import ELECTION, grant, keys, lock, unlock
from tests.http2.raw import raw


async def refused(call: Any) -> tuple[int, str]:
    """Code and sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().value[0], str(caught.value.details())


def waited_for(served: Serving) -> list[bytes]:
    """The keys that those who wait look at."""
    return sorted(group.start for group in served.node.hub.interests)


async def queue(served: Serving, ask: Client, *leases: int) -> list["asyncio.Task[bytes]"]:
    """Who asks for the lock with these leases, one after the other."""
    asked = []
    for at, lease in enumerate(leases, 1):
        await grant(ask, lease)
        asked.append(asyncio.create_task(lock(ask, lease)))
        await until(lambda at=at: keys(served) == at)  # type: ignore[misc]
    return asked


async def test_who_waits_looks_at_the_one_before_alone() -> None:
    async with serving() as served, client(served.target) as ask:
        first, second, third = await queue(served, ask, 7, 8, 9)
        assert await first == b"m/7"
        await until(lambda: waited_for(served) == [b"m/7", b"m/8"])
        await unlock(ask, b"m/7")
        assert await second == b"m/8"
        assert waited_for(served) == [b"m/8"]
        assert not third.done()
        await unlock(ask, b"m/8")
        assert await third == b"m/9"


async def test_with_the_same_lease_again_the_lock_is_held_at_once() -> None:
    async with serving() as served, client(served.target) as ask:
        await grant(ask, 7)
        assert await lock(ask, 7) == await lock(ask, 7) == b"m/7"
        assert keys(served) == 1


async def test_who_names_no_lease_gets_one_that_ends() -> None:
    async with serving() as served, client(served.target) as ask:
        key = await lock(ask, 0)
        (kv,) = (await ask.range(key)).kvs
        assert key == b"m/%x" % kv.lease
        lease = served.node.store.lease(kv.lease)
        assert lease is not None
        assert lease.ttl_s == turns_module.OWN_TTL_S


async def test_who_lost_its_lease_while_it_waited_does_not_hold_the_lock() -> None:
    async with serving() as served, client(served.target) as ask:
        _, second = await queue(served, ask, 7, 8)
        await until(lambda: waited_for(served) == [b"m/7"])
        served.node.do(LeaseRevoke(8))
        await unlock(ask, b"m/7")
        assert await refused(second) == (2, "mutex: session is expired")


async def test_whose_turn_came_and_who_is_told_otherwise_does_not_hold_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The look whether it has it still fails: whoever asked believes that it has none."""
    async with serving() as served, client(served.target) as ask:
        _, second = await queue(served, ask, 7, 8)
        await until(lambda: waited_for(served) == [b"m/7"])
        barrier, looks = served.node.read_barrier, 0

        async def fails_once(timeout_us: int | None) -> ReadFailed | None:
            nonlocal looks
            looks += 1
            return ReadFailed("no-leader", "nobody leads") if looks == 2 else await barrier(timeout_us)

        monkeypatch.setattr(served.node, "read_barrier", fails_once)
        await unlock(ask, b"m/7")
        assert (await refused(second))[0] == 14
        await until(lambda: keys(served) == 0)
        await grant(ask, 9)
        assert await lock(ask, 9) == b"m/9"


@pytest.mark.parametrize("path", ["/v3lockpb.Lock/Lock", f"{ELECTION}Campaign"])
async def test_nobody_waits_on_behalf_of_one_whose_connection_was_closed(path: str) -> None:
    """It may have been killed: its place in the queue is the next one's, and its connection another's."""
    asked = new("LockRequest", name=b"m") if "Lock" in path else new("CampaignRequest", name=b"m")
    async with serving() as served, client(served.target) as ask:
        await grant(ask, 7)
        await lock(ask, 7)
        async with raw(served.port) as one:
            one.send(one.ask(1, asked.SerializeToString(), path))
            await until(lambda: keys(served) == 2)
        await until(lambda: (keys(served), served.counts.connections, served.node.hub.watches) == (1, 1, 0))


async def test_what_is_wrong_has_the_code_that_etcd_gives_it() -> None:
    async with serving() as served, client(served.target) as ask:
        assert await refused(lock(ask, 404)) == (2, "etcdserver: requested lease not found")


async def test_so_many_may_wait_and_who_went_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "WAITING_MAX", 1)
    async with serving() as served, client(served.target) as ask:
        _, second = await queue(served, ask, 7, 8)
        await until(lambda: waited_for(served) == [b"m/7"])
        await grant(ask, 9)
        code, sentence = await refused(lock(ask, 9))
        assert (code, sentence) == (8, "etcdserver: 1 calls wait on this member already")
        await until(lambda: keys(served) == 2)  # it left the queue
        await unlock(ask, b"m/7")
        await second
        again = asyncio.create_task(lock(ask, 9))
        await until(lambda: waited_for(served) == [b"m/8"])
        await unlock(ask, b"m/8")
        assert await again == b"m/9"


async def campaign(ask: Client, lease: int, value: bytes) -> Any:
    kinds = ("CampaignRequest", "CampaignResponse")
    return (await ask.ask(f"{ELECTION}Campaign", kinds, name=b"e", lease=lease, value=value)).leader


async def leads(ask: Client) -> Any:
    return (await ask.ask(f"{ELECTION}Leader", ("LeaderRequest", "LeaderResponse"), name=b"e")).kv


async def proclaim(ask: Client, leader: Any, value: bytes) -> None:
    await ask.ask(f"{ELECTION}Proclaim", ("ProclaimRequest", "ProclaimResponse"), leader=leader, value=value)


async def resign(ask: Client, leader: Any) -> None:
    await ask.ask(f"{ELECTION}Resign", ("ResignRequest", "ResignResponse"), leader=leader)


async def test_who_campaigns_again_says_its_new_value_and_leads_on() -> None:
    async with serving() as served, client(served.target) as ask:
        await grant(ask, 7)
        first = await campaign(ask, 7, b"one")
        assert await campaign(ask, 7, b"two") == first
        kv = await leads(ask)
        assert (kv.value, kv.create_revision, kv.version) == (b"two", first.rev, 2)
        await campaign(ask, 7, b"two")
        assert (await leads(ask)).version == 2


async def test_who_leads_no_more_neither_proclaims_nor_takes_the_next_ones_turn() -> None:
    async with serving() as served, client(served.target) as ask:
        await grant(ask, 7)
        before = await campaign(ask, 7, b"one")
        await resign(ask, before)
        assert await refused(proclaim(ask, before, b"late")) == (2, "election: not leader")
        now = await campaign(ask, 7, b"two")
        assert (now.key, now.rev > before.rev) == (before.key, True)
        await resign(ask, before)
        assert await refused(proclaim(ask, before, b"late")) == (2, "election: not leader")
        assert (await leads(ask)).value == b"two"


async def test_who_observes_is_told_of_one_leader_after_the_other() -> None:
    async with serving() as served, client(served.target) as ask:
        await grant(ask, 7)
        await grant(ask, 8)
        one = await campaign(ask, 7, b"one")
        waiting = asyncio.create_task(campaign(ask, 8, b"two"))
        await until(lambda: keys(served) == 2)
        assert (await leads(ask)).value == b"one"
        stream = ask.stream(f"{ELECTION}Observe", [new("LeaderRequest", name=b"e").SerializeToString()])
        observed = message("LeaderResponse")

        async def heard() -> bytes:
            async with asyncio.timeout(10):
                value: bytes = observed.FromString(await stream.read()).kv.value
                return value

        assert await heard() == b"one"
        assert not waiting.done()
        await resign(ask, one)
        assert await heard() == b"two"
        assert (await waiting).key == b"e/8"
        stream.cancel()
        await until(lambda: not served.node.hub.streams)
