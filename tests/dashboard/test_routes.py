"""The page is small, cached, harmless where it stands, and in every wheel."""

import gzip
import re
import tomllib
from pathlib import Path

import pytest
from yarl import URL

from node.dashboard import routes
from node.dashboard.routes import CSP_REPORT_BYTES_MAX, PAGE_GZIP_BYTES_MAX, static_files
from tests.dashboard.serving import page_server

STATIC = Path(routes.__file__).parent / "static"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "gzip, br"}


async def test_a_browser_gets_the_page_and_a_program_the_list_of_routes() -> None:
    async with page_server() as server:
        async with server.http.get("/", headers=BROWSER) as page:
            assert (page.status, page.content_type) == (200, "text/html")
            assert b"<title>" in gzip.decompress(await page.read())
            assert "Accept" in page.headers["Vary"]
        async with server.http.get("/", headers={"Accept": "*/*"}) as listing:
            assert "GET /status" in (await listing.json())["routes"]
            assert "Accept" in listing.headers["Vary"]


async def test_every_file_of_the_page_is_served_under_the_strict_policy() -> None:
    async with page_server() as server:
        for path in ["/", *(f"/static/{name}" for name in static_files())]:
            async with server.http.get(path, headers=BROWSER) as answer:
                assert answer.status == 200, path
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "script-src 'self'" in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    async with page_server() as server:
        async with server.http.get("/static/app.js", headers=BROWSER) as first:
            etag = first.headers["ETag"]
            assert first.headers["Cache-Control"] == "no-cache"
            assert first.headers["Content-Encoding"] == "gzip"
        for known in (etag, f'"other", W/{etag}'):
            async with server.http.get("/static/app.js", headers={**BROWSER, "If-None-Match": known}) as again:
                assert (again.status, await again.read()) == (304, b"")
        async with server.http.get(
            "/static/app.js", headers={"If-None-Match": '"older"', "Accept-Encoding": ""}
        ) as plain:
            assert (plain.status, await plain.read()) == (200, (STATIC / "app.js").read_bytes())


@pytest.mark.parametrize("path", ["/static/", "/static/none.js", "/static/../routes.py", "/static/%2e%2e/routes.py"])
async def test_nothing_beside_the_page_is_served(path: str) -> None:
    def address(port: int) -> URL:
        return URL(f"http://127.0.0.1:{port}{path}", encoded=True)

    async with page_server() as server, server.http.get(address(server.port)) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"] == "not-found"


async def test_the_page_knows_whose_it_is() -> None:
    async with page_server() as server, server.http.get("/source.json") as answer:
        assert await answer.json() == {"kind": "node", "name": "n1"}


async def test_reports_of_violations_are_counted_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async with page_server() as server:
        good = b'{"csp-report":{"effective-directive":"script-src","blocked-uri":"inline\\nx","status-code":200}}'
        for body in (good, b"nonsense", b'{"csp-report":[]}'):
            async with server.http.post("/csp-report", data=body) as answer:
                assert answer.status == 204
        async with server.http.post("/csp-report", data=b"x" * (CSP_REPORT_BYTES_MAX + 1)) as answer:
            assert answer.status == 413
        async with server.http.get("/csp-report") as answer:
            assert await answer.json() == {"reports": 4}
        logged = [record.getMessage() for record in caplog.records if record.name == "node.dashboard"]
        assert logged[0] == r"the page broke its policy: 'script-src blocked inline\nx'"
        for _ in range(20):
            await server.http.post("/csp-report", data=good)
        logged = [record.getMessage() for record in caplog.records if record.name == "node.dashboard"]
        assert len(logged) <= routes.CSP_REPORTS_LOGGED_MAX


def test_the_whole_page_is_at_most_100_kilobytes_compressed() -> None:
    sizes = {name: len(file.packed) for name, file in static_files().items()}
    print(f"{sum(sizes.values())} bytes in {len(sizes)} files")
    assert len(sizes) > 10
    assert sum(sizes.values()) <= PAGE_GZIP_BYTES_MAX


def test_the_page_names_no_other_host_and_holds_no_inline_code() -> None:
    for name, file in static_files().items():
        text = file.plain.decode()
        addresses = set(re.findall(r"https?://[\w./]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, (name, addresses)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), name
    for name in ("index.html", "login.html"):
        page = static_files()[name].plain.decode()
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)


def test_every_module_that_is_imported_exists_and_every_one_that_exists_is_used() -> None:
    files = static_files()
    used = {"index.html", "login.html"}
    for name, file in files.items():
        text = file.plain.decode()
        folder = Path(name).parent
        found = re.findall(r'from "(\.[^"]+)"', text)
        used |= {str((STATIC / folder / one).resolve().relative_to(STATIC.resolve())) for one in found}
        if name.endswith(".html"):
            used |= set(re.findall(r'"/static/([^"]+)"', text))
    assert used == set(files)


def test_the_files_of_the_page_are_package_data() -> None:
    package = STATIC.parents[1]
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["node"]
    packed = {path.resolve() for pattern in patterns for path in package.glob(pattern)}
    for name in static_files():
        assert (STATIC / name).resolve() in packed, name
