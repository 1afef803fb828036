"""A lease of the client's: granted, kept alive, revoked, and lost, which it says in time and of itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.runtime.ports import NotProposed, Outcome
from node.statemachine.writes import LeaseRevoke, LeaseView
from raftclient import LeaseLost, NotDone, RaftClient
from raftclient import leases as module
from raftclient.blocking import RaftClient as Blocking
from tests.api.double import Server, serving

NOBODY = NotProposed("no-leader", "nobody leads")


@contextlib.asynccontextmanager
async def client_of(*servers: Server, timeout_s: float = 5.0) -> AsyncIterator[RaftClient]:
    async with RaftClient([server.url for server in servers], timeout_s=timeout_s) as client:
        yield client


def look(server: Server, number: int) -> LeaseView:
    job = server.node.store.begin_read_lease(number, keys=True)
    job.run(1_000)
    assert isinstance(job.result, LeaseView)
    return job.result


async def test_keys_of_a_lease_are_there_while_it_is_held_and_go_when_it_is_left() -> None:
    async with serving() as server, client_of(server) as client:
        async with client.lease(10) as lease:
            lease.check()
            await client.put("worker/1", b"here", lease=lease)
            assert look(server, lease.id).keys == (b"worker/1",)
            assert await client.get("worker/1") is not None
        assert lease.lost.is_set()
        assert not lease.alive
        assert await client.get("worker/1") is None
        assert server.node.store.lease_count == 0


async def test_it_is_kept_alive_several_times_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEATS_PER_TTL", 40)
    async with serving() as server, client_of(server) as client, client.lease(2) as lease:
        server.node.log_time = 500_000
        propose, kept = server.node.propose, asyncio.Event()

        async def proposing(write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0) -> Outcome:
            outcome = await propose(write, timeout_us, session, sequence)
            kept.set()
            return outcome

        monkeypatch.setattr(server.node, "propose", proposing)
        async with asyncio.timeout(1.5):
            await kept.wait()
        assert look(server, lease.id).expiry_us == 2_500_000
        assert lease.alive


async def test_a_lease_that_the_cluster_ended_is_lost_at_the_next_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEATS_PER_TTL", 40)
    async with serving() as server, client_of(server) as client, client.lease(2) as lease:
        server.node.do(LeaseRevoke(lease.id))
        async with asyncio.timeout(1.5):
            await lease.lost.wait()
        with pytest.raises(LeaseLost, match=str(lease.id)):
            lease.check()
        with pytest.raises(LeaseLost):
            await client.put("k", b"v", lease=lease)


@pytest.mark.slowest
async def test_who_hears_nothing_counts_from_before_it_asked_and_gives_up_before_the_cluster_may_end_it() -> None:
    loop = asyncio.get_running_loop()
    async with serving() as server, client_of(server) as client:
        before = loop.time()
        async with client.lease(1) as lease:
            granted = loop.time()
            assert lease.ttl_s == 2, "raised by the cluster"
            server.node.outcome = NOBODY
            await lease.lost.wait()
            assert before + 2 - 0.001 <= loop.time() <= granted + 2.5
            assert not lease.alive


async def test_a_grant_that_is_answered_after_its_time_is_lost_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, client_of(server) as client:
        lease = client.lease(2)
        real, late = asyncio.get_running_loop().time, [0.0]
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: real() + late[0], raising=False)
        send = lease._send

        async def slow(path: str, body: bytes, limit_s: float) -> object:
            answer = await send(path, body, limit_s)
            late[0] = 2.0
            return answer

        monkeypatch.setattr(lease, "_send", slow)
        async with lease:
            assert not lease.alive
            assert lease.lost.is_set()


async def test_a_lease_is_counted_from_before_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, client_of(server) as client:
        lease = client.lease(100)
        real, late = asyncio.get_running_loop().time, [0.0]
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: real() + late[0], raising=False)
        send = lease._send

        async def slow(path: str, body: bytes, limit_s: float) -> object:
            answer = await send(path, body, limit_s)
            late[0] += 60.0
            return answer

        monkeypatch.setattr(lease, "_send", slow)
        async with lease:
            assert lease.alive
            late[0] = 100.0
            assert not lease.alive


async def test_another_node_is_asked_where_one_does_not_answer() -> None:
    async with serving() as bad, serving() as good, client_of(bad, good) as client:
        bad.node.outcome = NOBODY
        async with client.lease(10) as lease:
            assert look(good, lease.id).ttl_s == 10


async def test_no_lease_is_had_where_nobody_grants_one_and_what_is_refused_for_good_is_asked_once() -> None:
    async with serving() as server, client_of(server, timeout_s=0.4) as client:
        server.node.outcome = NOBODY
        with pytest.raises(NotDone, match="grant failed: answered 503: etcdserver: no leader"):
            await client.lease(10).__aenter__()
    async with serving(quota_bytes=0) as server, client_of(server) as client:
        with pytest.raises(NotDone, match="database space exceeded"):
            await client.lease(10).__aenter__()


async def test_a_put_with_a_lease_that_is_gone_is_refused_by_the_cluster() -> None:
    async with serving() as server, client_of(server) as client, client.lease(100) as lease:
        server.node.do(LeaseRevoke(lease.id))
        with pytest.raises(NotDone, match=f"there is no lease {lease.id}") as refused:
            await client.put("k", b"v", lease=lease)
        assert refused.value.status == 404


async def test_the_blocking_face_holds_a_lease_and_is_told_of_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEATS_PER_TTL", 40)

    def hold(url: str, revoke: Callable[[int], None]) -> None:
        with Blocking([url]) as client:
            with client.lease(2) as lease:
                client.put("k", b"v", lease=lease)
                assert (lease.alive, lease.ttl_s, lease.lost.is_set()) == (True, 2, False)
                revoke(lease.id)
                assert lease.lost.wait(1.5)
                with pytest.raises(LeaseLost):
                    lease.check()
            with client.lease(2):
                pass
            with pytest.raises(TypeError, match="lease is a lease"):
                client.put("k", b"v", lease=7)  # type: ignore[arg-type]

    async with serving() as server:
        loop = asyncio.get_running_loop()

        def revoke(number: int) -> None:
            loop.call_soon_threadsafe(server.node.do, LeaseRevoke(number))

        with ThreadPoolExecutor(1) as pool:
            await loop.run_in_executor(pool, hold, server.url, revoke)
        assert server.node.store.lease_count == server.node.store.key_count == 0


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "10", None, 9_000_000_001])
async def test_a_time_to_live_is_a_whole_number_of_seconds(wrong: object) -> None:
    client = RaftClient(["http://127.0.0.1:1"])
    with pytest.raises((TypeError, ValueError), match="ttl_s is"):
        client.lease(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lease is a lease"):
        await client.put("k", b"v", lease=7)  # type: ignore[arg-type]
