"""Numbers for names: etcd's clients expect uint64 ids of cluster and members.

Why it exists: this cluster has text for both; a hash makes stable numbers of it, the same on every node. It must not
hold state.
"""

import hashlib

from node.raft.types import Member


def cluster_number(cluster_id: str) -> int:
    """The cluster's id; 0 before birth."""
    return _number(f"cluster {cluster_id}") if cluster_id else 0


def member_number(member: Member) -> int:
    """A member's id: new with each incarnation, as in etcd."""
    return _number(f"member {member.name} {member.incarnation}")


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1
