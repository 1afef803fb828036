"""What reaches beyond this node, asked for without a name: whether that may be is judged again, once it is known.

Why it exists: the entry judges by what this node has applied, and one that is behind does not know yet that the
cluster has users. It must not know how anybody proves who they are.
"""

from node.api.answers import Problem, try_again
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.users import Users
from node.api.kv_answers import not_permitted
from node.runtime.ports import NodeHandle


async def settled(users: Users, handle: NodeHandle, timeout_us: int, *, of_all: bool) -> None:
    """Before something that others do on this node's word. Raises `Problem`.

    Where nobody can tell, a node that has caught up once goes on: faults of others must be ended, and elections made,
    while nobody leads. So does one that is not born, which is no member whose word anybody takes. `of_all`: who is a
    member, or leads, is another afterwards; that is not done while a leader is known, who could tell."""
    if _leaderless(handle):
        return
    failed = await users.unsettled(timeout_us)
    if failed is not None:
        if not (_leaderless(handle) or (handle.readiness().caught_up and not of_all)):
            why = f"whether the cluster has users is not known here: {failed.reason}; ask again"
            raise try_again(failed.code, why, failed.leader)
        return
    await require_root_now(users)


def _leaderless(handle: NodeHandle) -> bool:
    core = handle.status().core
    return not core.leader and (handle.readiness().caught_up or not core.cluster_id)


async def require_root_now(users: Users) -> None:
    """After waiting for what all know. Raises `Problem`."""
    try:
        await users.require_root()
    except EtcdError as error:
        if error.code is Code.PERMISSION_DENIED:
            raise Problem(403, "permission-denied", "of the cluster's users only root may do that") from None
        raise not_permitted(error) from None
