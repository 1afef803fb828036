"""A client that others wrote for etcd works against a node as it is."""

from pathlib import Path

import pytest
from etcd3gw import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception

from tests.etcd.processes import etcd_program, running_etcd, running_node


def test_a_stock_client_works_unchanged(tmp_path: Path) -> None:
    with running_node(tmp_path) as port:
        client = Etcd3Client(host="127.0.0.1", port=port)
        try:
            assert client.status()["version"].startswith("3.6.")
            assert [member["name"] for member in client.members()] == ["n1"]
            assert client.create("a/1", "one")
            assert not client.create("a/1", "again")
            assert client.put("a/2", b"two \xff")
            assert client.get("a/1") == [b"one"]
            assert [(value, item["key"]) for value, item in client.get_prefix("a/", "descend", "key")] == [
                (b"two \xff", b"a/2"),
                (b"one", b"a/1"),
            ]
            assert client.replace("a/1", "one", "uno")
            assert not client.replace("a/1", "one", "due")
            assert client.delete("a/2")
            assert [value for value, _ in client.get_all()] == [b"uno"]
            lease = client.lease(ttl=30)
            assert client.put("held", "x", lease=lease)
            assert lease.keys() == [b"held"]
            assert 0 < lease.ttl() <= lease.refresh() == 30
            assert lease.revoke()
            assert (lease.ttl(), lease.refresh(), client.get("held")) == (-1, -1, [])
            with pytest.raises(Etcd3Exception, match="Not Found"):
                client.put("k", "v", lease=lease)
            with client.lock("name", ttl=30) as lock:
                assert lock.is_acquired()
                assert not client.lock("name", ttl=30).acquire()
        finally:
            client.session.close()


@pytest.mark.parametrize("kind", ["node", "etcd"])
def test_a_stock_client_watches_compares_and_locks(kind: str, tmp_path: Path) -> None:
    """The same against etcd, which shows that it is right."""
    program = etcd_program()
    if kind == "etcd" and program is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    with running_node(tmp_path) if kind == "node" else running_etcd(program or "", tmp_path) as port:
        client = Etcd3Client(host="127.0.0.1", port=port, timeout=20)
        try:
            # It takes each piece that it reads for one line, so nothing here makes two that could arrive as one.
            events, cancel = client.watch_prefix("w/", prev_kv=True)
            client.put("w/a", "1")
            assert next(events)["kv"]["value"] == b"1"
            client.put("w/a", "2")
            assert str(next(events)["prev_kv"]["value"]) == "MQ=="  # which it does not decode
            client.delete("w/a")
            assert next(events)["type"] == "DELETE"
            cancel()
            only, cancel = client.watch("w/a", filters=["NOPUT"])
            client.put("w/a", "4")
            client.delete("w/a")
            assert next(only)["type"] == "DELETE"
            cancel()
            client.put("w/a", "4")
            with client.lock("name", ttl=30) as lock:
                assert lock.refresh() == 30
                assert lock.lease is not None
                assert lock.lease.keys() == [lock.key.encode()]
            assert not lock.is_acquired()
            inner = {"compare": [], "success": [{"request_range": {"key": "dy9h"}}], "failure": []}
            done = client.transaction(
                {
                    "compare": [{"key": "dy9h", "range_end": "dy9j", "target": "VERSION", "result": "GREATER"}],
                    "success": [{"request_put": {"key": "dA==", "value": "MQ=="}}, {"request_txn": inner}],
                    "failure": [],
                }
            )
            (put, nested) = done["responses"]
            assert (done["succeeded"], "response_put" in put) == (True, True)
            assert nested["response_txn"]["responses"][0]["response_range"]["kvs"][0]["value"] == "NA=="
        finally:
            client.session.close()
