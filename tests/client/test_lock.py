"""A lock of the client's: one holder at a time, in turn, with a token that grows, and nothing left behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from node.runtime.ports import NotProposed
from node.statemachine.writes import LeaseRevoke
from raftclient import Change, LeaseLost, Lock, NotDone, RaftClient, leases, turns
from raftclient.answers import Answer, Failed
from tests.api.double import Server, serving

SECONDS_MAX = 5.0
"""What waits for longer waits for ever."""


@asynccontextmanager
async def clients(count: int = 2) -> AsyncIterator[tuple[Server, list[RaftClient]]]:
    """A node, and clients of it."""
    async with serving() as server, AsyncExitStack() as stack, asyncio.timeout(4 * SECONDS_MAX):
        yield server, [await stack.enter_async_context(RaftClient([server.url])) for _ in range(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - a double's state has no event
            await asyncio.sleep(0.005)


class Losing:
    """Stands before a client's way to the nodes: the answer to the next request that holds `words` is lost, and what is
    `between` happens before it is sent again."""

    def __init__(self, client: RaftClient, words: str) -> None:
        self.bodies: list[bytes] = []
        self.left = 1
        self.between: Callable[[], Awaitable[object]] | None = None
        self._post, self._words = client._post, words
        client._post = self.post  # type: ignore[method-assign]

    async def post(self, path: str, body: bytes, limit_s: float) -> tuple[str, Answer]:
        answered = await self._post(path, body, limit_s)
        if self._words in path + body.decode():
            self.bodies.append(body)
            if self.left:
                self.left -= 1
                if self.between is not None:
                    await self.between()
                raise Failed("the answer was lost", safe=False)
        return answered


async def test_one_holds_it_at_a_time_and_every_holder_has_a_greater_token() -> None:
    async with clients() as (server, (one, two)):
        tokens, inside = [], 0

        async def hold(client: RaftClient) -> None:
            nonlocal inside
            for _ in range(5):
                async with client.lock("deploy") as lock:
                    inside += 1
                    lock.check()
                    assert (inside, lock.alive, lock.key.startswith(b"deploy/")) == (1, True, True)
                    tokens.append(lock.token)
                    assert lock.revision >= lock.token
                    await asyncio.sleep(0.01)
                    inside -= 1
                assert not lock.alive
                assert lock.lost.is_set()

        await asyncio.gather(hold(one), hold(two))
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 10
        assert (server.node.store.key_count, server.node.store.lease_count) == (0, 0)


@pytest.mark.slowest
async def test_two_clients_count_to_two_hundred_and_no_count_is_lost() -> None:
    async def count(client: RaftClient, times: int) -> None:
        for _ in range(times):
            async with client.lock("counting"):
                found = await client.get("count")
                await client.put("count", str(int(found.value) + 1 if found else 1))

    async with clients() as (_server, (one, two)):
        await asyncio.gather(count(one, 100), count(two, 100))
        found = await one.get("count")
        assert found is not None
        assert found.value == b"200"


async def test_who_waits_looks_at_those_before_it_alone_and_gets_its_turn_in_order() -> None:
    async with clients(1) as (server, (client,)):
        order: list[int] = []

        async def hold(number: int) -> None:
            async with client.lock("q"):
                order.append(number)

        async with client.lock("q"):
            waiting = []
            for number in range(1, 5):
                waiting.append(asyncio.create_task(hold(number)))
                await until(lambda number=number: server.node.store.key_count == number + 1)  # type: ignore[misc]
        await asyncio.wait_for(asyncio.gather(*waiting), SECONDS_MAX)
        assert order == [1, 2, 3, 4]


async def test_a_holder_is_not_held_up_by_who_came_after_it() -> None:
    """The second has its turn while a third, who came later, still waits."""
    async with clients(1) as (server, (client,)):
        first, second, third = (client.lock("q") for _ in range(3))
        await first.__aenter__()
        entering = []
        for number, lock in enumerate((second, third), start=2):
            entering.append(asyncio.create_task(lock.__aenter__()))
            await until(lambda number=number: server.node.store.key_count == number)  # type: ignore[misc]
        await first.__aexit__(None, None, None)
        await asyncio.wait_for(entering[0], turns.LOOK_AGAIN_SECONDS / 2)  # told of it, not found out
        assert not entering[1].done()
        assert second.token < third.token
        await second.__aexit__(None, None, None)
        await asyncio.wait_for(entering[1], turns.LOOK_AGAIN_SECONDS / 2)
        await third.__aexit__(None, None, None)


async def test_who_is_cancelled_while_it_waits_leaves_the_queue_at_once() -> None:
    async with clients() as (server, (one, two)):
        async with one.lock("q"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), two.lock("q"):
                    raise AssertionError("it is held")
            assert (server.node.store.key_count, server.node.store.lease_count) == (1, 1)
            with pytest.raises(TimeoutError, match=r"others were before in 'q' for 0.1 s; nothing is held"):
                await two.lock("q", wait_s=0.1).__aenter__()
            with pytest.raises(TimeoutError, match="for 0 s"):
                await two.lock("q", wait_s=0).__aenter__()
            assert (server.node.store.key_count, server.node.store.lease_count) == (1, 1)
        async with two.lock("q", wait_s=0) as lock:
            lock.check()


async def test_a_lease_that_is_lost_while_it_waits_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEATS_PER_TTL", 40)
    async with clients() as (server, (one, two)), one.lock("q"):
        waiting = two.lock("q", ttl_s=2)
        entering = asyncio.create_task(waiting.__aenter__())
        await until(lambda: waiting.token > 0)
        server.node.do(LeaseRevoke(int(waiting.key.partition(b"/")[2], 16)))
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(entering, 1.5)
        assert (server.node.store.key_count, server.node.store.lease_count) == (1, 1)


async def test_a_key_that_was_deleted_while_it_waits_holds_nothing() -> None:
    async with clients() as (server, (one, two)):
        async with one.lock("q"):
            waiting = two.lock("q")
            entering = asyncio.create_task(waiting.__aenter__())
            await until(lambda: waiting.token > 0)
            await one.delete(waiting.key)
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(entering, SECONDS_MAX)
        assert not waiting.alive
        assert server.node.store.lease_count == 0


async def test_a_loss_is_told_to_the_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEATS_PER_TTL", 40)
    async with clients(1) as (server, (client,)), client.lock("q", ttl_s=2) as lock:
        server.node.do(LeaseRevoke(int(lock.key.partition(b"/")[2], 16)))
        await asyncio.wait_for(lock.lost.wait(), 1.5)
        assert not lock.alive
        with pytest.raises(LeaseLost):
            lock.check()


async def test_a_key_whose_making_was_not_answered_is_known_as_its_own() -> None:
    async with clients() as (server, (one, two)):
        losing = Losing(one, "CREATE")
        losing.between = lambda: two.put("other", "v")
        async with one.lock("q") as lock:
            assert len(losing.bodies) == 2
            assert losing.bodies[0] == losing.bodies[1]
            assert (server.node.store.key_count, lock.token) == (2, 2), "made once, by the first attempt"
        losing = Losing(two, "CREATE")
        async with one.lock("q"):
            with pytest.raises(TimeoutError):
                await two.lock("q", wait_s=0.2).__aenter__()
            assert losing.left == 0


async def test_what_comes_late_of_a_lock_that_is_released_makes_nothing() -> None:
    async with clients(1) as (server, (client,)):
        losing = Losing(client, "CREATE")
        async with client.lock("q"):
            pass
        _endpoint, answer = await client._post("/v3/kv/txn", losing.bodies[0], 2.0)
        assert answer.status == 404
        assert b"lease not found" in answer.body
        assert server.node.store.key_count == 0


async def test_news_that_a_watch_never_tells_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a node that is cut off from the others."""
    monkeypatch.setattr(turns, "LOOK_AGAIN_SECONDS", 0.2)

    async def silent(_prefix: bytes, _revision: int) -> AsyncIterator[Change]:
        await asyncio.Event().wait()
        yield Change(b"", None, 0)

    async with clients() as (_server, (one, two)):
        monkeypatch.setattr(two, "watch", silent)
        entering = None
        async with one.lock("q"):
            waiting = two.lock("q")
            entering = asyncio.create_task(waiting.__aenter__())
            await until(lambda: waiting.token > 0)
        await asyncio.wait_for(entering, SECONDS_MAX)
        await waiting.__aexit__(None, None, None)


async def test_a_wait_outlives_a_time_in_which_no_node_can_be_asked() -> None:
    async with serving() as server, RaftClient([server.url]) as one, RaftClient([server.url], timeout_s=0.3) as two:
        async with one.lock("q") as lock:
            waiting = two.lock("q", ttl_s=10)
            entering = asyncio.create_task(waiting.__aenter__())
            await until(lambda: waiting.token > 0)
            server.node.do(LeaseRevoke(int(lock.key.partition(b"/")[2], 16)))
            server.node.read_failure = server.node.outcome = NotProposed("no-leader", "nobody leads")  # type: ignore[assignment]
            server.node.hub.advance()
            await asyncio.sleep(1.0)  # three times what one request may take
            assert not entering.done()
            server.node.read_failure = server.node.outcome = None
            await asyncio.wait_for(entering, SECONDS_MAX)
        await waiting.__aexit__(None, None, None)


async def test_a_lock_that_nobody_grants_is_not_had() -> None:
    async with serving() as server, RaftClient([server.url], timeout_s=0.4) as client:
        server.node.outcome = NotProposed("no-leader", "nobody leads")
        with pytest.raises(NotDone, match="grant failed: answered 503"):
            await client.lock("q").__aenter__()


async def test_an_object_is_entered_again_and_not_twice_at_a_time() -> None:
    async with clients(1) as (server, (client,)):
        lock: Lock = client.lock("q")
        assert (lock.token, lock.key, lock.alive) == (0, b"", False)
        async with lock:
            first = lock.token
            with pytest.raises(RuntimeError, match="held or waited for already"):
                await lock.__aenter__()
            lock.check()
        async with lock:
            assert lock.token > first
            assert lock.alive
            assert not lock.lost.is_set()
        assert server.node.store.lease_count == 0


async def test_an_object_whose_release_was_cut_short_is_entered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with clients(1) as (_, (client,)):
        lock: Lock = client.lock("q")
        await lock.__aenter__()

        async def never() -> None:
            await asyncio.Event().wait()

        with monkeypatch.context() as silent:
            silent.setattr(lock._place, "leave", never)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await lock.__aexit__(None, None, None)
        other = lock._place
        await other.leave()
        async with lock:
            assert lock.alive


async def test_names_are_bytes_and_keys_are_those_that_clients_of_etcd_make() -> None:
    async with clients(1) as (server, (client,)), client.lock(b"\xff/x") as lock:
        number = int(lock.key.removeprefix(b"\xff/x/"), 16)
        found = await client._post("/v3/lease/timetolive", json.dumps({"ID": number, "keys": True}).encode(), 2.0)
        said: dict[str, Any] = found[1].said()
        assert said["grantedTTL"] == "10"
        assert server.node.store.key_count == 1
