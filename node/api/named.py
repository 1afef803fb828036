"""What reaches beyond this node, asked for without a name: whether that may be is judged again, once it is known.

Why it exists: the entry judges by what this node has applied, and one that is behind does not know yet that the
cluster has users. It must not know how anybody proves who they are.
"""

from node.api.answers import Problem, try_again
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.users import Users
from node.api.kv_answers import not_permitted


async def settled(users: Users) -> None:
    """Before something that others do on this node's word. Raises `Problem`."""
    try:
        await users.settled(leaderless=True)
    except EtcdError as error:
        why = error.message.removeprefix("etcdserver: ")
        raise try_again("no-leader", f"whether the cluster has users is not known here: {why}; ask again") from None
    await require_root_now(users)


async def require_root_now(users: Users) -> None:
    """After waiting for what all know. Raises `Problem`."""
    try:
        await users.require_root()
    except EtcdError as error:
        if error.code is Code.PERMISSION_DENIED:
            raise Problem(403, "permission-denied", "of the cluster's users only root may do that") from None
        raise not_permitted(error) from None
