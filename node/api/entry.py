"""Whoever asks over HTTP/1.1 is known before a handler runs, or refused: 401 or 403, in the form of the API asked.

Why it exists: one middleware below the guard, so that no handler can be reached past it. Who a request is done for is
`CURRENT` from then on. It must not know how anybody proves who they are, nor what anything needs: the table does.
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Middleware

from node.access.audit import WHAT_CHARS_MAX
from node.access.entrance import Access, Refusal, bearer, is_basic
from node.access.principals import CURRENT, Need, Principal
from node.access.table import JUDGES_KEYS, OPEN, need_of_route
from node.api.answers import Problem
from node.api.clients import is_tls
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.json_door import error_answer
from node.tracing.context import HEADER, PARENT

COOKIE, SECURE_COOKIE = "raft_session", "__Host-raft_session"
"""Of the page's login; the second one with TLS, where browsers take it from this very host alone."""

_SAFE = ("GET", "HEAD")
_PATTERN = re.compile(r"\{(\w+):[^}]*\}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_entry(access: Access) -> Middleware:
    """A middleware below the guard."""

    @web.middleware
    async def entry(request: web.Request, handler: Handler) -> web.StreamResponse:
        need, asked = _asked(request)
        credential = credential_of(request)
        try:
            principal = await _principal(access, credential, need, asked)
        except Refusal as refusal:
            return _refused(refusal, request.path)
        except EtcdError as error:
            return error_answer(error)
        CURRENT.set(principal)
        PARENT.set(request.headers.get(HEADER, ""))
        told = access.told(principal, need, f"{request.method} {request.raw_path[:WHAT_CHARS_MAX]}")
        over = access.hold(principal, credential, need, lambda: _break_off(request))
        try:
            return await (handler(request) if told is None else _telling(handler(request), told))
        finally:
            over()

    return entry


async def _principal(access: Access, credential: str | None, need: Need, asked: str) -> Principal:
    """Of the cluster's users etcd's calls find out by themselves who shows a token; a password is proved here."""
    if need is OPEN or not access.users_in_force:
        return access.enter(credential, need, asked)
    of_etcd = asked.startswith("POST /v3/")
    found = access.look(credential, need, judges_users=of_etcd and not is_basic(credential))
    return found or await access.prove(credential, need, asked, judges_keys=of_etcd or asked in JUDGES_KEYS)


def _break_off(request: web.Request) -> None:
    """End an answer that was begun: what it still waits for, or has to say, is not for this client any more. What was
    not begun is one request, which was let in."""
    if request.transport is not None and request.writer.output_size > 0:
        request.transport.abort()


async def _telling(handling: Awaitable[web.StreamResponse], told: Callable[[str], None]) -> web.StreamResponse:
    """What comes of it is told, whatever that is."""
    outcome = "left"
    try:
        answer = await handling
        outcome = str(answer.status)
        return answer
    except (Problem, web.HTTPException) as error:
        outcome = str(error.status)
        raise
    except ConnectionError:
        raise
    except Exception:
        outcome = "500"
        raise
    finally:
        told(outcome)


def credential_of(request: web.Request) -> str | None:
    """What the request shows of who asks; None: nothing. A header goes before the cookie of the page's login. Two are
    one that nobody has: which of them counts must not depend on who looks, this node or a proxy before it."""
    shown = request.headers.getall("Authorization", ())
    if shown:
        return bearer(", ".join(shown))
    cookie = request.cookies.get(SECURE_COOKIE if is_secure(request) else COOKIE)
    return unquote(cookie) if cookie and _of_own_page(request) else None


def is_secure(request: web.Request) -> bool:
    """Whether it came with TLS."""
    return request.transport is not None and is_tls(request.transport)


def _of_own_page(request: web.Request) -> bool:
    """Whether the cookie counts: a browser sends it by itself, also where a page of the same machine, at another port,
    has it do so. Such a request says whose it is, or is one that changes something and names no `Origin`, which is
    compared with `Host` where it is there."""
    sites = set(request.headers.getall("Sec-Fetch-Site", ()))
    return sites <= {"same-origin", "none"} and (request.method in _SAFE or "Origin" in request.headers)


def _asked(request: web.Request) -> tuple[Need, str]:
    """What the route needs, and what it is. What there is not, and what takes all methods, only refuse: open to all."""
    route = request.match_info.route
    if route.resource is None or route.method == "*":
        return OPEN, "nothing"
    path = registered_path(route.resource)
    return need_of_route(route.method, path), f"{request.method} {path}"


def registered_path(resource: web.AbstractResource) -> str:
    """The path of a route as the table has it."""
    return _PATTERN.sub(r"{\1}", resource.canonical)


def _refused(refusal: Refusal, path: str) -> web.Response:
    if path.startswith("/v3/"):
        code = Code.PERMISSION_DENIED if refusal.known else Code.UNAUTHENTICATED
        return error_answer(EtcdError(code, refusal.message))
    if refusal.known:
        return Problem(403, "permission-denied", refusal.message).answer()
    return Problem(401, "unauthenticated", refusal.message, headers={"WWW-Authenticate": "Bearer"}).answer()
