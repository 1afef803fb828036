"""What each route and each method of gRPC needs, through whichever door it is asked for: one table.

Why it exists: a call of etcd's has two or three names (gRPC's, and JSON's paths), and what it needs must not depend on
which is used. `/openapi.json` and docs/access.md are made of it, and a test holds it against what the router and gRPC's
services really have, both ways. What stands nowhere here needs the most. It must not know how a request comes.
"""

from typing import NamedTuple

from node.access.principals import Both, Need, Role

READ, WRITE, OPERATE = Role.READ, Role.WRITE, Role.OPERATE
MANAGE = Both.WRITE_AND_OPERATE
"""To change users: whoever only operates would make a user who writes, and whoever only writes one who operates."""
OPEN = None
"""Open to all: probes, the page itself (not what it shows), and the way to prove who one is."""

UNLISTED = MANAGE


class Call(NamedTuple):
    """One call of etcd's API: its method of gRPC, and the paths below `/v3` that mean the same in JSON (POST)."""

    need: Need
    method: str
    paths: tuple[str, ...] = ()


_KV, _LEASE, _CLUSTER = "/etcdserverpb.KV/", "/etcdserverpb.Lease/", "/etcdserverpb.Cluster/"
_MAINTENANCE, _AUTH = "/etcdserverpb.Maintenance/", "/etcdserverpb.Auth/"
_LOCK, _ELECTION, _HEALTH = "/v3lockpb.Lock/", "/v3electionpb.Election/", "/grpc.health.v1.Health/"

CALLS: tuple[Call, ...] = (
    Call(READ, _KV + "Range", ("kv/range",)),
    Call(WRITE, _KV + "Put", ("kv/put",)),
    Call(WRITE, _KV + "DeleteRange", ("kv/deleterange",)),
    Call(WRITE, _KV + "Txn", ("kv/txn",)),
    Call(WRITE, _KV + "Compact", ("kv/compaction",)),
    Call(READ, "/etcdserverpb.Watch/Watch", ("watch",)),
    Call(WRITE, _LEASE + "LeaseGrant", ("lease/grant",)),
    Call(WRITE, _LEASE + "LeaseRevoke", ("lease/revoke", "kv/lease/revoke")),
    Call(WRITE, _LEASE + "LeaseKeepAlive", ("lease/keepalive",)),
    Call(READ, _LEASE + "LeaseTimeToLive", ("lease/timetolive", "kv/lease/timetolive")),
    Call(READ, _LEASE + "LeaseLeases", ("lease/leases", "kv/lease/leases")),
    Call(WRITE, _LOCK + "Lock", ("lock/lock",)),
    Call(WRITE, _LOCK + "Unlock", ("lock/unlock",)),
    Call(WRITE, _ELECTION + "Campaign", ("election/campaign",)),
    Call(WRITE, _ELECTION + "Proclaim", ("election/proclaim",)),
    Call(WRITE, _ELECTION + "Resign", ("election/resign",)),
    Call(READ, _ELECTION + "Leader", ("election/leader",)),
    Call(READ, _ELECTION + "Observe", ("election/observe",)),
    Call(READ, _CLUSTER + "MemberList", ("cluster/member/list",)),
    Call(OPERATE, _CLUSTER + "MemberAdd", ("cluster/member/add",)),
    Call(OPERATE, _CLUSTER + "MemberPromote", ("cluster/member/promote",)),
    Call(OPERATE, _CLUSTER + "MemberRemove", ("cluster/member/remove",)),
    Call(OPERATE, _CLUSTER + "MemberUpdate", ("cluster/member/update",)),
    Call(READ, _MAINTENANCE + "Status", ("maintenance/status",)),
    Call(READ, _MAINTENANCE + "Alarm", ("maintenance/alarm",)),
    Call(READ, _MAINTENANCE + "Hash", ("maintenance/hash",)),
    Call(READ, _MAINTENANCE + "HashKV", ("maintenance/hashkv",)),
    Call(OPERATE, _MAINTENANCE + "Defragment", ("maintenance/defragment",)),
    Call(OPERATE, _MAINTENANCE + "Snapshot", ("maintenance/snapshot",)),
    Call(OPERATE, _MAINTENANCE + "MoveLeader", ("maintenance/transfer-leadership",)),
    Call(OPERATE, "", ("maintenance/downgrade",)),
    Call(READ, _AUTH + "AuthStatus", ("auth/status",)),
    Call(OPEN, _AUTH + "Authenticate", ("auth/authenticate",)),
    Call(MANAGE, _AUTH + "AuthEnable", ("auth/enable",)),
    Call(MANAGE, _AUTH + "AuthDisable", ("auth/disable",)),
    Call(MANAGE, _AUTH + "UserAdd", ("auth/user/add",)),
    Call(OPERATE, _AUTH + "UserGet", ("auth/user/get",)),
    Call(OPERATE, _AUTH + "UserList", ("auth/user/list",)),
    Call(MANAGE, _AUTH + "UserDelete", ("auth/user/delete",)),
    Call(MANAGE, _AUTH + "UserChangePassword", ("auth/user/changepw",)),
    Call(MANAGE, _AUTH + "UserGrantRole", ("auth/user/grant",)),
    Call(MANAGE, _AUTH + "UserRevokeRole", ("auth/user/revoke",)),
    Call(MANAGE, _AUTH + "RoleAdd", ("auth/role/add",)),
    Call(OPERATE, _AUTH + "RoleGet", ("auth/role/get",)),
    Call(OPERATE, _AUTH + "RoleList", ("auth/role/list",)),
    Call(MANAGE, _AUTH + "RoleDelete", ("auth/role/delete",)),
    Call(MANAGE, _AUTH + "RoleGrantPermission", ("auth/role/grant",)),
    Call(MANAGE, _AUTH + "RoleRevokePermission", ("auth/role/revoke",)),
    Call(OPEN, _HEALTH + "Check"),
    Call(OPEN, _HEALTH + "Watch"),
)

ROUTES: dict[str, Need] = {
    "GET /": OPEN,
    "GET /static/{path}": OPEN,
    "GET /source.json": OPEN,
    "GET /csp-report": OPEN,
    "POST /csp-report": OPEN,
    "POST /login": OPEN,
    "POST /logout": OPEN,
    "GET /openapi.json": OPEN,
    "GET /livez": OPEN,
    "GET /readyz": OPEN,
    "GET /startupz": OPEN,
    "GET /version": OPEN,
    "GET /health": OPEN,
    "GET /metrics": READ,
    "GET /status": READ,
    "GET /cluster": READ,
    "GET /members": READ,
    "GET /log": READ,
    "GET /stats": READ,
    "GET /events": READ,
    "GET /commands": READ,
    "POST /commands/{name}": OPERATE,
    "GET /backup": OPERATE,
    "GET /kv": READ,
    "GET /kv/{key}": READ,
    "PUT /kv/{key}": WRITE,
    "DELETE /kv/{key}": WRITE,
    "POST /sessions": WRITE,
    **{f"POST /v3/{path}": call.need for call in CALLS for path in call.paths},
}
"""By method and path, of HTTP/1.1; HEAD is GET."""

JUDGES_KEYS = frozenset({"GET /kv", "GET /kv/{key}", "PUT /kv/{key}", "DELETE /kv/{key}", "POST /sessions"})
"""Routes for which every user of the cluster may ask: keys are judged one by one where they are read and written."""

METHODS: dict[str, Need] = {call.method: call.need for call in CALLS if call.method}
"""By path, of gRPC."""


def need_of_route(method: str, path: str) -> Need:
    """What a route needs; `path` as it is registered."""
    return ROUTES.get(f"{'GET' if method == 'HEAD' else method} {path}", UNLISTED)


def need_of_method(path: str) -> Need:
    """What a method of gRPC needs."""
    return METHODS.get(path, UNLISTED)
