"""What writes do to users and roles: all of each at once, or nothing; who asked was found to be allowed before.

Why it exists: beside `leasing` and `executing`. What is refused, and in which order that is found out, is etcd's. It
must not make a result depend on anything but the state and the entry.
"""

import msgspec

from node.raft.types import Entry
from node.statemachine.auth import (
    DIGEST_BYTES,
    HASH_BYTES_MAX,
    NAME_BYTES_MAX,
    PERMISSIONS_BYTES_MAX,
    PERMISSIONS_PER_ROLE_MAX,
    ROLES_MAX,
    ROLES_PER_USER_MAX,
    ROOT,
    USERS_MAX,
    Auth,
    Permission,
    Role,
    Token,
    User,
    in_order,
    too_long,
)
from node.statemachine.auth_writes import (
    AuthDisable,
    AuthDone,
    AuthEnable,
    AuthWrite,
    LoggedIn,
    LogIn,
    LogOut,
    RoleAdd,
    RoleDelete,
    RoleGrantPermission,
    RoleRevokePermission,
    UserAdd,
    UserDelete,
    UserGrantRole,
    UserPassword,
    UserRevokeRole,
)
from node.statemachine.work import Meter
from node.statemachine.writes import KEY_BYTES_MAX, Refused, Result

CHANGE_UNITS = 16
"""What any of these costs; users and permissions that are looked at for it come beside."""

LOOKED_AT_PER_UNIT = 8


def authorizing(auth: Auth, write: AuthWrite, entry: Entry, revision: int, meter: Meter) -> Result:
    """Do `write`, which stands in `entry`. `revision`: the store's."""
    meter.left -= CHANGE_UNITS
    match write:
        case AuthEnable():
            refusal = _enable(auth)
        case AuthDisable():
            refusal = _disable(auth)
        case UserAdd():
            refusal = _add_user(auth, write)
        case UserDelete():
            refusal = _delete_user(auth, write)
        case UserPassword():
            refusal = _change_password(auth, write)
        case UserGrantRole():
            refusal = _grant_role(auth, write)
        case UserRevokeRole():
            refusal = _revoke_role(auth, write)
        case RoleAdd():
            refusal = _add_role(auth, write)
        case RoleDelete():
            meter.left -= len(auth.users) // LOOKED_AT_PER_UNIT
            refusal = _delete_role(auth, write)
        case RoleGrantPermission():
            refusal = _grant_permission(auth, write)
        case RoleRevokePermission():
            refusal = _revoke_permission(auth, write)
        case LogIn():
            refusal = _log_in(auth, write, entry.time_us)
            return refusal or LoggedIn(revision, entry.index)
        case LogOut():
            refusal = _log_out(auth, write)
    return refusal or AuthDone(revision)


def _enable(auth: Auth) -> Refused | None:
    if auth.enabled:
        return None
    root = auth.users.get(ROOT)
    if root is None:
        return Refused("root-user-missing", "there is no user root, who could do anything then")
    if not auth.is_root(root):
        return Refused("root-role-missing", "the user root has not the role root")
    auth.enabled = True
    return None


def _disable(auth: Auth) -> Refused | None:
    if auth.enabled:
        auth.enabled = False
        auth.tokens.clear()
        auth.changed()
        auth.era = auth.revision
    return None


def _add_user(auth: Auth, write: UserAdd) -> Refused | None:
    if not write.name:
        return Refused("user-empty", "a user has a name")
    if write.name in auth.users:
        return Refused("user-exists", "there is a user of that name")
    refusal = _unfit(write.name, write.password)
    if refusal is not None:
        return refusal
    if len(auth.users) >= USERS_MAX:
        return Refused("auth-full", f"there are {USERS_MAX} users, and no more may be: delete some")
    auth.changed()
    auth.users[write.name] = User(write.name, write.password, write.no_password, auth.revision)
    return None


def _delete_user(auth: Auth, write: UserDelete) -> Refused | None:
    if auth.enabled and write.name == ROOT:
        return _invalid("the user root stays while users are in force")
    if write.name not in auth.users:
        return _no_user()
    auth.changed()
    del auth.users[write.name]
    return None


def _change_password(auth: Auth, write: UserPassword) -> Refused | None:
    user = auth.users.get(write.name)
    if user is None:
        return _no_user()
    refusal = _unfit(write.name, write.password)
    if refusal is not None:
        return refusal
    auth.changed()
    password = b"" if user.no_password else write.password
    auth.users[user.name] = msgspec.structs.replace(user, password=password, since=auth.revision)
    return None


def _grant_role(auth: Auth, write: UserGrantRole) -> Refused | None:
    user = auth.users.get(write.user)
    if user is None:
        return _no_user()
    if write.role != ROOT and write.role not in auth.roles:
        return _no_role()
    if write.role in user.roles:
        return None
    if len(user.roles) >= ROLES_PER_USER_MAX:
        return Refused("auth-full", f"a user has {ROLES_PER_USER_MAX} roles at most")
    auth.changed()
    auth.users[user.name] = msgspec.structs.replace(user, roles=tuple(sorted((*user.roles, write.role))))
    return None


def _revoke_role(auth: Auth, write: UserRevokeRole) -> Refused | None:
    if auth.enabled and write.name == ROOT == write.role:
        return _invalid("the user root keeps the role root while users are in force")
    user = auth.users.get(write.name)
    if user is None:
        return _no_user()
    if write.role not in user.roles:
        return Refused("role-not-granted", "the user has not that role")
    auth.changed()
    _take(auth, user, write.role)
    return None


def _add_role(auth: Auth, write: RoleAdd) -> Refused | None:
    if not write.name:
        return Refused("role-empty", "a role has a name")
    if write.name in auth.roles:
        return Refused("role-exists", "there is a role of that name")
    refusal = _unfit(write.name)
    if refusal is not None:
        return refusal
    if len(auth.roles) >= ROLES_MAX:
        return Refused("auth-full", f"there are {ROLES_MAX} roles, and no more may be: delete some")
    auth.changed()
    auth.put_role(Role(write.name))
    return None


def _delete_role(auth: Auth, write: RoleDelete) -> Refused | None:
    if auth.enabled and write.role == ROOT:
        return _invalid("the role root stays while users are in force")
    if write.role not in auth.roles:
        return _no_role()
    auth.changed()
    auth.drop_role(write.role)
    for user in [each for each in auth.users.values() if write.role in each.roles]:
        _take(auth, user, write.role)
    return None


def _grant_permission(auth: Auth, write: RoleGrantPermission) -> Refused | None:
    key, end = write.key, write.range_end
    if not key or (end and end != b"\0" and key >= end):
        return _invalid("a permission is on a key, or on keys up to a later one")
    role = auth.roles.get(write.name)
    if role is None:
        return _no_role()
    if max(len(key), len(end)) > KEY_BYTES_MAX:
        return Refused("auth-full", f"the keys of a permission have {KEY_BYTES_MAX} bytes at most")
    permissions = in_order(role.permissions, Permission(write.kind, key, end))
    if len(permissions) > PERMISSIONS_PER_ROLE_MAX:
        return Refused("auth-full", f"a role has {PERMISSIONS_PER_ROLE_MAX} permissions at most")
    if auth.permissions_bytes + len(key) + len(end) > PERMISSIONS_BYTES_MAX:
        return Refused("auth-full", f"the keys of all permissions have {PERMISSIONS_BYTES_MAX} bytes at most")
    auth.changed()
    auth.put_role(Role(role.name, permissions))
    return None


def _revoke_permission(auth: Auth, write: RoleRevokePermission) -> Refused | None:
    role = auth.roles.get(write.role)
    if role is None:
        return _no_role()
    which = write.key, write.range_end
    left = tuple(each for each in role.permissions if (each.key, each.range_end) != which)
    if len(left) == len(role.permissions):
        return Refused("permission-not-granted", "the role has no permission on exactly these keys")
    auth.changed()
    auth.put_role(Role(role.name, left))
    return None


def _log_in(auth: Auth, write: LogIn, time_us: int) -> Refused | None:
    if not auth.enabled:
        return auth_not_enabled()
    user = auth.still(write.name, write.since)
    if user is None or user.no_password or len(write.digest) != DIGEST_BYTES or write.digest in auth.tokens:
        return Refused("auth-failed", "no such user, or not their password")
    auth.give(Token(write.digest, user.name, user.since, time_us))
    return None


def _log_out(auth: Auth, write: LogOut) -> Refused | None:
    if len(write.digest) != DIGEST_BYTES:
        return Refused("malformed", "this is no digest of a token")
    auth.take_back(write.digest)
    return None


def auth_not_enabled() -> Refused:
    """There is nothing to prove."""
    return Refused("auth-not-enabled", "users are not in force")


def _take(auth: Auth, user: User, role: str) -> None:
    auth.users[user.name] = msgspec.structs.replace(user, roles=tuple(each for each in user.roles if each != role))


def _unfit(name: str, password: bytes = b"") -> Refused | None:
    if too_long(name):
        return Refused("auth-full", f"a name has {NAME_BYTES_MAX} bytes at most")
    return Refused("malformed", "this is no hash of a password") if len(password) > HASH_BYTES_MAX else None


def _no_user() -> Refused:
    return Refused("user-not-found", "there is no user of that name")


def _no_role() -> Refused:
    return Refused("role-not-found", "there is no role of that name")


def _invalid(why: str) -> Refused:
    return Refused("invalid-auth-management", why)
