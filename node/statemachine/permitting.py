"""Whether somebody may do what they ask for, judged by the users, roles and permissions of this moment.

Why it exists: the same question is asked of a read before it is answered, and of a write when its turn in the log has
come: then alone it is certain that a permission that was taken away is not used. The rules are etcd's; where a later
release of etcd 3.6 closed a hole, they are that release's: what is nested in a transaction counts as what is not, and
who says nothing about themselves may not even compact or begin a lease. It must not change anything.
"""

from typing import NamedTuple

from node.statemachine.auth import Auth, User
from node.statemachine.auth_writes import AuthWrite, LogIn, LogOut
from node.statemachine.leases import Leases
from node.statemachine.work import Meter, Slices
from node.statemachine.writes import (
    Branches,
    Compact,
    Compare,
    DeleteRange,
    LeaseExpire,
    LeaseGrant,
    Nested,
    Operation,
    Put,
    Range,
    Refused,
    StoreWrite,
    Txn,
)

CHECK_UNITS = 4
"""What it costs to look up a key or range."""

PERMISSION_UNITS = 2
"""What a permission costs that is put in order, once after each change of users."""


class Asker(NamedTuple):
    """Who asks: a user, as they were known to whoever took the request; see `AsUser`."""

    user: str
    since: int


NOBODY = Asker("", 0)
"""Whoever does not say who they are."""

TRUSTED = Asker("", -1)
"""Whoever was let in by the node itself: may do everything that needs no user."""


def user_empty() -> Refused:
    """Nobody asks."""
    return Refused("user-empty", "users are in force, and the request names none")


def permission_denied() -> Refused:
    """They may not."""
    return Refused("permission-denied", "the user may not do this")


def not_admin(auth: Auth, asker: Asker) -> Refused | None:
    """Why they may not do what root alone may."""
    if not auth.enabled or asker == TRUSTED:
        return None
    if asker == NOBODY:
        return user_empty()
    user = auth.users.get(asker.user)
    if user is None:
        return Refused("user-not-found", "there is no user of that name")
    return None if auth.is_root(user) else permission_denied()


def not_somebody(auth: Auth, asker: Asker) -> Refused | None:
    """Why they may not do what every user may."""
    return user_empty() if auth.enabled and asker == NOBODY else None


def may_not_read(auth: Auth, asker: Asker, key: bytes, range_end: bytes = b"") -> Refused | None:
    """Why they may not."""
    return _may_not(auth, asker, key, range_end, writes=False)


def may_not_write(auth: Auth, asker: Asker, key: bytes, range_end: bytes = b"") -> Refused | None:
    """Why they may not."""
    return _may_not(auth, asker, key, range_end, writes=True)


def _may_not(auth: Auth, asker: Asker, key: bytes, range_end: bytes, writes: bool) -> Refused | None:
    if not auth.enabled or asker == TRUSTED:
        return None
    user = _known(auth, asker)
    if isinstance(user, Refused):
        return user
    if auth.is_root(user) or auth.spans(user)[writes].cover(key, range_end):
        return None
    return permission_denied()


def _known(auth: Auth, asker: Asker) -> User | Refused:
    if asker == NOBODY:
        return user_empty()
    user = auth.users.get(asker.user)
    if user is None:
        return permission_denied()
    if user.since != asker.since:
        return Refused("auth-old-revision", "the user's password was changed, or they were made anew")
    return user


def may_not_do(auth: Auth, asker: Asker, leases: Leases, write: StoreWrite, meter: Meter) -> Slices[Refused | None]:
    """Why they may not do `write`."""
    if not auth.enabled or asker == TRUSTED or isinstance(write, LeaseExpire | Compact | LogIn | LogOut):
        return None  # what nodes propose by themselves, and what every user may is asked before it is proposed
    if isinstance(write, AuthWrite):
        return not_admin(auth, asker)
    meter.left -= PERMISSION_UNITS * auth.prepare(asker.user)
    if meter.left <= 0:
        yield
    if isinstance(write, Txn):
        return (yield from may_not_transact(auth, asker, leases, write, meter))
    if isinstance(write, Put | DeleteRange):
        return (yield from _may_not_operate(auth, asker, leases, write, meter))
    return not_somebody(auth, asker) or (
        None if isinstance(write, LeaseGrant) else (yield from _may_not_use_lease(auth, asker, leases, write.id, meter))
    )


def may_not_transact(auth: Auth, asker: Asker, leases: Leases, txn: Txn, meter: Meter) -> Slices[Refused | None]:
    """Why they may not do all of it: every compare and every branch counts, whichever is taken."""
    trees: tuple[Txn | Branches, ...] = (txn, *txn.nested)
    for tree in trees:
        operations: tuple[Compare | Operation, ...] = (*tree.compare, *tree.success, *tree.failure)
        for operation in operations:
            refusal = yield from _may_not_operate(auth, asker, leases, operation, meter)
            if refusal is not None:
                return refusal
    return None


def _may_not_operate(
    auth: Auth, asker: Asker, leases: Leases, operation: Compare | Operation, meter: Meter
) -> Slices[Refused | None]:
    meter.left -= CHECK_UNITS
    if meter.left <= 0:
        yield
    if isinstance(operation, Nested):
        return None
    if isinstance(operation, Compare | Range):
        return may_not_read(auth, asker, operation.key, operation.range_end)
    if isinstance(operation, DeleteRange):
        refusal = may_not_write(auth, asker, operation.key, operation.range_end)
        if refusal is None and operation.prev_kv:
            refusal = may_not_read(auth, asker, operation.key, operation.range_end)
        return refusal
    refusal = may_not_write(auth, asker, operation.key)
    if refusal is None and operation.lease:
        refusal = yield from _may_not_use_lease(auth, asker, leases, operation.lease, meter)
    if refusal is None and operation.prev_kv:
        refusal = may_not_read(auth, asker, operation.key)
    return refusal


def _may_not_use_lease(auth: Auth, asker: Asker, leases: Leases, number: int, meter: Meter) -> Slices[Refused | None]:
    """Whoever may not write a key of a lease may not end it, nor keep it, nor give it keys that end with it."""
    if not_admin(auth, asker) is None or not leases.has_keys:
        return None
    start: bytes | None = b""
    while start is not None:
        keys, start = leases.keys(number, start, leases.revision, max(1, meter.left // CHECK_UNITS))
        for key in keys:
            refusal = may_not_write(auth, asker, key)
            if refusal is not None:
                return refusal
        meter.left -= 1 + CHECK_UNITS * len(keys)
        if meter.left <= 0:
            yield
    return None
