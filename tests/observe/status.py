"""A status to start from; tests replace what they are about."""

from typing import Any

import msgspec

from node.raft.status import CoreStatus, PeerStatus
from node.raft.types import Member, Role
from node.runtime.ports import Status, StoreSummary

STORE = StoreSummary(7, 3, 900, 1 << 20, 2, 5, 4)
MEMBERS = tuple(Member(f"n{i}", f"i{i}") for i in (1, 2, 3))


def core_status(**changes: Any) -> CoreStatus:
    peers = (
        PeerStatus("n2", "i2", 1500, "replicate", 9, 10, 1, 100),
        PeerStatus("n3", "i3", None, "probe", 0, 10),
    )
    base = CoreStatus(
        name="n1", incarnation="i1", cluster_id="c" * 32, role=Role.LEADER, term=4, vote="n1", leader="n1", commit=9,
        applied=9, durable=9, first_index=1, last_index=9, last_term=4, log_bytes=900, log_limit_bytes=1 << 20,
        deadline_in_us=50_000, voters=MEMBERS, learners=(), peers=peers, waiting_for="",
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def node_status(**changes: Any) -> Status:
    own = {key: changes.pop(key) for key in list(changes) if key in Status.__struct_fields__}
    base = Status(core_status(**changes), "boot-1", "0.1.0", 7_000_000, "http://127.0.0.1:8001", ("n2",), store=STORE)
    return msgspec.structs.replace(base, **own)
