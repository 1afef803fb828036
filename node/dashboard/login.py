"""The page's login: a token in a form becomes a cookie that other sites cannot use, and logout takes it back.

Why it exists: a browser cannot be told to send a header. The cookie holds the token itself, so any node behind one
address knows it and nothing has to be remembered; no script can read it, no other site can have it sent, and it goes
when its time is over, when the token is taken out of the nodes' file, or at logout. Nothing here runs a script. It must
not decide who may do what.
"""

from urllib.parse import quote, unquote_to_bytes

from aiohttp import web

from node.access.entrance import CREDENTIAL_CHARS_MAX, Access
from node.access.table import READ
from node.api.answers import Problem
from node.api.entry import COOKIE, SECURE_COOKIE, is_secure

FORM_BYTES_MAX = 4096
SESSION_SECONDS_MAX = 12 * 3600
"""A browser forgets the cookie then, and on its end in any case where it restores no sessions."""

_FIELD = b"token="


class LoginApi:
    """Handlers. That an attempt failed is said by the fragment of the form's URL, which shows a sentence."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [web.post("/login", self.login), web.post("/logout", self.logout)]

    async def login(self, request: web.Request) -> web.StreamResponse:
        """A form with `token`. Whatever comes of it is a page again: the one that was asked for, or the form."""
        _check_own(request)
        token = await _token(request)
        if not self._access.demands:
            return _back()
        principal = self._access.look(token, READ)
        if principal is None:
            self._access.refuse(token, READ, "POST /login")
            return _back("#refused")
        answer = _back()
        name = SECURE_COOKIE if is_secure(request) else COOKIE
        answer.set_cookie(
            name,
            quote(token, safe=""),
            max_age=SESSION_SECONDS_MAX,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="Strict",
        )
        return answer

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """The browser forgets it. Without a script, or with one."""
        _check_own(request)
        answer = _back()
        for name in (COOKIE, SECURE_COOKIE):
            answer.del_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="Strict")
        return answer


def _back(fragment: str = "") -> web.Response:
    return web.Response(status=303, headers={"Location": f"/{fragment}", "Cache-Control": "no-store"})


def _check_own(request: web.Request) -> None:
    """Whether a page of this very server sent it: the guard has compared `Origin`, and here it has to be there."""
    if "Origin" not in request.headers:
        raise Problem(403, "forbidden", "this is for the page of this node: programs send Authorization instead")


async def _token(request: web.Request) -> str:
    if (request.content_length or 0) > FORM_BYTES_MAX:
        raise Problem(413, "too-large", f"the form is at most {FORM_BYTES_MAX} bytes", field="form")
    body = await request.content.read(FORM_BYTES_MAX)
    field = next((part for part in body.split(b"&") if part.startswith(_FIELD)), _FIELD)
    found = unquote_to_bytes(field[len(_FIELD) :].replace(b"+", b" ")).decode("ascii", "replace").strip()
    return found[: CREDENTIAL_CHARS_MAX + 1]
