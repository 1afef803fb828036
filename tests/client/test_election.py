"""An election of the client's: one leads, says what it likes, and whoever observes hears the newest of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from node.statemachine.writes import LeaseRevoke
from raftclient import Election, Leader, LeaseLost, OutcomeUnknown, RaftClient, leases
from raftclient.answers import Answer
from tests.api.double import Server, serving
from tests.client.test_lock import SECONDS_MAX, Losing, clients, until


def observed(client: RaftClient, name: str) -> AsyncGenerator[Leader, None]:
    return cast(AsyncGenerator[Leader, None], client.election(name).observe())


async def following(told: AsyncGenerator[Leader, None]) -> Leader:
    return await asyncio.wait_for(anext(told), SECONDS_MAX)


def revoke(server: Server, election: Election) -> None:
    server.node.do(LeaseRevoke(int(election.key.partition(b"/")[2], 16)))
    server.node.hub.advance()


async def test_one_leads_until_it_resigns_and_then_the_next_who_campaigned() -> None:
    async with clients() as (server, (one, two)), one.election("chief") as first, two.election("chief") as second:
        await first.campaign("a")
        first.check()
        campaigning = asyncio.create_task(second.campaign(b"b"))
        await until(lambda: second.token > 0)
        with pytest.raises(RuntimeError, match="campaigns or leads already"):
            await second.campaign("c")
        assert not campaigning.done()
        await first.resign()
        assert not first.alive
        await asyncio.wait_for(campaigning, SECONDS_MAX)
        assert second.token > first.token
        with pytest.raises(LeaseLost):
            await first.proclaim("a still")
        with pytest.raises(TimeoutError, match="others were before in 'chief'"):
            await first.campaign("a again", wait_s=0)
        await second.resign()
        await first.campaign("a again")
        assert first.token > second.token
        assert server.node.store.key_count == 1
    assert (server.node.store.key_count, server.node.store.lease_count) == (0, 0)


async def test_who_observes_hears_who_leads_and_what_it_says() -> None:
    async with clients(3) as (_server, (one, two, three)), aclosing(observed(three, "chief")) as told:
        nobody = asyncio.ensure_future(anext(told))
        async with one.election("chief") as first, two.election("chief") as second:
            await first.campaign("a")
            leader = await asyncio.wait_for(nobody, SECONDS_MAX)
            assert leader == Leader(first.key, b"a", first.token, first.token)
            revision = await first.proclaim("b")
            assert await following(told) == Leader(first.key, b"b", first.token, revision)
            campaigning = asyncio.create_task(second.campaign("c"))
            await until(lambda: second.token > 0)
            await first.resign()
            assert await following(told) == Leader(second.key, b"c", second.token, second.token)
            await campaigning
            async with aclosing(observed(one, "chief")) as late:
                assert (await following(late)).value == b"c"


async def test_what_is_proclaimed_is_said_once_though_it_is_sent_twice() -> None:
    async with clients(1) as (_server, (client,)):
        losing = Losing(client, "MOD")
        async with client.election("chief") as election:
            await election.campaign("a")
            said = await election.proclaim("b")
            assert len(losing.bodies) == 2
            found = await client.get(election.key)
            assert found is not None
            assert found.revision == said == election.token + 1
            assert await election.proclaim("c") == said + 1
            for body in list(losing.bodies):  # what comes late
                await client._post("/v3/kv/txn", body, 2.0)
            found = await client.get(election.key)
            assert found is not None
            assert (found.value, found.revision) == (b"c", said + 1)


async def test_a_proclamation_that_nobody_answers_is_unknown_and_the_next_one_counts() -> None:
    async with serving() as server, RaftClient([server.url], timeout_s=0.5) as client:
        losing = Losing(client, "MOD")
        async with client.election("chief") as election:
            await election.campaign("a")
            losing.left = 1_000
            with pytest.raises(OutcomeUnknown):
                await election.proclaim("lost")
            losing.left = 0
            assert await election.proclaim("b") == election.token + 2
            await client._post("/v3/kv/txn", losing.bodies[0], 2.0)
            found = await client.get(election.key)
            assert found is not None
            assert found.value == b"b"


async def test_who_lost_its_lease_leads_no_more_and_may_campaign_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEATS_PER_TTL", 40)
    async with clients(1) as (server, (client,)), client.election("chief", ttl_s=2) as election:
        await election.campaign("a")
        before = election.token
        revoke(server, election)
        with pytest.raises(LeaseLost):
            await election.proclaim("b")
        assert election.lost.is_set()
        assert not election.alive
        await election.campaign("b")
        election.check()
        assert election.token > before


async def test_who_resigns_while_its_lease_is_granted_stands_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with clients(1) as (server, (client,)):
        asked, go_on = asyncio.Event(), asyncio.Event()
        post = client._post

        async def slow(path: str, body: bytes, limit_s: float) -> tuple[str, Answer]:
            if path.endswith("/grant"):
                asked.set()
                await go_on.wait()
            return await post(path, body, limit_s)

        monkeypatch.setattr(client, "_post", slow)
        election = client.election("chief")
        campaigning = asyncio.create_task(election.campaign("a"))
        await asked.wait()
        await election.resign()
        go_on.set()
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(campaigning, SECONDS_MAX)
        assert (server.node.store.key_count, server.node.store.lease_count, election.alive) == (0, 0, False)
        await election.campaign("b")
        assert election.alive
        await election.resign()


async def test_who_is_cancelled_while_it_campaigns_stands_no_more() -> None:
    async with clients() as (server, (one, two)), one.election("chief") as first, two.election("chief") as second:
        await first.campaign("a")
        campaigning = asyncio.create_task(second.campaign("b"))
        await until(lambda: second.token > 0)
        campaigning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await campaigning
        assert server.node.store.key_count == 1
        await first.resign()
        await second.campaign("b")
        second.check()


@pytest.mark.parametrize("wrong", [True, "1", b"1", -1, float("nan")])
async def test_a_patience_is_a_number_of_seconds(wrong: object) -> None:
    election = RaftClient(["http://127.0.0.1:1"]).election("chief")
    with pytest.raises((TypeError, ValueError), match="wait_s is"):
        await election.campaign("a", wait_s=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value is bytes"):
        await election.campaign(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value is bytes"):
        await election.proclaim(7)  # type: ignore[arg-type]
