"""A second, naive judge of users and permissions: facts in sets, ranges as sets of places between a few keys.

Why it exists: what the store does with intervals, this does by asking of every place whether any one permission has it.
"""

from node.statemachine.auth_writes import (
    AuthDisable,
    AuthEnable,
    AuthWrite,
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
from node.statemachine.writes import Branches, Compare, DeleteRange, Nested, Put, Range, Txn

LETTERS = [b"a", b"b", b"c", b"d"]
PLACES = sorted({b"\0", *LETTERS, *(key + b"\0" for key in LETTERS), b"z"})
"""Every key that a test uses as a bound, and what comes just behind each: between two of them nothing can differ."""


def places(key: bytes, end: bytes) -> set[bytes]:
    if not end:
        return {key}
    return {place for place in PLACES if key <= place and (end == b"\0" or place < end)}


class Naive:
    def __init__(self) -> None:
        self.on = False
        self.users: dict[str, int] = {}
        self.made = 0
        self.granted: set[tuple[str, str]] = set()
        self.roles: dict[str, list[tuple[bytes, bytes, int]]] = {}

    def may(self, user: str, since: int, write: bool, key: bytes, end: bytes = b"") -> str:
        if not self.on:
            return ""
        if not user:
            return "user-empty"
        if user not in self.users:
            return "permission-denied"
        if self.users[user] != since:
            return "auth-old-revision"
        if (user, "root") in self.granted:
            return ""
        kinds = (1, 2) if write else (0, 2)
        mine = [
            places(k, e)
            for role, held in self.roles.items()
            if (user, role) in self.granted
            for k, e, kind in held
            if kind in kinds
        ]
        return "" if all(any(p in each for each in mine) for p in places(key, end)) else "permission-denied"

    def may_do(self, user: str, since: int, write: Put | DeleteRange | Txn) -> str:
        asked: list[object] = [write]
        if isinstance(write, Txn):
            trees: tuple[Txn | Branches, ...] = (write, *write.nested)
            asked = [op for tree in trees for part in (tree.compare, tree.success, tree.failure) for op in part]
        for op in asked:
            assert isinstance(op, (Put, DeleteRange, Range, Compare, Nested))
            if isinstance(op, Nested):
                continue
            end = b"" if isinstance(op, Put) else op.range_end
            needs = [True] * isinstance(op, (Put, DeleteRange)) + [False] * (
                isinstance(op, (Range, Compare)) or op.prev_kv
            )
            for need in needs:
                if refused := self.may(user, since, need, op.key, end):
                    return refused
        return ""

    def administer(self, user: str, write: AuthWrite) -> str:
        """The code with which it is refused; empty: it was done."""
        if self.on and not isinstance(write, LogIn | LogOut):
            if not user:
                return "user-empty"
            if user not in self.users:
                return "user-not-found"
            if (user, "root") not in self.granted:
                return "permission-denied"
        return self.change(write)

    def change(self, write: AuthWrite) -> str:  # a case for each, on purpose
        match write:
            case AuthEnable():
                if not self.on and "root" not in self.users:
                    return "root-user-missing"
                if not self.on and ("root", "root") not in self.granted:
                    return "root-role-missing"
                self.on = True
            case AuthDisable():
                self.on = False
            case UserAdd(name):
                if not name or name in self.users:
                    return "user-exists" if name else "user-empty"
                self.made += 1
                self.users[name] = self.made
            case UserDelete(name):
                if self.on and name == "root":
                    return "invalid-auth-management"
                if name not in self.users:
                    return "user-not-found"
                del self.users[name]
                self.granted = {pair for pair in self.granted if pair[0] != name}
            case UserPassword(name):
                if name not in self.users:
                    return "user-not-found"
                self.made += 1
                self.users[name] = self.made
            case UserGrantRole(name, role):
                if name not in self.users:
                    return "user-not-found"
                if role not in self.roles and role != "root":
                    return "role-not-found"
                self.granted.add((name, role))
            case UserRevokeRole(name, role):
                if self.on and name == role == "root":
                    return "invalid-auth-management"
                if name not in self.users:
                    return "user-not-found"
                if (name, role) not in self.granted:
                    return "role-not-granted"
                self.granted.remove((name, role))
            case RoleAdd(name):
                if not name or name in self.roles:
                    return "role-exists" if name else "role-empty"
                self.roles[name] = []
            case RoleDelete(role):
                if self.on and role == "root":
                    return "invalid-auth-management"
                if role not in self.roles:
                    return "role-not-found"
                del self.roles[role]
                self.granted = {pair for pair in self.granted if pair[1] != role}
            case RoleGrantPermission(name, kind, key, end):
                if not key or (end not in (b"", b"\0") and end <= key):
                    return "invalid-auth-management"
                if name not in self.roles:
                    return "role-not-found"
                held = self.roles[name]
                same = [i for i, each in enumerate(held) if each[0] == key][:1]  # etcd looks at the first of that key
                if same and held[same[0]][1] == end:
                    held[same[0]] = (key, end, int(kind))
                else:
                    held.append((key, end, int(kind)))
            case RoleRevokePermission(role, key, end):
                if role not in self.roles:
                    return "role-not-found"
                left = [each for each in self.roles[role] if each[:2] != (key, end)]
                if len(left) == len(self.roles[role]):
                    return "permission-not-granted"
                self.roles[role] = left
            case LogIn(name, since):
                if not self.on:
                    return "auth-not-enabled"
                if self.users.get(name) != since:
                    return "auth-failed"
        return ""
