"""A client that others wrote for etcd works against a node as it is."""

from pathlib import Path

import pytest
from etcd3gw import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception

from tests.etcd.processes import running_node


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
