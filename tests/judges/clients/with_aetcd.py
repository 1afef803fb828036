"""A judge: aetcd, unchanged. Asks HOST:PORT of its argument, which must be empty; 1 at what is not as with etcd.
JUDGE_USER and JUDGE_PASSWORD: as whom it asks.

Why it exists: it stands on google's gRPC for asyncio, and has all its watches in one stream.
"""

import asyncio
import os
import sys
import tempfile
from typing import Any

import aetcd

WAIT_SECONDS = 20


def shown(what: str) -> None:
    print("shown:", what, flush=True)


async def keys(client: Any) -> None:
    for name in (b"a", b"b", b"c"):
        await client.put(b"kv/" + name, b"1")
    assert (await client.put(b"kv/a", b"2", prev_kv=True)).prev_kv.value == b"1"
    got = await client.get(b"kv/a")
    assert (got.value, got.version, got.key) == (b"2", 2, b"kv/a")
    found = await client.get_prefix(b"kv/", sort_order="descend", sort_target="key")
    assert ([kv.key for kv in found], found.count, found.more) == ([b"kv/c", b"kv/b", b"kv/a"], 3, False)
    assert [kv.key for kv in await client.get_range(b"kv/a", b"kv/c")] == [b"kv/a", b"kv/b"]
    assert await client.get(b"nothing") is None
    assert (await client.delete(b"kv/c", prev_kv=True)).prev_kv.value == b"1"
    assert await client.replace(b"kv/b", b"1", b"3")
    assert not await client.replace(b"kv/b", b"1", b"4")
    assert (await client.delete_prefix(b"kv/", prev_kv=True)).deleted == 2
    shown("kv: put, get, prefix, range, sort, delete, replace")


async def transactions(client: Any) -> None:
    on = client.transactions
    await client.put(b"t/a", b"1")
    inner = on.txn(compare=[on.version(b"t/b") == 0], success=[on.put(b"t/b", b"2")], failure=[on.get(b"t/b")])
    done, told = await client.transaction(
        compare=[on.value(b"t/a") == b"1", on.version(b"t/a") > 0, on.create(b"t/b") == 0, on.mod(b"t/a") != 1],
        success=[on.get(b"t/a"), inner, on.delete(b"t/c")],
        failure=[],
    )
    assert (done, told[0][0][0]) == (True, b"1")
    done, told = await client.transaction(compare=[on.value(b"t/a") < b"1"], success=[], failure=[on.get(b"t/b")])
    assert (done, told[0][0][0]) == (False, b"2")
    shown("txn: value, version, create and mod compared, nested, failure")


async def watches(client: Any) -> None:
    first = (await client.put(b"w/a", b"1")).header.revision
    watch = await client.watch_prefix(b"w/", start_revision=first, prev_kv=True)
    events = aiter(watch)
    await client.put(b"w/a", b"2")
    await client.delete(b"w/a")
    seen = [await anext(events) for _ in range(3)]
    assert [str(event.kind) for event in seen] == ["PUT", "PUT", "DELETE"]
    assert [event.prev_kv.value if event.prev_kv else b"" for event in seen] == [b"", b"1", b"2"]
    await watch.cancel()
    await client.put(b"w/b", b"3")
    now = (await client.put(b"w/a", b"4")).header.revision
    again = await client.watch_prefix(b"w/", start_revision=seen[-1].kv.mod_revision + 1, fragment=True)
    events = aiter(again)
    assert [(await anext(events)).kv.value for _ in range(2)] == [b"3", b"4"]
    await again.cancel()
    await client.compact(now, physical=True)
    try:
        await anext(aiter(await client.watch(b"w/a", start_revision=first)))
        raise AssertionError("what was compacted is watched")
    except aetcd.exceptions.RevisionCompactedError as refused:
        assert refused.compacted_revision == now  # noqa: PT017 - there is no pytest here
    only = await client.watch(b"w/a", start_revision=now + 1, kind=aetcd.rtypes.EventKind.DELETE)
    await client.put(b"w/a", b"5")
    await client.delete(b"w/a")
    assert (await anext(aiter(only))).kind == "DELETE"
    await only.cancel()
    shown("watch: history, previous values, resumed after the last revision, compacted, filter")


async def leases(client: Any) -> None:
    lease = await client.lease(60)
    await client.put(b"l", b"x", lease=lease)
    assert (await lease.granted_ttl(), list(await lease.keys())) == (60, [b"l"])
    assert 50 < await lease.remaining_ttl() <= 60
    assert (await lease.refresh()).TTL == 60
    await lease.revoke()
    assert await client.get(b"l") is None
    shown("lease: grant, keys, time to live, keep alive, revoke")


async def locks(client: Any, other: Any) -> None:
    mine, theirs = client.lock(b"name", ttl=30), other.lock(b"name", ttl=30)
    assert await mine.acquire(timeout=WAIT_SECONDS)
    assert not await theirs.acquire(timeout=0)
    waiting = asyncio.create_task(theirs.acquire(timeout=WAIT_SECONDS))
    assert (await mine.refresh()).TTL == 30
    assert await mine.is_acquired()
    assert await mine.release()
    assert await waiting
    assert await theirs.is_acquired()
    assert await theirs.release()
    shown("lock: acquire, refused, wait, refresh, release")


async def upkeep(client: Any) -> None:
    members = [member async for member in client.members()]
    status = await client.status()
    assert (status.version[:4], len(members), status.leader.id) == ("3.6.", 1, members[0].id)
    assert await client.hash() > 0
    await client.defragment()
    with tempfile.TemporaryFile() as saved:
        await client.snapshot(saved)
        assert saved.tell() > 32
    shown("cluster and maintenance: members, status, hash, defragment, snapshot")


async def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    who = {"username": os.environ.get("JUDGE_USER"), "password": os.environ.get("JUDGE_PASSWORD")}
    async with aetcd.Client(host, int(port), **who) as client, aetcd.Client(host, int(port), **who) as other:
        await keys(client)
        await transactions(client)
        await watches(client)
        await leases(client)
        await locks(client, other)
        if who["username"] is None:  # aetcd sends no token with these calls
            await upkeep(client)


if __name__ == "__main__":
    asyncio.run(main())
