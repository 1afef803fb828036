"""What `raft-node status` says below its table: the store, who watches where, alarms."""

from node.cli.status import _below, _size
from node.supervisor.watch import AlarmLine, NodeStatus, StoreLine


def view(name: str, applied: int, store: StoreLine | None, *alarms: AlarmLine) -> NodeStatus:
    return NodeStatus(
        name=name,
        role="follower",
        term=1,
        leader="",
        commit=applied,
        applied=applied,
        peers=(),
        store=store,
        alarms=alarms,
    )


def test_the_store_is_the_leaders_and_watches_are_each_nodes_own() -> None:
    views = [
        view("n1", 9, StoreLine(1234, 3 << 20, 2 << 30, 1, 5)),
        view("n2", 7, StoreLine(1, 10, 0, 0, 1200), AlarmLine("NOSPACE", "the store is full")),
        view("n3", 8, None, AlarmLine("NOSPACE", "the store is full")),
    ]
    watches, alarm = "Watches: n1 5, n2 1,200.", "Alarm of n2, n3: NOSPACE, the store is full."
    most = "Store: 1,234 keys, 3.0 MiB of 2.0 GiB, 1 lease."
    assert list(_below(views, views[1])) == ["Store: 1 key, 10 bytes, 0 leases.", watches, alarm]
    assert list(_below(views, None)) == [most, watches, alarm]
    assert list(_below(views, views[2])) == [most, watches, alarm]
    assert list(_below([views[2]], None)) == ["Alarm of n3: NOSPACE, the store is full."]


def test_sizes_are_in_base_units() -> None:
    assert [_size(size) for size in (0, 1023, 1024, 1536 << 10, 1 << 40)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 MiB",
        "1,024.0 GiB",
    ]
