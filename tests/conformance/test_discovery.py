"""A list, DNS and a registry keep the promises of the discovery port: on a real DNS server, a real HTTP server."""

import inspect
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.discovery.asking import RegistryClient
from node.discovery.registered import RegistryDiscovery
from node.discovery.static import StaticDiscovery
from node.discovery.words import Registration
from node.registry.book import Book
from node.registry.server import RegistryServer
from tests.conformance.discovery_suite import DiscoverySuite
from tests.discovery.dns import SEARCH, Dns, play

PORT = 7001


class StaticHarness:
    """A list without addresses, until somebody writes one in."""

    def __init__(self) -> None:
        self._list = {"a": ("", 0), "b": ("", 0)}
        self.discovery = StaticDiscovery(self._list)

    async def place(self, name: str, address: str) -> int:
        self._list[name] = (address, PORT)
        self.discovery.set_peers(self._list)
        return PORT

    async def take_away(self, name: str) -> None:
        self._list[name] = ("", 0)
        self.discovery.set_peers(self._list)


class DnsHarness:
    """The names of a headless Service in a zone of its own."""

    def __init__(self, dns: Dns) -> None:
        dns.zone.clear()
        self._dns = dns
        self.discovery = StaticDiscovery({name: (f"{name}.headless", PORT) for name in "ab"})

    async def place(self, name: str, address: str) -> int:
        self._dns.zone[f"{name}.headless.{SEARCH[0]}"] = [address]
        return PORT

    async def take_away(self, name: str) -> None:
        del self._dns.zone[f"{name}.headless.{SEARCH[0]}"]


class RegistryHarness:
    """A registry on a port, to which nodes come over HTTP. Each place is a new process, at a port of its own."""

    def __init__(self, server: RegistryServer) -> None:
        self.registry = RegistryClient(f"http://127.0.0.1:{server.port}")
        self.discovery = RegistryDiscovery(
            StaticDiscovery({"a": ("", 0), "b": ("", 0)}), self.registry, lambda _name: ""
        )
        self._boots: dict[str, int] = {}
        self._count = 0

    async def place(self, name: str, address: str) -> int:
        if name in self._boots:
            await self.take_away(name)
        self._count += 1
        self._boots[name] = self._count
        port = PORT + self._count
        said = Registration(name=name, boot=str(self._count), incarnation="disk", host=address, port=port)
        await self.registry.register(said)
        return port

    async def take_away(self, name: str) -> None:
        await self.registry.withdraw(name, str(self._boots.pop(name)))


class TestStatic(DiscoverySuite):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[StaticHarness]:
        harness = StaticHarness()
        yield harness
        await harness.discovery.close()


class TestRegistry(DiscoverySuite):
    @pytest.fixture
    async def harness(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RegistryHarness]:
        monkeypatch.setattr("node.discovery.asking.LOOK_UP_S_MAX", 10.0)  # fifty at once, on a machine without time
        server = RegistryServer(Book())
        await server.open("127.0.0.1", 0)
        harness = RegistryHarness(server)
        yield harness
        await harness.discovery.close()
        await harness.registry.close()
        await server.close()


async def all_on_dns(dns: Dns, _folder: Path) -> dict[str, str]:
    """Runs inside: what each test of the suite ended with; empty: well."""
    ended = {}
    for name, test in inspect.getmembers(DiscoverySuite, inspect.isfunction):
        if not name.startswith("test_"):
            continue
        harness = DnsHarness(dns)
        try:
            await test(DiscoverySuite(), harness)
            ended[name] = ""
        except BaseException:
            ended[name] = traceback.format_exc()
        await harness.discovery.close()
    return ended


def test_dns(tmp_path: Path) -> None:
    ended = play("tests.conformance.test_discovery:all_on_dns", tmp_path)
    assert len(ended) >= 8
    assert {name: how for name, how in ended.items() if how} == {}
