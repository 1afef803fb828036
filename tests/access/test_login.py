"""The page's login: a form for who is unknown, a cookie that other sites cannot use, and the way out."""

import re
from http.cookies import SimpleCookie

import aiohttp
import grpc.aio
import pytest

from node.runtime.ports import NotProposed
from tests.access.double import Served, served
from tests.access.test_standing import to_the_end, with_users

BROWSER = {"Accept": "text/html"}


async def posted(node: Served, path: str, token: str | None, **headers: str) -> tuple[int, str, SimpleCookie]:
    """Status, where to go on, and cookies, of a form that this very page sent."""
    given = {"Origin": node.url, "Content-Type": "application/x-www-form-urlencoded", **headers}
    body = None if token is None else f"secret={token}".encode()
    async with (
        aiohttp.ClientSession(node.url, cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.post(path, data=body, headers=given, allow_redirects=False) as answer,
    ):
        return answer.status, answer.headers.get("Location", ""), answer.cookies


async def asked(
    node: Served, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, aiohttp.ClientResponse]:
    """Status, body and the answer."""
    async with (
        aiohttp.ClientSession(node.url, cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.request(method, path, headers=headers) as answer,
    ):
        return answer.status, await answer.text(), answer


async def test_who_is_unknown_is_shown_the_form_and_nothing_of_the_cluster() -> None:
    async with served() as node:
        status, body, answer = await asked(node, "/", **BROWSER)
        assert (status, 'action="/login"' in body, "<script" in body) == (200, True, False)
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"]
        assert ("form-action 'self'" in policy, "script-src 'none'" in policy) == (True, True)
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Referrer-Policy"] == "same-origin"  # else a browser sends its form with Origin: null
        assert "raft_session" not in answer.headers.get("Set-Cookie", "")


async def test_a_token_becomes_a_cookie_that_no_script_and_no_other_site_has() -> None:
    async with served() as node:
        status, where, cookies = await posted(node, "/login", "write-token")
        assert (status, where) == (303, "/")
        cookie = cookies["raft_session"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert 0 < int(cookie["max-age"]) <= 43_200
        assert not cookie["domain"]
        held = {"Cookie": f"raft_session={cookie.value}"}
        status, body, _ = await asked(node, "/", **BROWSER, **held)
        assert (status, 'src="/static/app.js"' in body) == (200, True)
        assert (await asked(node, "/status", **held))[0] == 200
        assert '"who":"a-write"' in (await asked(node, "/source.json", **held))[1]
        assert (await asked(node, "/kv/a", "PUT", Origin=node.url, **held))[0] == 200
        assert (await asked(node, "/commands/recover", "POST", Origin=node.url, **held))[0] == 403


@pytest.mark.parametrize("token", ["wrong", "", "x" * 2000, "%00", "%zz", "read-token%0d%0aSet-Cookie:a=b"])
async def test_a_wrong_token_leads_back_to_the_form_and_sets_nothing(token: str) -> None:
    async with served() as node:
        status, where, cookies = await posted(node, "/login", token)
        assert (status, where, len(cookies)) == (303, "/#refused", 0)
        _, form, _ = await asked(node, "/", **BROWSER)
        assert 'id="refused"' in form


async def test_a_form_that_is_too_long_is_refused() -> None:
    async with served() as node:
        assert (await posted(node, "/login", "x" * 5000))[0] == 413


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", None])
async def test_other_sites_can_log_nobody_in_or_out(path: str, origin: str | None) -> None:
    async with served() as node:
        headers = {} if origin is None else {"Origin": origin}
        async with (
            aiohttp.ClientSession(node.url) as http,
            http.post(path, data=b"secret=read-token", headers=headers, allow_redirects=False) as answer,
        ):
            assert answer.status == 403
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {}),
        ("DELETE", {}),
        ("POST", {}),
        ("GET", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Sec-Fetch-Site": "same-site"}),
        ("PUT", {"Sec-Fetch-Site": "same-site", "Origin": "own"}),
    ],
)
async def test_a_cookie_counts_for_this_very_page_alone(method: str, headers: dict[str, str]) -> None:
    """A page at another port of this machine is of the same site, so that its requests bring the cookie."""
    path = {"POST": "/sessions"}.get(method, "/kv/a")
    async with served() as node:
        given = {name: node.url if value == "own" else value for name, value in headers.items()}
        status, _, _ = await asked(node, path, method, Cookie="raft_session=write-token", **given)
        assert status == 401
        assert node.node.proposed == []
        allowed = {**given, "Sec-Fetch-Site": "same-origin", "Origin": node.url}
        assert (await asked(node, path, method, Cookie="raft_session=write-token", **allowed))[0] in (200, 404)


async def test_logout_takes_the_cookie_back() -> None:
    async with served() as node:
        status, where, cookies = await posted(node, "/logout", None)
        assert (status, where) == (303, "/")
        assert cookies["raft_session"].value == ""
        assert cookies["raft_session"]["max-age"] == "0"


async def test_logout_ends_what_a_user_logged_in_with_and_what_that_opened_and_nothing_else() -> None:
    async with (
        served() as node,
        aiohttp.ClientSession(node.url, cookie_jar=aiohttp.DummyCookieJar()) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel,
    ):
        shown = (await with_users(node))["root"]
        other = str((await node.auth.authenticate({"name": "root", "password": "rootpw"}, 0)).fields["token"])
        mine, theirs, file = ({"Cookie": f"raft_session={token}"} for token in (shown, other, "read-token"))
        events = [await http.get("/events", headers=held) for held in (mine, theirs, file)]
        for answer in events:
            await answer.content.readany()
        watches = []
        for token in (shown, other):
            call = channel.stream_stream("/etcdserverpb.Watch/Watch")(metadata=(("token", token),), timeout=20)
            await call.write(bytes.fromhex("0a030a0161"))  # WatchCreateRequest of the key "a"
            assert await call.read()
            watches.append(call)
        entries = len(node.node.proposed)

        assert (await posted(node, "/logout", None, **mine))[:2] == (303, "/")

        assert len(node.node.proposed) == entries + 1
        for path in ("/status", "/kv/a"):
            assert (path, (await asked(node, path, Authorization=f"Bearer {shown}"))[0]) == (path, 401)
            assert (await asked(node, path, **theirs))[0] in (200, 404)
        range_of_a = b'{"key":"YQ=="}'
        for token, status in ((shown, 401), (other, 200)):
            async with http.post("/v3/kv/range", data=range_of_a, headers={"Authorization": token}) as answer:
                assert answer.status == status
        with pytest.raises(aiohttp.ClientError):
            await to_the_end(events[0])
        with pytest.raises(grpc.aio.AioRpcError, match="etcdserver: invalid auth token"):
            await watches[0].read()
        assert [answer.content.exception() for answer in events[1:]] == [None, None]
        assert not watches[1].done()
        watches[1].cancel()
        assert 'action="/login"' in (await asked(node, "/", **BROWSER, **mine))[1]

        assert (await posted(node, "/logout", None, **file))[:2] == (303, "/")
        assert (await asked(node, "/status", **file))[0] == 200, "a program may have that token, too"
        assert len(node.node.proposed) == entries + 1
        for answer in events:
            answer.close()


async def test_a_logout_of_which_the_cluster_does_not_hear_ends_the_token_here_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as node:
        held = {"Cookie": f"raft_session={(await with_users(node))['root']}"}
        node.node.outcome = NotProposed("no-leader", "there is no leader")
        status, _, cookies = await posted(node, "/logout", None, **held)
        assert (status, cookies["raft_session"].value) == (303, "")
        assert (await asked(node, "/status", **held))[0] == 401
        assert "known to this node and may not be to the others" in caplog.text


async def test_a_cookie_of_a_token_that_is_gone_leads_to_the_form() -> None:
    async with served() as node:
        node.source.principals.clear()
        node.source.version += 1
        held = {"Cookie": "raft_session=read-token"}
        assert (await asked(node, "/status", **held))[0] == 401
        assert 'action="/login"' in (await asked(node, "/", **BROWSER, **held))[1]


async def test_a_header_goes_before_the_cookie() -> None:
    async with served() as node:
        held = {"Cookie": "raft_session=write-token", "Authorization": "Bearer read-token", "Origin": node.url}
        assert (await asked(node, "/kv/a", "PUT", **held))[0] == 403


async def test_where_nobody_is_asked_there_is_the_page_and_no_way_out() -> None:
    async with served() as node:
        node.source.demands = False
        assert 'src="/static/app.js"' in (await asked(node, "/", **BROWSER))[1]
        assert re.fullmatch(r'\{"kind":"node","name":"n1"\}\n', (await asked(node, "/source.json"))[1])
        assert await posted(node, "/login", "wrong") == (303, "/", {})
