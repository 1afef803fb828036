"""The routes of the live page: files as they are, what the page is a page of, and reports of policy violations.

Why it exists: the page must load from any node, offline, in one round of requests, and be harmless where it stands: it
may run no script, load nothing and speak to nobody but this server. Files are read once, at the start, and answered
from memory. It must not know what the page shows; everything it shows comes over the API's own routes.
"""

import gzip
import hashlib
import logging
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

import msgspec
from aiohttp import web

from node.access.entrance import Access
from node.access.principals import CURRENT
from node.api.answers import Problem, json_answer
from node.api.entry import credential_of
from node.api.etcd.auth_calls import AuthCalls
from node.api.inputs import short_body
from node.api.operations import index
from node.dashboard.login import LoginApi, may_see

PAGE_GZIP_BYTES_MAX = 100_000
"""All that a browser loads to show the page, compressed; a test adds it up."""

CSP_REPORT_BYTES_MAX = 16_384
CSP_REPORTS_LOGGED_MAX = 10
"""A page with a mistake reports it again and again; the count goes on, the log does not."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "report-uri /csp-report",
    )
)

LOGIN_POLICY = POLICY.replace("form-action 'none'", "form-action 'self'").replace(
    "script-src 'self'", "script-src 'none'"
)

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": POLICY,
}
"""Headers of everything the page is made of; the cluster monitor puts them on all its answers."""

LOGIN_HEADERS = {
    "Content-Security-Policy": LOGIN_POLICY,
    "Referrer-Policy": "same-origin",
    "Vary": "Accept, Accept-Encoding, Cookie",
}
"""Of the login: it sends its form to this server, which names its `Origin`; without a referrer browsers name none."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_LOG = logging.getLogger("node.dashboard")


class _File:
    """One static file, ready to be answered."""

    def __init__(self, content: bytes, suffix: str) -> None:
        self.plain = content
        self.packed = gzip.compress(content, 9, mtime=0)
        self.etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        self.type = _TYPES[suffix]

    def answer(self, request: web.Request, more: Mapping[str, str]) -> web.Response:
        """200, or 304 where the browser has this very file already."""
        headers = {**SECURITY, "ETag": self.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", **more}
        if self.etag in (tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self.type
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=self.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=self.plain, headers=headers)

    def fresh(self, request: web.Request, more: Mapping[str, str]) -> web.Response:
        """200, and not to be kept."""
        found = self.answer(request, {})
        return web.Response(body=found.body, headers={**found.headers, **more, "Cache-Control": "no-store"})


def static_files() -> dict[str, _File]:
    """Every file of the page by its path below `static/`."""
    found: dict[str, _File] = {}

    def collect(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                collect(entry, f"{prefix}{entry.name}/")
            elif "." + entry.name.rpartition(".")[2] in _TYPES:
                found[prefix + entry.name] = _File(entry.read_bytes(), "." + entry.name.rpartition(".")[2])

    collect(resources.files("node.dashboard") / "static", "")
    return found


class Dashboard:
    """Handlers of the page. `source` is what `/source.json` says: whose page this is. `access`: who is shown the page,
    and who the login."""

    def __init__(self, source: Mapping[str, str], access: Access | None = None) -> None:
        self._source = dict(source)
        self._access = access or Access()
        self._files = static_files()
        self.csp_reports = 0
        """Violations of the policy that browsers reported."""

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [
            web.get("/", self.page),
            web.get("/static/{path:.*}", self.file),
            web.get("/source.json", self.source),
            web.get("/csp-report", self.reports),
            web.post("/csp-report", self.report),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page for browsers; what there is, as JSON, for programs."""
        if "text/html" not in request.headers.get("Accept", ""):
            answer = await index(request)
            answer.headers["Vary"] = "Accept"
            return answer
        if not await may_see(self._access, credential_of(request)):
            return self._files["login.html"].fresh(request, LOGIN_HEADERS)
        return self._files["index.html"].answer(request, {"Vary": "Accept, Accept-Encoding, Cookie"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A module, the style sheet or the icon."""
        found = self._files.get(request.match_info["path"])
        if found is None:
            raise Problem(404, "not-found", "the page has no such file")
        return found.answer(request, {})

    async def source(self, _request: web.Request) -> web.Response:
        """Whose page this is: `{"kind": "node", "name": ...}` or `{"kind": "monitor"}`; `who`: who is logged in."""
        who = CURRENT.get().name
        return json_answer(self._source | ({"who": who} if who else {}))

    async def reports(self, _request: web.Request) -> web.Response:
        """How many violations of the policy browsers reported."""
        return json_answer({"reports": self.csp_reports})

    async def report(self, request: web.Request) -> web.Response:
        """A browser reports a violation: counted, and the first ones logged."""
        self.csp_reports += 1
        body = await short_body(request, "report", CSP_REPORT_BYTES_MAX)
        if self.csp_reports <= CSP_REPORTS_LOGGED_MAX:
            _LOG.warning("the page broke its policy: %s", _gist(body))
        return web.Response(status=204)


def add_dashboard(
    app: web.Application, name: str = "", access: Access | None = None, auth: AuthCalls | None = None
) -> Dashboard:
    """Put the page on `app`, whose `/` must be free. `name`: the node that serves it; empty: the cluster monitor, which
    has no login. `access` None: everything is open. `auth` None: the cluster has no users."""
    dashboard = Dashboard({"kind": "node", "name": name} if name else {"kind": "monitor"}, access)
    app.router.add_routes(dashboard.routes())
    if name:
        app.router.add_routes(LoginApi(access or Access(), auth).routes())
    return dashboard


def _gist(body: bytes) -> str:
    """What was blocked, where it can be read; never more than a line."""
    try:
        report = msgspec.json.decode(body, type=dict[str, dict[str, str | int]])["csp-report"]
    except (msgspec.MsgspecError, KeyError, RecursionError):
        return "a report that cannot be read"
    directive, blocked = report.get("effective-directive", "?"), report.get("blocked-uri", "?")
    return ascii(f"{directive} blocked {blocked}")[:300]
