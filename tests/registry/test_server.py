"""The registry over HTTP: what it takes, refuses and shows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from chaos.listeners import listen_no_more
from node.discovery.asking import LOOK_UP_S_MAX, RegistryClient
from node.discovery.port import ResolutionError
from node.discovery.registered import RegistryDiscovery
from node.discovery.static import StaticDiscovery
from node.discovery.words import ANSWER_BYTES_MAX, REGISTRATION_BYTES_MAX, Listed, Registration
from node.registry.book import Book
from node.registry.page import page
from node.registry.server import RegistryServer
from node.transport.settings import LinkSettings

NESTED = b'{"x":' + b"[" * 3000
"""What no decoder follows to its end; it would be ignored."""


def said(name: str = "n1", boot: str = "p1", **more: Any) -> Registration:
    usual: dict[str, Any] = {"incarnation": "disk-1", "host": "127.0.0.1", "port": 9001}
    return Registration(name=name, boot=boot, **(usual | more))


@pytest.fixture
async def server() -> AsyncIterator[RegistryServer]:
    server = RegistryServer(Book(nodes_max=3))
    await server.open("127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
async def client(server: RegistryServer) -> AsyncIterator[RegistryClient]:
    client = RegistryClient(f"http://127.0.0.1:{server.port}")
    yield client
    await client.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def put(http: aiohttp.ClientSession, url: str, body: bytes, name: str = "n1", **headers: str) -> tuple[int, Any]:
    async with http.put(f"{url}/nodes/{name}", data=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_what_is_no_registration_is_refused_with_a_sentence(
    client: RegistryClient, http: aiohttp.ClientSession
) -> None:
    good = msgspec.to_builtins(said())
    for wrong in (
        b"",
        b"\xff",
        b"[]",
        NESTED,
        msgspec.json.encode(good | {"port": 65536}),
        msgspec.json.encode(good | {"name": "../n1"}),
        msgspec.json.encode(good | {"ttl_ms": 86_400_000}),
        msgspec.json.encode(good | {"url": "javascript:alert(1)"}),
        msgspec.json.encode(good | {"boot": ""}),
        msgspec.json.encode(good | {"name": "n2"}),
    ):
        status, body = await put(http, client.url, wrong)
        assert (status, body["error"]) == (400, "malformed"), (wrong, body)
    status, body = await put(http, client.url, b" " * (REGISTRATION_BYTES_MAX + 1))
    assert status == 413
    assert (await client.find("n1")).registrations == ()


async def test_a_page_of_another_site_registers_nobody(client: RegistryClient, http: aiohttp.ClientSession) -> None:
    body = msgspec.json.encode(said())
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        status, _ = await put(http, client.url, body, "n1", **headers)
        assert status == 403
    assert (await client.find("n1")).registrations == ()


async def test_a_full_registry_says_so(client: RegistryClient) -> None:
    for number in range(3):
        await client.register(said(f"n{number}"))
    with pytest.raises(ResolutionError, match="refuses: 3 processes are registered already: no more fit in"):
        await client.register(said("n9"))
    await client.withdraw("n0", "p1")
    await client.register(said("n9"))


async def test_the_page_lists_nodes_and_who_leads(client: RegistryClient, http: aiohttp.ClientSession) -> None:
    await client.register(said("n1", role="leader", leader="n1", term=4, cluster="c1", url="http://127.0.0.1:8001"))
    await client.register(said("n2", role="follower", leader="n1", term=4, cluster="c1"))
    await client.register(said("n2", boot="p2", incarnation="disk-2", cluster="c1"))
    async with http.get(client.url, headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
        assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "cluster c1: 3 registered, <b>n1</b> leads in term 4." in text
    assert '<a href="http://127.0.0.1:8001"' in text
    assert text.count("2 processes of this name") == 2
    async with http.get(client.url) as answer:
        assert "PUT /nodes/{name}" in (await answer.json())["routes"]


def test_the_page_escapes_whatever_stands_in_a_registration() -> None:
    """No text of such a form is let in; the page does not rely on that."""
    words = ("name", "role", "leader", "cluster", "host", "url", "incarnation")
    strange = msgspec.structs.replace(said(port=0), **dict.fromkeys(words, "<script>'\"&"))
    text = page((Listed(registration=strange, since_ms=0, age_ms=0),) * 2)
    assert text.count("&lt;script&gt;&#x27;&quot;&amp;") == 12, "six times a row, and in short twice more"
    assert "<script" not in text


async def test_of_two_processes_of_one_name_the_one_whose_disk_is_a_members_is_dialled_first(
    client: RegistryClient,
) -> None:
    disk = {"n1": ""}
    discovery = RegistryDiscovery(StaticDiscovery({"n1": ("", 0)}), client, lambda name: disk[name])
    await client.register(said(boot="p1", incarnation="disk-1", port=9001))
    await client.register(said(boot="p2", incarnation="disk-2", port=9002))
    assert await discovery.resolve("n1") == [("127.0.0.1", 9002), ("127.0.0.1", 9001)], "the newest, where nobody knows"
    disk["n1"] = "disk-1"
    assert await discovery.resolve("n1") == [("127.0.0.1", 9001), ("127.0.0.1", 9002)]
    answer = await client.register(said(boot="p1", incarnation="disk-1", port=9001))
    assert [rival.incarnation for rival in answer.rivals] == ["disk-2"]
    await discovery.close()


async def test_the_list_is_tried_beside_the_registry_whatever_that_says(client: RegistryClient) -> None:
    discovery = RegistryDiscovery(StaticDiscovery({"n1": ("127.0.0.9", 1)}), client, lambda _name: "")
    assert await discovery.resolve("n1") == [("127.0.0.9", 1)], "an empty registry takes nothing away"
    await client.register(said())
    assert await discovery.resolve("n1") == [("127.0.0.1", 9001), ("127.0.0.9", 1)]
    await discovery.close()


async def test_a_registry_that_is_gone_leaves_its_last_word_and_costs_nothing(
    server: RegistryServer, client: RegistryClient
) -> None:
    discovery = RegistryDiscovery(StaticDiscovery({"n1": ("", 0), "n2": ("", 0)}), client, lambda _name: "")
    await client.register(said())
    await discovery.resolve("n1")
    await server.close()
    assert await discovery.resolve("n1") == [("127.0.0.1", 9001)]
    assert "cannot be asked" in discovery.seen()["n1"].error
    with pytest.raises(ResolutionError, match=r"cannot be asked: .*; the list of nodes has no address of n2"):
        await discovery.resolve("n2")
    await discovery.close()


@asynccontextmanager
async def served_badly(answer: Callable[[asyncio.StreamWriter], Any]) -> AsyncIterator[RegistryClient]:
    served: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        answer(writer)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = RegistryClient(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield client
    finally:
        await client.close()
        await listen_no_more(listening)
        await asyncio.gather(*(task for task in served if task is not None), return_exceptions=True)


SILENT_S = 1.0


async def test_a_registry_that_is_silent_is_waited_for_once_and_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LinkSettings().dial_timeout_s > LOOK_UP_S_MAX
    monkeypatch.setattr("node.discovery.asking.LOOK_UP_S_MAX", SILENT_S)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with served_badly(lambda _writer: None) as client:
        with pytest.raises(ResolutionError, match=f"did not answer within {SILENT_S} s"):
            await client.find("n1")
        assert loop.time() - began >= SILENT_S * 0.9
        began = loop.time()
        with pytest.raises(ResolutionError, match=f"did not answer within {SILENT_S} s"):
            await client.find("n2")
        assert loop.time() - began < SILENT_S / 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "is no registry"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (ANSWER_BYTES_MAX + 10), "answers more than"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "refuses: status 302"),
        (b"nonsense\r\n\r\n", "cannot be asked"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(NESTED), NESTED), "is no registry"),
        (b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b" % (len(NESTED), NESTED), "refuses: status 500"),
    ],
)
async def test_what_is_no_registry_is_told_apart(answer: bytes, why: str) -> None:
    async with served_badly(lambda writer: writer.write(answer)) as client:
        with pytest.raises(ResolutionError, match=why):
            await client.find("n1")
