"""A judge: python-etcd3, unchanged. Asks HOST:PORT of its argument, which must be empty; 1 at what is not as with etcd.

Why it exists: it stands on google's gRPC for Python and makes its locks itself, of transactions and watches. It runs
in an environment of its own, as what it needs is old.
"""

import sys
import tempfile
import threading
import time
from typing import Any

import etcd3

WAIT_SECONDS = 20


def shown(what: str) -> None:
    print("shown:", what, flush=True)


def keys(client: Any) -> None:
    for name in "abc":
        client.put(f"kv/{name}", "1")
    assert client.put("kv/a", "2", prev_kv=True).prev_kv.value == b"1"
    value, about = client.get("kv/a")
    assert (value, about.version, about.key) == (b"2", 2, b"kv/a")
    found = client.get_prefix("kv/", sort_order="descend", sort_target="key")
    assert [(about.key, value) for value, about in found] == [(b"kv/c", b"1"), (b"kv/b", b"1"), (b"kv/a", b"2")]
    assert [about.key for _, about in client.get_range("kv/a", "kv/c")] == [b"kv/a", b"kv/b"]
    assert client.get("nothing") == (None, None)
    assert client.delete("kv/c", prev_kv=True, return_response=True).prev_kvs[0].value == b"1"
    assert not client.delete("kv/c")
    assert client.put_if_not_exists("kv/d", "4")
    assert not client.put_if_not_exists("kv/d", "5")
    assert client.replace("kv/d", "4", "5")
    assert not client.replace("kv/d", "4", "6")
    assert client.delete_prefix("kv/").deleted == 3
    shown("kv: put, get, prefix, range, sort, delete, create, replace")


def transactions(client: Any) -> None:
    on = client.transactions
    client.put("t/a", "1")
    inner = on.txn(compare=[on.version("t/b") == 0], success=[on.put("t/b", "2")], failure=[on.get("t/b")])
    done, told = client.transaction(
        compare=[on.value("t/a") == "1", on.version("t/a") > 0, on.create("t/b") == 0, on.mod("t/a") != 1],
        success=[on.get("t/a"), inner, on.delete("t/c")],
        failure=[],
    )
    assert (done, told[0][0][0]) == (True, b"1")
    assert client.get("t/b")[0] == b"2"
    done, told = client.transaction(compare=[on.value("t/a") < "1"], success=[], failure=[on.get("t/b")])
    assert (done, told[0][0][0]) == (False, b"2")
    shown("txn: value, version, create and mod compared, nested, failure")


def watches(client: Any) -> None:
    client.put("w/a", "1")
    first = client.get("w/a")[1].mod_revision
    events, cancel = client.watch_prefix("w/", start_revision=first, prev_kv=True)
    client.put("w/a", "2")
    client.delete("w/a")
    seen = [next(events) for _ in range(3)]
    assert [type(event).__name__ for event in seen] == ["PutEvent", "PutEvent", "DeleteEvent"]
    assert [event.prev_value for event in seen] == [b"", b"1", b"2"]
    cancel()
    last = seen[-1].mod_revision
    client.put("w/b", "3")
    client.put("w/a", "4")
    again, cancel = client.watch_prefix("w/", start_revision=last + 1)
    assert [next(again).value for _ in range(2)] == [b"3", b"4"]
    cancel()
    now = client.get("w/a")[1].mod_revision
    client.compact(now)
    late, cancel = client.watch("w/a", start_revision=first)
    try:
        next(late)
        raise AssertionError("what was compacted is watched")
    except etcd3.exceptions.RevisionCompactedError as refused:
        assert refused.compacted_revision == now  # noqa: PT017 - there is no pytest here
    cancel()
    shown("watch: history, previous values, resumed after the last revision seen, compacted")


def leases(client: Any) -> None:
    lease = client.lease(60)
    client.put("l", "x", lease=lease)
    assert (lease.granted_ttl, lease.keys) == (60, [b"l"])
    assert 50 < lease.remaining_ttl <= 60
    assert [answer.TTL for answer in lease.refresh()] == [60]
    lease.revoke()
    assert client.get("l") == (None, None)
    shown("lease: grant, keys, time to live, keep alive, revoke")


def locks(client: Any, other: Any) -> None:
    mine, theirs = client.lock("name", ttl=30), other.lock("name", ttl=30)
    assert mine.acquire(timeout=WAIT_SECONDS)
    assert mine.is_acquired()
    assert not theirs.acquire(timeout=0)
    taken: list[bool] = []
    waiting = threading.Thread(target=lambda: taken.append(theirs.acquire(timeout=WAIT_SECONDS)))
    waiting.start()
    while not other.watcher._callbacks:  # it watches from now on, so what happened before would be missed
        time.sleep(0.01)
    assert mine.refresh()[0].TTL == 30
    assert mine.release()
    waiting.join()
    assert (taken, theirs.is_acquired(), mine.is_acquired()) == ([True], True, False)
    assert theirs.release()
    shown("lock: acquire, refused, wait, refresh, release")


def upkeep(client: Any) -> None:
    (member,) = client.members
    assert client.status().version.startswith("3.6.")
    assert client.status().leader.id == member.id
    assert client.hash() > 0
    assert list(client.list_alarms()) == []
    client.defragment()
    with tempfile.TemporaryFile() as saved:
        client.snapshot(saved)
        assert saved.tell() > 32
    shown("cluster and maintenance: members, status, hash, alarms, defragment, snapshot")


def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    with etcd3.client(host, int(port)) as client, etcd3.client(host, int(port)) as other:
        keys(client)
        transactions(client)
        watches(client)
        leases(client)
        locks(client, other)
        upkeep(client)


if __name__ == "__main__":
    main()
