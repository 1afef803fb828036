"""Etcd's Auth service: users, roles, permissions, and tokens for a password.

Why it exists: beside `calls`. Changes are writes like any other, judged where they are applied; a password is hashed
before, by a thread, and only where whoever asks may change something. It must not tell a hash, or know JSON or HTTP.
"""

from collections.abc import Awaitable, Callable

import msgspec

from node.api.etcd import errors
from node.api.etcd.calls import EtcdCalls, Header
from node.api.etcd.errors import Code, EtcdError, invalid
from node.api.etcd.refusals import refused
from node.api.etcd.schema import Message
from node.api.etcd.tokens import shown
from node.api.etcd.users import Users
from node.api.once import NO_SESSION
from node.statemachine.auth import ROOT, Auth, Permission
from node.statemachine.auth_writes import (
    AuthDisable,
    AuthDone,
    AuthEnable,
    AuthWrite,
    Kind,
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
from node.statemachine.authorizing import auth_not_enabled
from node.statemachine.permitting import not_admin
from node.statemachine.writes import Refused, Result


class AuthAnswer(msgspec.Struct, frozen=True):
    """`fields`: what it says beside the header, named as in `schema`."""

    header: Header
    fields: Message


AuthCall = Callable[[Message, int], Awaitable[AuthAnswer]]
_ROOT_MAY = ({"permType": int(Kind.READWRITE), "key": b"", "range_end": b"\0"},)


class AuthCalls:
    """`calls`: the other calls of the same node, which know header, barrier and log."""

    def __init__(self, calls: EtcdCalls) -> None:
        self._calls = calls
        self._users: Users = calls.users

    # --- whether users are in force ----------------------------------------------------------------------------

    async def enable(self, _message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthEnableRequest."""
        return await self._change(AuthEnable())

    async def disable(self, _message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthDisableRequest."""
        return await self._change(AuthDisable())

    async def status(self, _message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthStatusRequest."""
        auth = await self._read_as_root()
        return self._answer({"enabled": auth.enabled, "authRevision": auth.revision})

    async def authenticate(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthenticateRequest: a token for a password. Which of the two is wrong is not told."""
        await self._calls.barrier()
        if not self._users.in_force:
            raise refused(auth_not_enabled())
        name = message.get("name", "")
        listed = self._users.auth.users.get(name)
        if listed is not None and listed.no_password:
            self._users.login_failed(name)
            raise EtcdError(Code.UNKNOWN, errors.NO_PASSWORD)
        user = await self._users.with_password(name, message.get("password", ""))
        if user is None:
            raise invalid(errors.AUTH_FAILED)
        secret, digest = self._users.tokens.made()
        login = LogIn(user.name, user.since, digest)
        result = self._calls.result_of(await self._calls.propose(login, NO_SESSION, for_asker=False))
        if isinstance(result, LoggedIn):
            return self._answer({"token": shown(secret, result.index)}, result.revision)
        raise _not_done(result)

    async def log_out(self, token: str) -> None:
        """That token is nobody's any more: at this node when this returns or raises `EtcdError`, at the others as soon
        as they have applied its entry. Etcd has no such call. Whoever shows what is no token changes nothing."""
        digest = await self._users.give_back(token)
        if digest is not None:
            self._calls.result_of(await self._calls.propose(LogOut(digest), NO_SESSION, for_asker=False))

    # --- users -------------------------------------------------------------------------------------------------

    async def user_add(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserAddRequest."""
        no_password = message.get("options", {}).get("no_password", False)
        password = b"" if no_password else await self._hashed(message)
        return await self._change(UserAdd(message.get("name", ""), password, no_password))

    async def user_get(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserGetRequest: of root all may be asked, of oneself by everybody."""
        name = message.get("name", "")
        await self._calls.barrier()
        await self._require_root_or(lambda asked_by: asked_by == name)
        user = self._users.auth.users.get(name)
        if user is None:
            raise refused(Refused("user-not-found", name))
        return self._answer({"roles": list(user.roles)})

    async def user_list(self, _message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserListRequest."""
        return self._answer({"users": sorted((await self._read_as_root()).users)})

    async def user_delete(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserDeleteRequest."""
        return await self._change(UserDelete(message.get("name", "")))

    async def user_change_password(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserChangePasswordRequest. Without a password there is none that is right, as in etcd."""
        password = await self._hashed(message) if message.get("password") else b""
        return await self._change(UserPassword(message.get("name", ""), password))

    async def user_grant_role(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserGrantRoleRequest."""
        return await self._change(UserGrantRole(message.get("user", ""), message.get("role", "")))

    async def user_revoke_role(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthUserRevokeRoleRequest."""
        return await self._change(UserRevokeRole(message.get("name", ""), message.get("role", "")))

    # --- roles -------------------------------------------------------------------------------------------------

    async def role_add(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthRoleAddRequest."""
        return await self._change(RoleAdd(message.get("name", "")))

    async def role_get(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthRoleGetRequest: root may ask, and whoever has it."""
        name = message.get("role", "")
        await self._calls.barrier()
        users = self._users.auth.users
        await self._require_root_or(lambda asked_by: asked_by in users and name in users[asked_by].roles)
        role = self._users.auth.roles.get(name)
        if role is None:
            raise refused(Refused("role-not-found", name))
        return self._answer({"perm": list(_ROOT_MAY if name == ROOT else map(_said, role.permissions))})

    async def role_list(self, _message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthRoleListRequest."""
        return self._answer({"roles": sorted((await self._read_as_root()).roles)})

    async def role_delete(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthRoleDeleteRequest."""
        return await self._change(RoleDelete(message.get("role", "")))

    async def role_grant_permission(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthRoleGrantPermissionRequest."""
        await self._users.require_root()
        given = message.get("perm")
        if given is None:
            raise invalid(errors.PERMISSION_NOT_GIVEN)
        kind = given.get("permType", 0)
        if not 0 <= kind < len(Kind):
            raise invalid(errors.INVALID_MANAGEMENT)
        name, key, range_end = message.get("name", ""), given.get("key", b""), given.get("range_end", b"")
        return await self._change(RoleGrantPermission(name, Kind(kind), key, range_end))

    async def role_revoke_permission(self, message: Message, _message_bytes: int) -> AuthAnswer:
        """An AuthRoleRevokePermissionRequest."""
        key, range_end = message.get("key", b""), message.get("range_end", b"")
        return await self._change(RoleRevokePermission(message.get("role", ""), key, range_end))

    # --- what all do -------------------------------------------------------------------------------------------

    async def _hashed(self, message: Message) -> bytes:
        """Only for who may change something: it costs the node more than the asker."""
        await self._users.require_root()
        return await self._users.passwords.hashed(message.get("password", ""))

    async def _read_as_root(self) -> Auth:
        await self._calls.barrier()
        await self._users.require_root()
        return self._users.auth

    async def _require_root_or(self, allowed: Callable[[str], bool]) -> None:
        if self._users.in_force:
            asker = await self._users.asker()
            refusal = not_admin(self._users.auth, asker)
            if refusal is not None and not (asker.user and allowed(asker.user)):
                raise refused(refusal)

    async def _change(self, write: AuthWrite) -> AuthAnswer:
        result = self._calls.result_of(await self._calls.propose(write, NO_SESSION))
        if isinstance(result, AuthDone):
            return self._answer({}, result.revision)
        raise _not_done(result)

    def _answer(self, fields: Message, revision: int | None = None) -> AuthAnswer:
        return AuthAnswer(self._calls.header(self._calls.revision if revision is None else revision), fields)


def _not_done(result: Result) -> EtcdError:
    if isinstance(result, Refused):
        return refused(result)
    return EtcdError(Code.INTERNAL, "etcdserver: this answer is none about users")


def _said(permission: Permission) -> Message:
    return {"permType": int(permission.kind), "key": permission.key, "range_end": permission.range_end}
