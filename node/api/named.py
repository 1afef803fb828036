"""What reaches beyond this node, asked for without a name: whether that may be is judged again, once it is known.

Why it exists: the entry judges by what this node has applied, and one that is behind does not know yet that the
cluster has users. It must not know how anybody proves who they are.
"""

from node.api.answers import Problem, try_again
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.users import Users
from node.api.kv_answers import not_permitted
from node.runtime.ports import NodeHandle, ReadFailed


async def settled(users: Users, handle: NodeHandle, timeout_us: int, *, strictly: bool) -> None:
    """Before something that others do on this node's word. Raises `Problem`.

    A node that is not born is no member whose word anybody takes. One that has caught up once goes on where nobody can
    tell, unless `strictly`: faults must be ended, and elections made, while nobody leads. That it was not given the
    time of an election to ask, or asked too much, is no sign of that."""
    core = handle.status().core
    if core.cluster_id and (strictly or not _leaderless(handle)):
        failed = await users.unsettled(timeout_us)
        if failed is not None and (strictly or not _nobody_can_tell(handle, failed, timeout_us)):
            why = f"whether the cluster has users is not known here: {failed.reason}; ask again"
            raise try_again(failed.code, why, failed.leader)
    await require_root_now(users)


def _leaderless(handle: NodeHandle) -> bool:
    return handle.readiness().caught_up and not handle.status().core.leader


def _nobody_can_tell(handle: NodeHandle, failed: ReadFailed, timeout_us: int) -> bool:
    silent = failed.code == "timeout" and timeout_us >= handle.readiness().election_timeout_us
    return handle.readiness().caught_up and (failed.code == "no-leader" or silent)


async def require_root_now(users: Users) -> None:
    """After waiting for what all know. Raises `Problem`."""
    try:
        await users.require_root()
    except EtcdError as error:
        if error.code is Code.PERMISSION_DENIED:
            raise Problem(403, "permission-denied", "of the cluster's users only root may do that") from None
        raise not_permitted(error) from None
