"""Host and Origin: any web page can post to loopback, so a foreign one must change nothing."""

import pytest

from node.api.guard import is_own_name
from tests.api.double import serving


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8001", "10.1.2.3:1", "[::1]", "[::1]:8001", "localhost", "LOCALHOST:80", "raft.example:9"],
)
def test_addresses_localhost_and_configured_names_are_own(host: str) -> None:
    assert is_own_name(host, {"raft.example"})


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1:", "127.0.0.1:99999", "127.1",
     "2130706433", "0x7f.0.0.1", "::1", "[::1", "[evil]", "[]", "localhost:80:80", "user@localhost", "localhost, x",
     "raft.example.", "x.raft.example", " localhost", "1" * 5000],
)  # fmt: skip
def test_every_other_name_is_foreign(host: str) -> None:
    assert not is_own_name(host, {"raft.example"})


PUT = b"PUT %s HTTP/1.%d\r\n%s\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"


@pytest.mark.parametrize(
    ("target", "minor", "headers"),
    [
        (b"/kv/k", 1, b"Host: evil.example"),
        (b"/kv/k", 1, b"Host: evil.example:8001"),
        (b"/kv/k", 0, b"X: no host at all"),
        (b"/kv/k", 1, b"X: no host at all"),
        (b"/kv/k", 1, b"Host:"),
        (b"/kv/k", 1, b"Host: localhost\r\nHost: localhost"),
        (b"/kv/k", 0, b"Host: localhost\r\nHost: evil.example"),
        (b"/kv/k", 1, b"Host: localhost\r\nOrigin: http://evil.example"),
        (b"/kv/k", 1, b"Host: localhost\r\nOrigin: null"),
        (b"/kv/k", 1, b"Host: localhost\r\nOrigin:"),
        (b"/kv/k", 1, b"Host: localhost:8001\r\nOrigin: http://localhost:8002"),
        (b"/kv/k", 1, b"Host: localhost\r\nOrigin: ftp://localhost"),
        (b"/kv/k", 1, b"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example"),
        (b"http://evil.example/kv/k", 1, b"Host: localhost"),
        (b"http://localhost/kv/k", 1, b"Host: evil.example"),
        (b"http://localhost/kv/k", 1, b"Host: 127.0.0.1"),
        (b"http://localhost@evil.example/kv/k", 1, b"Host: localhost"),
        (b"/kv/k", 1, b"Host: evil.example\r\nX-Forwarded-Host: localhost"),
    ],
)
async def test_a_foreign_request_is_403_and_changes_nothing(target: bytes, minor: int, headers: bytes) -> None:
    async with serving() as server:
        status, answer_headers, body = await server.raw(PUT % (target, minor, headers))
        assert status == 403
        assert answer_headers[b"content-type"] == b"application/json"
        assert b'"forbidden"' in body
        assert server.node.proposed == []


@pytest.mark.parametrize(
    ("target", "minor", "headers"),
    [
        (b"/kv/k", 1, b"Host: localhost"),
        (b"/kv/k", 0, b"Host: 127.0.0.1:1"),
        (b"/kv/k", 1, b"Host: raft.example:8001\r\nOrigin: https://Raft.example:8001"),
        (b"/kv/k", 1, b"Host: [::1]:8001\r\nOrigin: http://[::1]:8001"),
        (b"/kv/k", 1, b"Host: localhost:18001\r\nOrigin: http://localhost:18001"),  # kubectl port-forward, any port
        (b"/kv/k", 1, b"Host: 127.0.0.1:49152\r\nOrigin: http://127.0.0.1:49152"),
        (b"/kv/k", 1, b"Host: raft.example:8001"),  # another pod, by the Service's name
        (b"http://localhost/kv/k", 1, b"Host: localhost"),
        (b"HTTP://localhost:80/kv/k", 1, b"Host: localhost:80"),
    ],
)
async def test_own_requests_pass(target: bytes, minor: int, headers: bytes) -> None:
    async with serving() as server:
        status, _, _ = await server.raw(PUT % (target, minor, headers))
        assert status == 200
        assert server.node.store.get(b"k") is not None


@pytest.mark.parametrize("path", [b"/", b"/nothing", b"/status", b"/events", b"/metrics", b"/livez"])
async def test_the_rule_holds_for_every_path(path: bytes) -> None:
    async with serving() as server:
        status, _, body = await server.raw(b"GET " + path + b" HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert (status, b"forbidden" in body) == (403, True)


@pytest.mark.parametrize("target", [b"*", b"localhost:80", b"ftp://localhost/kv/k", b"kv/k"])
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"CONNECT"])
async def test_targets_of_other_forms_are_refused_in_json(method: bytes, target: bytes) -> None:
    async with serving() as server:
        status, headers, body = await server.raw(method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert 400 <= status < 500
        assert headers[b"content-type"] == b"application/json"
        assert b'"error"' in body
