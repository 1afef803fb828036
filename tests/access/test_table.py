"""The table of what needs which role is the router's and gRPC's, both ways."""

from node.access.principals import Role, with_roles
from node.access.table import METHODS, ROUTES, UNLISTED, need_of_method, need_of_route
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
    assert need_of_route("GET", "/new") is UNLISTED is Role.OPERATE
    assert need_of_method("/new.Service/New") is UNLISTED
    assert need_of_route("HEAD", "/status") is Role.READ


def test_who_writes_reads_and_who_operates_reads_but_does_not_write() -> None:
    reader, writer, operator = (with_roles("a", role) for role in Role)
    assert [reader.may(role) for role in (None, *Role)] == [True, True, False, False]
    assert [writer.may(role) for role in (None, *Role)] == [True, True, True, False]
    assert [operator.may(role) for role in (None, *Role)] == [True, True, False, True]
