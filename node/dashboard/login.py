"""The page's login: a token in a form becomes a cookie that other sites cannot use, and logout takes it back. A user of
the cluster gives name and password, for which etcd's API has a token; at logout that token is nobody's any more.

Why it exists: a browser cannot be told to send a header. The cookie holds the token itself, so any node behind one
address knows it and nothing has to be remembered; no script can read it, no other site can have it sent, and it goes
when its time is over, when the token is taken out of the nodes' file, or at logout. Nothing here runs a script. It must
not decide who may do what.
"""

import logging
from urllib.parse import parse_qsl, quote

from aiohttp import web

from node.access.entrance import CREDENTIAL_CHARS_MAX, Access, is_basic
from node.access.table import READ
from node.api.answers import Problem, malformed, try_again
from node.api.entry import COOKIE, SECURE_COOKIE, credential_of, is_secure
from node.api.etcd.auth_calls import AuthCalls
from node.api.etcd.errors import Code, EtcdError
from node.api.inputs import short_body

FORM_BYTES_MAX = 4096
SESSION_SECONDS_MAX = 12 * 3600
"""A browser forgets the cookie then, and on its end in any case where it restores no sessions."""

FIELDS_MAX = 8

_LOG = logging.getLogger("node.dashboard")


class LoginApi:
    """Handlers. That an attempt failed is said by the fragment of the form's URL, which shows a sentence."""

    def __init__(self, access: Access, auth: AuthCalls | None = None) -> None:
        self._access, self._auth = access, auth

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [web.post("/login", self.login), web.post("/logout", self.logout)]

    async def login(self, request: web.Request) -> web.StreamResponse:
        """A form with `secret`, a token, and perhaps `user`, whose password it is then. Whatever comes of it is a page
        again: the one that was asked for, or the form."""
        _check_own(request)
        user, secret = await _fields(request)
        if not self._access.demands:
            return _back()
        token = await self._token(user, secret) if user else secret
        if not token or not await may_see(self._access, token):
            self._access.refuse(None, READ, "POST /login")
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
        """The browser forgets it, without a script or with one. A user's token ends, with whatever it had opened; one
        of the nodes' file is good until its line is taken out, for programs may have it too."""
        _check_own(request)
        await self._end(credential_of(request))
        answer = _back()
        for name in (COOKIE, SECURE_COOKIE):
            answer.del_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="Strict")
        return answer

    async def _end(self, credential: str | None) -> None:
        if self._auth is None or credential is None or not self._access.users_in_force:
            return
        try:
            await self._auth.log_out(credential)
        except EtcdError as error:
            _LOG.warning("a logout is known to this node and may not be to the others: %s", error.message)
        finally:
            self._access.look_at_users()

    async def _token(self, user: str, password: str) -> str:
        """For that password; empty: there is none."""
        if self._auth is None:
            return ""
        try:
            answer = await self._auth.authenticate({"name": user, "password": password}, 0)
            return str(answer.fields["token"])
        except EtcdError as error:
            if error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED):
                raise try_again("unavailable", "the cluster cannot judge a password now: try again") from None
            return ""


async def may_see(access: Access, credential: str | None) -> bool:
    """Whether who shows that is shown the page."""
    if access.look(credential, READ) is not None:
        return True
    users = access.users if access.users_in_force else None
    if users is None or not credential or len(credential) > CREDENTIAL_CHARS_MAX or is_basic(credential):
        return False
    user = await users.proved(credential)
    return user is not None and user.may(READ)


def _back(fragment: str = "") -> web.Response:
    return web.Response(status=303, headers={"Location": f"/{fragment}", "Cache-Control": "no-store"})


def _check_own(request: web.Request) -> None:
    """Whether a page of this very server sent it: the guard has compared `Origin`, and here it has to be there."""
    if "Origin" not in request.headers:
        raise Problem(403, "forbidden", "this is for the page of this node: programs send Authorization instead")


async def _fields(request: web.Request) -> tuple[str, str]:
    """User, empty where there is none, and secret."""
    body = await short_body(request, "form", FORM_BYTES_MAX)
    try:
        given = dict(parse_qsl(body.decode("ascii", "replace"), max_num_fields=FIELDS_MAX))
    except ValueError:
        raise malformed("form", "it has more fields than user and secret") from None
    user, secret = given.get("user", "").strip(), given.get("secret", "")
    return user, secret if user else secret.strip()  # a password may begin or end with a space, a token does not
