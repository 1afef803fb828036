"""Etcd's Auth service, method by method: what each takes, does and answers.

Why it exists: the one table of these calls, for both doors. It must not know what a call does.
"""

from typing import NamedTuple

from node.api.etcd.auth_calls import AuthCall, AuthCalls


class AuthMethod(NamedTuple):
    """`rpc`: gRPC's name; `path`: below /v3/auth/; `message`: of its request and answer, without these words."""

    rpc: str
    path: str
    message: str
    call: AuthCall


def methods_of(calls: AuthCalls) -> tuple[AuthMethod, ...]:
    """All of them."""
    return (
        AuthMethod("AuthEnable", "enable", "AuthEnable", calls.enable),
        AuthMethod("AuthDisable", "disable", "AuthDisable", calls.disable),
        AuthMethod("AuthStatus", "status", "AuthStatus", calls.status),
        AuthMethod("Authenticate", "authenticate", "Authenticate", calls.authenticate),
        AuthMethod("UserAdd", "user/add", "AuthUserAdd", calls.user_add),
        AuthMethod("UserGet", "user/get", "AuthUserGet", calls.user_get),
        AuthMethod("UserList", "user/list", "AuthUserList", calls.user_list),
        AuthMethod("UserDelete", "user/delete", "AuthUserDelete", calls.user_delete),
        AuthMethod("UserChangePassword", "user/changepw", "AuthUserChangePassword", calls.user_change_password),
        AuthMethod("UserGrantRole", "user/grant", "AuthUserGrantRole", calls.user_grant_role),
        AuthMethod("UserRevokeRole", "user/revoke", "AuthUserRevokeRole", calls.user_revoke_role),
        AuthMethod("RoleAdd", "role/add", "AuthRoleAdd", calls.role_add),
        AuthMethod("RoleGet", "role/get", "AuthRoleGet", calls.role_get),
        AuthMethod("RoleList", "role/list", "AuthRoleList", calls.role_list),
        AuthMethod("RoleDelete", "role/delete", "AuthRoleDelete", calls.role_delete),
        AuthMethod("RoleGrantPermission", "role/grant", "AuthRoleGrantPermission", calls.role_grant_permission),
        AuthMethod("RoleRevokePermission", "role/revoke", "AuthRoleRevokePermission", calls.role_revoke_permission),
    )
