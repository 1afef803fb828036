"""Who may speak to this server: the Host and Origin rule, for every request; and every error made JSON.

Why it exists: any web page that the operator's browser opens can send requests to loopback (and, by DNS rebinding,
read the answers). A page cannot choose its `Origin`, and a rebound name shows in `Host`: an address, `localhost` or
a name that was configured is safe, any other name is not. It runs before the handler, so a refusal changes nothing.
"""

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Middleware

from node.api.answers import Problem
from node.api.inputs import target_of

HOSTS_REMEMBERED_MAX = 256
HOST_CHARACTERS_MAX = 300

NOTHING_HERE = "there is nothing at this path; / lists what there is"

_AUTHORITY = re.compile(r"(\[[^\[\]@/]*\]|[^:\[\]@/\s]+)(?::([0-9]{1,5}))?")
_LOG = logging.getLogger("node.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def forbidden(message: str) -> Problem:
    """403."""
    return Problem(403, "forbidden", message)


def is_own_name(host: str, configured: Collection[str]) -> bool:
    """Whether `host` ("name", "1.2.3.4:80", "[::1]:80") is an IP literal, localhost or a configured name."""
    found = _AUTHORITY.fullmatch(host) if len(host) <= HOST_CHARACTERS_MAX else None
    if found is None or int(found[2] or 0) > 65535:
        return False
    name = found[1].lower()
    try:
        if name[0] == "[":
            ipaddress.IPv6Address(name[1:-1])
        elif name != "localhost" and name not in configured:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def make_guard(allowed_hosts: Collection[str], nothing_here: str = NOTHING_HERE) -> Middleware:
    """The outermost middleware. `allowed_hosts`: names, without ports, beside IP literals and localhost.
    `nothing_here`: what is said of a path that there is not."""
    configured = frozenset(name.lower() for name in allowed_hosts)

    @lru_cache(HOSTS_REMEMBERED_MAX)
    def own(host: str) -> bool:
        return is_own_name(host, configured)

    def check(request: web.Request) -> None:
        headers = request.headers
        hosts = headers.getall("Host", ())
        if len(hosts) != 1 or not own(hosts[0]):
            raise forbidden("Host must be, once, an IP address, localhost or a name that this node is configured for")
        if request.raw_path[:1] != "/":
            authority = target_of(request)[0]
            if authority is None or authority.lower() != hosts[0].lower():
                raise forbidden("the request target names another host than Host does")
        origins = headers.getall("Origin", ())
        if origins and (len(origins) > 1 or not _same(origins[0], hosts[0])):
            raise forbidden("Origin must equal Host with its port: pages of other sites may not use this node")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check(request)
            return await handler(request)
        except Problem as problem:
            return problem.answer()
        except web.HTTPException as error:
            return from_aiohttp(error, nothing_here)
        except ConnectionError:
            raise
        except Exception:
            _LOG.exception("a handler failed: %s %s", request.method, ascii(request.raw_path[:200]))
            return Problem(500, "internal", "this node made a mistake; its log says which").answer()

    return guard


def _same(origin: str, host: str) -> bool:
    scheme, separator, authority = origin.partition("://")
    return bool(separator) and scheme.lower() in ("http", "https") and authority.lower() == host.lower()


def from_aiohttp(error: web.HTTPException, nothing_here: str = NOTHING_HERE) -> web.Response:
    """The router's 404 and 405, and what aiohttp refuses by itself."""
    allow = error.headers.get("Allow")
    code = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status, "refused")
    message = {
        404: nothing_here,
        405: f"this path takes only: {allow}",
        413: "the body is too long",
    }.get(error.status, error.reason)
    return Problem(error.status, code, message, headers={"Allow": allow} if allow else None).answer()
