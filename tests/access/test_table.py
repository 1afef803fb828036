"""The table of what needs which role is the router's and gRPC's, both ways."""

from node.access.principals import Both, Role, with_roles
from node.access.table import CALLS, METHODS, ROUTES, UNLISTED, need_of_method, need_of_route
from node.api.entry import registered_path
from tests.access.double import served


async def test_every_route_stands_in_the_table_and_everything_there_is_a_route() -> None:
    async with served() as node:
        routes = {
            f"{route.method} {registered_path(route.resource)}"
            for route in node.app.router.routes()
            if route.resource is not None and route.method not in ("*", "HEAD")
        }
        assert routes == set(ROUTES)


async def test_every_method_of_grpc_stands_in_the_table_and_everything_there_is_a_method() -> None:
    async with served() as node:
        assert node.door.methods == set(METHODS)


def test_what_is_not_listed_needs_the_most() -> None:
    assert need_of_route("GET", "/new") is UNLISTED is Both.WRITE_AND_OPERATE
    assert need_of_method("/new.Service/New") is UNLISTED
    assert need_of_route("HEAD", "/status") is Role.READ


def test_who_writes_reads_and_who_operates_reads_but_does_not_write() -> None:
    reader, writer, operator = (with_roles("a", role) for role in Role)
    assert [reader.may(role) for role in (None, *Role)] == [True, True, False, False]
    assert [writer.may(role) for role in (None, *Role)] == [True, True, True, False]
    assert [operator.may(role) for role in (None, *Role)] == [True, True, False, True]


OPEN_ROUTES = {
    "GET /", "GET /static/{path}", "GET /source.json", "GET /csp-report", "POST /csp-report", "GET /openapi.json",
    "GET /livez", "GET /readyz", "GET /startupz", "GET /version", "GET /health",
    "POST /login", "POST /logout", "POST /v3/auth/authenticate",
}  # fmt: skip
OPEN_METHODS = {
    "/etcdserverpb.Auth/Authenticate", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
}  # fmt: skip
LOOKS = {
    "/etcdserverpb.KV/Range", "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Lease/LeaseLeases", "/v3electionpb.Election/Leader", "/v3electionpb.Election/Observe",
    "/etcdserverpb.Cluster/MemberList", "/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Alarm",
    "/etcdserverpb.Maintenance/Hash", "/etcdserverpb.Maintenance/HashKV", "/etcdserverpb.Auth/AuthStatus",
}  # fmt: skip
"""Calls of etcd's that change nothing, written down once more: so that a row that is too kind is seen."""


def test_what_is_open_and_what_only_looks_is_what_is_meant_to_be() -> None:
    assert {route for route, need in ROUTES.items() if need is None} == OPEN_ROUTES
    assert {method for method, need in METHODS.items() if need is None} == OPEN_METHODS
    reads = {method for method, need in METHODS.items() if need is Role.READ}
    assert reads <= LOOKS
    changing = {route: need for route, need in ROUTES.items() if not route.startswith("GET ") and " /v3/" not in route}
    assert not [route for route, need in changing.items() if need is Role.READ]


def test_who_changes_users_needs_both_roles_or_either_would_make_itself_the_other() -> None:
    """Root, whom a call of these makes, may write every key and give every command."""
    changes = {method for method, need in METHODS.items() if need is Both.WRITE_AND_OPERATE}
    looks = {f"/etcdserverpb.Auth/{rpc}" for rpc in ("UserGet", "UserList", "RoleGet", "RoleList", "AuthStatus")}
    assert changes == {method for method in METHODS if ".Auth/" in method} - looks - OPEN_METHODS
    for roles, may in (((Role.WRITE,), False), ((Role.OPERATE,), False), ((Role.WRITE, Role.OPERATE), True)):
        assert with_roles("a", *roles).may(Both.WRITE_AND_OPERATE) is may


def test_a_call_needs_the_same_under_each_of_its_names() -> None:
    for call in CALLS:
        needs = {ROUTES[f"POST /v3/{path}"] for path in call.paths} | ({METHODS[call.method]} if call.method else set())
        assert needs == {call.need}
