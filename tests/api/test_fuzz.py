"""Whatever comes in over a socket, the server answers cleanly and goes on."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote_from_bytes
from urllib.request import urlopen

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.api.double import serving

ANSWER_BYTES_MAX = 1 << 20

PATIENCE_SECONDS = 0.05
"""A server that has not answered after it waits for more of the request; were it merely slow, the answer is lost."""


@contextmanager
def server_in_a_thread() -> Iterator[int]:
    """The port of a server that runs on a loop of its own."""
    port, ready = 0, threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        nonlocal port
        async with serving() as server:
            port = server.port
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(10)
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def exchange(port: int, data: bytes) -> bytes:
    """Send and read until the server closes (or streams); where it waits for more, say that there is no more."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection, suppress(ConnectionError):
        connection.sendall(data)
        connection.settimeout(PATIENCE_SECONDS)
        while b"text/event-stream" not in answer and len(answer) < ANSWER_BYTES_MAX:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(10)
                continue
            if not piece:
                break
            answer += piece
    return answer


def check(answer: bytes, head_only: bool) -> int:
    """The first answer is clean; its status, 0 where the server just closed."""
    if not answer:
        return 0
    head, separator, body = answer.partition(b"\r\n\r\n")
    assert separator
    assert head.startswith(b"HTTP/1.")
    status = int(head.split(b" ", 2)[1])
    assert status != 500, answer
    assert b"Traceback" not in answer
    if status >= 400:
        assert b"application/json" in head, answer
        if not head_only:
            problem = msgspec.json.decode(body.split(b"\n", 1)[0])
            assert problem["error"]
            assert problem["message"]
    return status


def is_alive(port: int) -> bool:
    with urlopen(f"http://127.0.0.1:{port}/livez", timeout=10) as answer:
        return bool(answer.status == 200)


TOKENS = st.sampled_from(
    [b"GET", b"HEAD", b"PUT", b"DELETE", b"POST", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"get", b"PRI", b"X-Y"]
)
raw_text = st.binary(max_size=24).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b""))
escaped = st.binary(max_size=24).map(lambda b: quote_from_bytes(b, safe="").encode())
paths = st.one_of(
    st.builds(lambda rest: b"/kv/" + rest, st.one_of(escaped, raw_text)),
    st.sampled_from([b"/", b"//", b"/kv", b"/kv/", b"/status", b"/cluster", b"/log", b"/livez", b"/readyz",
                     b"/metrics", b"/events", b"*", b"http://localhost/kv/a", b"http:///kv/a", b"localhost:80"]),
    raw_text,
)  # fmt: skip
names = st.sampled_from(
    [b"consistency", b"revision", b"timeout_ms", b"prefix", b"from", b"limit", b"messages", b"x", b""]
)
values = st.one_of(st.sampled_from([b"1", b"0", b"-1", b"stale", b"9" * 25, b"%", b"\xff", b"1e3"]), escaped, raw_text)
queries = st.lists(st.builds(lambda n, v: n + b"=" + v, names, values), max_size=4).map(
    lambda q: b"?" + b"&".join(q) if q else b""
)
header_names = st.sampled_from(
    [b"If-Match", b"If-None-Match", b"Last-Event-ID", b"Origin", b"Host", b"Content-Length", b"Expect", b"Range",
     b"Transfer-Encoding", b"Content-Encoding", b"Content-Type", b"Connection", b"Upgrade", b"Cookie", b"X"]
)  # fmt: skip
header_values = st.one_of(
    st.sampled_from([b'"1"', b"*", b'W/"1"', b"localhost", b"chunked", b"gzip", b"100-continue", b"0", b"5", b"-1",
                     b"9" * 30, b"boot-1.1.1", b"http://localhost", b"websocket", b"upgrade", b"text/html"]),
    raw_text,
)  # fmt: skip
headers = st.lists(st.builds(lambda n, v: n + b": " + v, header_names, header_values), max_size=4)


@pytest.fixture
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("nothing_is_logged_as_an_error")
def test_no_request_crashes_the_server() -> None:
    statuses: set[int] = set()
    with server_in_a_thread() as port:

        @settings(max_examples=500, deadline=None)
        @given(TOKENS, paths, queries, st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]), headers,
               st.booleans(), st.binary(max_size=64))  # fmt: skip
        @example(b"GET", b"/status", b"", b"HTTP/1.1", [], True, b"")  # chance may send nothing that is answered by 200
        def send(
            method: bytes,
            path: bytes,
            query: bytes,
            version: bytes,
            extra: list[bytes],
            sane: bool,
            body: bytes,
        ) -> None:
            lines = list(extra)
            if sane:
                lines += [b"Host: localhost", b"Content-Length: %d" % len(body), b"Connection: close"]
            data = b"\r\n".join([b" ".join([method, path + query, version]), *lines, b"", body])
            statuses.add(check(exchange(port, data), method == b"HEAD"))

        send()
        assert is_alive(port)
    assert {200, 400, 403} <= statuses, "what was sent was hardly understood, so it proves little"


@pytest.mark.usefixtures("nothing_is_logged_as_an_error")
def test_no_bytes_crash_the_server() -> None:
    with server_in_a_thread() as port:

        @settings(max_examples=150, deadline=None)
        @given(st.one_of(st.binary(max_size=200), st.binary(max_size=20).map(lambda b: b"PUT /kv/" + b * 4000)))
        def send(data: bytes) -> None:
            check(exchange(port, data), False)

        send()
        for data in (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000):
            assert check(exchange(port, data), False) in (0, 400, 414)
        assert is_alive(port)
