"""Clients that stay with their node, send nothing twice, and remember every answer; within stated bounds."""

import asyncio
import random
import time
from base64 import b64encode
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from chaos.clock import Clock
from chaos.observe import nodeapi
from chaos.observe.nodeapi import Reply, new_session
from chaos.workload import registers
from chaos.workload.registers import Registers
from tests.chaos.doubles import addresses, answering


class Store:
    """A node that keeps values, and fails as it is told."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.versions: Counter[str] = Counter()
        self.past: dict[int, tuple[str, int]] = {}
        """By revision: the key that was written, and its value."""
        self.past_refused = False
        self.past_asked: list[int] = []
        self.under_way: Counter[tuple[str, str]] = Counter()
        self.most_under_way = 0
        self.status = 200
        self.lists_refused = 0
        self.hang = asyncio.Event()
        self.hang.set()

    async def handle(self, request: web.Request) -> web.Response:
        if "prefix" in request.query:
            self.lists_refused -= 1
            if self.lists_refused >= 0:
                return web.json_response({"error": "no-leader", "message": "none"}, status=503)
            keys = [{"key": key, "version": version} for key, version in sorted(self.versions.items())]
            return web.json_response({"keys": keys, "more": False})
        if request.path == "/v3/kv/txn":
            return web.json_response(self._at(await request.json()), status=503 if self.past_refused else 200)
        key = request.path.removeprefix("/kv/")
        self.under_way[key, request.method] += 1
        self.most_under_way = max(self.most_under_way, self.under_way[key, "PUT"])
        try:
            await self.hang.wait()
            if self.status != 200:
                return web.json_response({"error": "no-leader", "message": "none"}, status=self.status)
            if request.method == "PUT":
                self.values[key] = int(await request.read())
                self.versions[key] += 1
                self.past[len(self.past) + 1] = key, self.values[key]
                return web.Response(text="{}", headers={"ETag": f'"{len(self.past)}"'})
            if key not in self.values:
                return web.json_response({"error": "key-not-found", "message": "none"}, status=404)
            return web.Response(text=str(self.values[key]))
        finally:
            self.under_way[key, request.method] -= 1

    def _at(self, asked: Any) -> dict[str, object]:
        reads = [one["request_range"] for one in asked["success"]]
        self.past_asked += [int(read["revision"]) for read in reads if int(read["revision"])]  # 0 asks for now
        return {"responses": [{"response_range": self._range(int(read["revision"]))} for read in reads]}

    def _range(self, revision: int) -> dict[str, object]:
        found = {"mod_revision": str(revision)} if revision in self.past else None
        value = b64encode(str(self.past[revision][1]).encode()).decode() if found else ""
        return {"header": {"revision": str(len(self.past))}, "kvs": [found | {"value": value}] if found else []}


async def test_writers_own_a_key_each_and_count_up_and_readers_see_it() -> None:
    one, two = Store(), Store()
    two.values, two.versions, two.past = one.values, one.versions, one.past
    async with answering(one.handle) as a, answering(two.handle) as b, new_session() as session:
        work = Registers(addresses(n1=a, n2=b), session, Clock(), random.Random(1), rate_per_client=200, run="t")
        work.start()
        while len(work.history) < 200:  # noqa: ASYNC110 - the history has no event
            await asyncio.sleep(0.01)
        assert work.acknowledged_per_second(10.0) > 1
        await work.stop()
        one.lists_refused = 1
        final = await work.final_reads(a)
    assert work.keys == ("chaos/t/w1", "chaos/t/w2")
    for key, node in zip(work.keys, ("n1", "n2"), strict=True):
        writes = [op for op in work.history if op.kind == "write" and op.key == key]
        assert [op.value for op in writes] == list(range(1, len(writes) + 1))
        assert {(op.client, op.via) for op in writes} == {(key.rpartition("/")[2], node)}
        assert all(before.done_us <= after.sent_us for before, after in pairwise(writes))
        assert final[key] == work.versions[key] == writes[-1].value
        assert work.past[key] == tuple((op.revision, op.revision, op.value) for op in writes)
    assert {op.key for op in work.history if op.kind == "read" and op.client == "r1"} == set(work.keys)
    assert {op.client for op in work.history} == {"w1", "w2", "r1", "r2", "final"}
    assert {op.via for op in work.history if op.client == "final"} == {"n1", "n2"}
    assert [op.done_us for op in work.history] == sorted(op.done_us for op in work.history)
    assert max(one.most_under_way, two.most_under_way) == 1


@pytest.mark.slowest
async def test_writes_that_are_sent_after_a_moment_are_waited_for_node_by_node() -> None:
    good, bad = Store(), Store()
    async with answering(good.handle) as a, answering(bad.handle) as b, new_session() as session:
        clock = Clock()
        work = Registers(addresses(n1=a, n2=b), session, clock, random.Random(1), rate_per_client=200, ops_max=600)
        work.start()
        assert await work.until_written(("n1", "n2"), 0, 10.0) == []
        later_us = clock.now_us() + 300_000
        assert await work.until_written(("n1", "n2"), later_us, 10.0) == []
        assert clock.now_us() > later_us
        bad.status = 503
        await work.until_written(("n1",), clock.now_us(), 10.0)
        since_us = clock.now_us() + 100_000
        assert await work.until_written(("n1", "n2"), since_us, 0.5) == ["n2"]
        assert len(work.history) < 600
        assert await work.until_written(("n2",), since_us, 60.0) == ["n2"]
        assert work.full, "the clients stopped, so nobody waits for them"
        await work.stop()


async def test_after_a_failure_a_client_goes_on_with_the_same_node_and_the_next_value() -> None:
    store = Store()
    store.status = 503
    async with answering(store.handle) as url, new_session() as session:
        work = Registers(addresses(n1=url), session, Clock(), random.Random(1), "", 1, 0, rate_per_client=400)
        work.start()
        while len(work.history) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        store.status = 200
        while work.history[-1].outcome != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await work.stop()
    assert [op.outcome for op in work.history[:3]] == ["fail"] * 3
    assert work.history[0].error == "no-leader: none"
    assert work.history[2].sent_us - work.history[1].done_us > 90_000
    assert next(iter(store.values.values())) > 3
    assert [op.value for op in work.history] == list(range(1, len(work.history) + 1))


async def test_a_write_without_an_answer_is_unknown_and_its_value_is_never_sent_again() -> None:
    store = Store()
    store.hang.clear()
    async with answering(store.handle) as url, new_session() as session:
        work = Registers(addresses(n1=url), session, Clock(), random.Random(1), "", 1, 1, rate_per_client=400)
        work.start()
        while len(work.history) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        store.hang.set()
        await work.stop()
    first = {op.kind: op for op in reversed(work.history)}
    assert (first["write"].outcome, first["write"].value, first["write"].code) == ("unknown", 1, 0)
    assert (first["read"].outcome, first["read"].value) == ("fail", None)
    assert [op.value for op in work.history if op.kind == "write"][:2] != [1, 1]


async def test_a_past_that_one_node_does_not_tell_is_asked_of_the_leader_and_else_left_out() -> None:
    one, two = Store(), Store()
    two.values, two.versions, two.past = one.values, one.versions, one.past
    async with answering(one.handle) as a, answering(two.handle) as b, new_session() as session:
        work = Registers(addresses(n1=a, n2=b), session, Clock(), random.Random(1), rate_per_client=200, run="t")
        work.start()
        while len(work.history) < 40:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await work.stop()
        one.past_refused = True
        await work.final_reads(b)
        assert sum(map(len, work.past.values())) == len(one.past) > 0
        two.past_refused = True
        await work.final_reads(b)
        assert work.past == {}


async def test_the_past_is_asked_of_every_node_in_turn_and_of_so_many_writes_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The newest ones; a node that told the past of all would vouch for itself alone."""
    monkeypatch.setattr(registers, "PAST_WRITES_AT_ONCE", 4)
    monkeypatch.setattr(registers, "PAST_WRITES_MAX", 10)
    one, two = Store(), Store()
    two.values, two.versions, two.past = one.values, one.versions, one.past
    async with answering(one.handle) as a, answering(two.handle) as b, new_session() as session:
        work = Registers(addresses(n1=a, n2=b), session, Clock(), random.Random(1), rate_per_client=200, run="t")
        work.start()
        while len(one.past) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await work.stop()
        await work.final_reads(a)
    told = [op.revision for op in work.history if op.kind == "write" and op.outcome == "ok"]
    assert (one.past_asked, two.past_asked) == ([*told[-10:-6], *told[-2:]], told[-6:-2])
    assert sorted(read[0] for reads in work.past.values() for read in reads) == sorted(told[-10:])


async def test_a_client_that_meets_an_error_nobody_foresaw_writes_it_down_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> Reply:
        raise RuntimeError("who would have thought")

    store = Store()
    async with answering(store.handle) as url, new_session() as session:
        work = Registers(addresses(n1=url), session, Clock(), random.Random(1), "", 1, 1, rate_per_client=400)
        monkeypatch.setattr(nodeapi, "put_value", broken)
        monkeypatch.setattr(nodeapi, "get_value", broken)
        work.start()
        while len(work.history) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        monkeypatch.undo()
        while work.history[-1].outcome != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await work.stop()
    assert {(op.kind, op.outcome) for op in work.history[:6]} == {("write", "unknown"), ("read", "fail")}
    assert work.history[0].error == "this client failed: RuntimeError: who would have thought"


async def test_what_is_cut_off_at_the_end_is_kept_as_unknown() -> None:
    store = Store()
    store.hang.clear()
    async with answering(store.handle) as url, new_session() as session:
        work = Registers(addresses(n1=url), session, Clock(), random.Random(1), "", 1, 0, rate_per_client=400)
        work.start()
        while not store.most_under_way:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for task in work._tasks:
            task.cancel()
        await work.stop()
        store.hang.set()
    assert [(op.outcome, op.value) for op in work.history] == [("unknown", 1)]
    assert "ended before the answer" in work.history[0].error


async def test_a_full_history_stops_the_clients_and_says_so() -> None:
    store = Store()
    async with answering(store.handle) as url, new_session() as session:
        target = addresses(n1=url)
        by_count = Registers(target, session, Clock(), random.Random(1), rate_per_client=400, ops_max=20)
        by_bytes = Registers(target, session, Clock(), random.Random(1), rate_per_client=400, bytes_max=3000)
        for work in (by_count, by_bytes):
            work.start()
            await asyncio.wait(work._tasks, timeout=10)
            await work.stop()
    assert 20 <= len(by_count.history) <= 21
    assert "history is full (20 requests" in by_count.full
    assert 50 <= len(by_bytes.history) <= 51
    assert by_bytes.full


async def test_the_rate_is_bounded_for_each_client_and_for_all_together() -> None:
    store = Store()
    async with answering(store.handle) as url, new_session() as session:
        slow = Registers(addresses(n1=url), session, Clock(), random.Random(1), rate_per_client=20)
        many = Registers(addresses(n1=url), session, Clock(), random.Random(1), "", 50, 50, rate_per_client=1000)
        began = time.monotonic()
        slow.start()
        while len(slow.history) < 20:  # noqa: ASYNC110 - the workload has no event for it
            await asyncio.sleep(0.01)
        await slow.stop()
    assert len(slow.history) <= 2 * (20 * (time.monotonic() - began) + 2), "a writer and a reader"
    assert {client.who.every_s for client in (*many._writers, *many._readers)} == {0.25}


async def test_keys_that_cannot_be_read_in_the_end_are_left_out() -> None:
    store = Store()
    store.status = 503
    async with answering(store.handle) as url, new_session() as session:
        work = Registers(addresses(n1=url), session, Clock(), random.Random(1))
        assert await work.final_reads(url, attempts=2) == {}
        assert [op.outcome for op in work.history] == ["fail", "fail"]
