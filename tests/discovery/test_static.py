"""Names become addresses anew on every call, on a thread that holds nobody else up."""

import asyncio
import threading

import pytest

from node.discovery.lookup import LOOKUPS_MAX, THREADS_MAX, Lookup, getaddrinfo_addresses
from node.discovery.port import Discovery, ResolutionError
from node.discovery.static import StaticDiscovery


class Dns:
    """A blocking resolver whose answers tests change and hold back."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        self.gate.wait(10)
        if host not in self.answers:
            raise OSError("no such name")
        return self.answers[host]


async def test_an_ip_literal_needs_no_lookup_and_no_thread() -> None:
    dns = Dns()
    discovery: Discovery = StaticDiscovery({"b": ("127.0.0.1", 1), "a": ("::1", 2)}, Lookup(dns))
    assert discovery.names() == ("a", "b")
    assert await discovery.resolve("a") == [("::1", 2)]
    assert await discovery.resolve("b") == [("127.0.0.1", 1)]
    assert dns.asked == []


async def test_a_name_that_moved_is_found_at_its_new_address() -> None:
    dns = Dns()
    discovery = StaticDiscovery({"a": ("a.example", 7)}, Lookup(dns))
    dns.answers["a.example"] = ["10.0.0.1"]
    assert await discovery.resolve("a") == [("10.0.0.1", 7)]
    dns.answers["a.example"] = ["10.0.0.2", "10.0.0.3"]
    assert await discovery.resolve("a") == [("10.0.0.2", 7), ("10.0.0.3", 7)]
    assert dns.threads == {"name look-ups"}
    await discovery.close()


async def test_failures_are_one_typed_error_that_is_an_oserror() -> None:
    dns = Dns()
    discovery = StaticDiscovery({"a": ("gone.example", 7), "b": ("empty.example", 7)}, Lookup(dns))
    dns.answers["empty.example"] = []
    with pytest.raises(ResolutionError, match=r"gone\.example cannot be looked up: no such name"):
        await discovery.resolve("a")
    with pytest.raises(OSError, match=r"empty\.example has no address"):
        await discovery.resolve("b")
    with pytest.raises(ResolutionError, match=r"x is not in the list of nodes \(a, b\)"):
        await discovery.resolve("x")
    await discovery.close()


async def test_a_name_that_cannot_be_a_name_is_a_typed_error_too() -> None:
    discovery = StaticDiscovery({"a": ("a" * 70 + ".example", 7)})
    with pytest.raises(ResolutionError, match="cannot be looked up"):
        await discovery.resolve("a")
    await discovery.close()


async def test_a_hanging_lookup_is_shared_and_holds_up_neither_the_loop_nor_its_end() -> None:
    dns = Dns()
    dns.answers["a.example"] = ["10.0.0.1"]
    lookup = Lookup(dns)
    dns.gate.clear()
    first = asyncio.create_task(lookup.addresses("a.example"))
    second = asyncio.create_task(lookup.addresses("a.example"))
    await asyncio.sleep(0.01)
    first.cancel()
    dns.gate.set()
    assert await second == ["10.0.0.1"]
    assert dns.asked == ["a.example"]
    dns.gate.clear()
    third = asyncio.create_task(lookup.addresses("a.example"))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(lookup.close())
    with pytest.raises(ResolutionError, match="given up"):
        await third
    dns.gate.set()
    await closing


async def test_threads_and_hosts_that_wait_are_bounded_and_each_is_served_in_its_turn() -> None:
    dns = Dns()
    hosts = [f"n{number}.example" for number in range(LOOKUPS_MAX)]
    dns.answers = {host: ["10.0.0.1"] for host in hosts}
    dns.gate.clear()
    lookup = Lookup(dns)
    asked = [asyncio.create_task(lookup.addresses(host)) for host in hosts]
    await asyncio.sleep(0)  # each begins
    one_more = asyncio.create_task(lookup.addresses("one.more"))
    asked.append(asyncio.create_task(lookup.addresses(hosts[-1])))
    await asyncio.sleep(0)
    threads = [thread.name for thread in threading.enumerate()].count("name look-ups")
    dns.gate.set()
    found = await asyncio.gather(*asked)
    (refused,) = await asyncio.gather(one_more, return_exceptions=True)
    await lookup.close()
    assert threads == THREADS_MAX
    assert f"one.more was not looked up: {LOOKUPS_MAX} look-ups wait already" in str(refused)
    assert found == [["10.0.0.1"]] * (LOOKUPS_MAX + 1)
    assert sorted(dns.asked) == sorted(hosts), "who asks for a host that waits already shares its answer"


async def test_one_round_of_looking_all_names_up_at_a_time() -> None:
    dns = Dns()
    dns.answers["a.example"] = ["10.0.0.1"]
    dns.gate.clear()
    discovery = StaticDiscovery({"a": ("a.example", 1), "b": ("b.example", 2)}, Lookup(dns))
    for _ in range(3):
        discovery.look_up_all()
        await asyncio.sleep(0)
    rounds = [task for task in asyncio.all_tasks() if task.get_name() == "look up all names"]
    assert len(rounds) == 1
    dns.gate.set()
    await asyncio.wait(rounds)
    assert sorted(dns.asked) == ["a.example", "b.example"]
    assert discovery.seen()["a"].addresses == ("10.0.0.1",)
    assert "no such name" in discovery.seen()["b"].error
    discovery.look_up_all()
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "look up all names"])
    assert len(dns.asked) == 4, "what was found is asked anew"
    await discovery.close()


async def test_the_systems_own_resolver_knows_localhost() -> None:
    assert "127.0.0.1" in getaddrinfo_addresses("localhost")
    discovery = StaticDiscovery({"a": ("localhost", 5)})
    assert ("127.0.0.1", 5) in await discovery.resolve("a")
    await discovery.close()


async def test_another_list_counts_from_then_on_and_keeps_what_was_seen_of_those_that_did_not_move() -> None:
    dns = Dns()
    dns.answers |= {"a.example": ["10.0.0.1"], "b.example": ["10.0.0.2"], "elsewhere.example": ["10.0.0.3"]}
    discovery = StaticDiscovery({"a": ("a.example", 1), "b": ("b.example", 2)}, Lookup(dns))
    await discovery.resolve("a")
    await discovery.resolve("b")
    discovery.set_peers({"a": ("a.example", 1), "b": ("elsewhere.example", 2), "c": ("127.0.0.1", 3)})
    assert discovery.names() == ("a", "b", "c")
    assert discovery.seen()["a"].addresses == ("10.0.0.1",)
    assert (discovery.seen()["b"].host, discovery.seen()["b"].at_s) == ("elsewhere.example", None)
    assert await discovery.resolve("b") == [("10.0.0.3", 2)]
    assert await discovery.resolve("c") == [("127.0.0.1", 3)]
    discovery.set_peers({"a": ("a.example", 1)})
    assert set(discovery.seen()) == {"a"}
    with pytest.raises(ResolutionError, match=r"b is not in the list of nodes \(a\)"):
        await discovery.resolve("b")
    await discovery.close()


async def test_what_is_found_of_a_node_that_left_the_list_meanwhile_is_not_shown() -> None:
    dns = Dns()
    dns.answers["a.example"] = ["10.0.0.1"]
    dns.gate.clear()
    discovery = StaticDiscovery({"a": ("a.example", 1)}, Lookup(dns))
    resolving = asyncio.create_task(discovery.resolve("a"))
    await asyncio.sleep(0)
    discovery.set_peers({})
    dns.gate.set()
    assert await resolving == [("10.0.0.1", 1)]
    assert discovery.seen() == {}
    await discovery.close()


async def test_a_thread_that_cannot_be_had_is_no_address_now_and_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    asked: list[str] = []

    def blocking(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    lookup = Lookup(blocking)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        for _ in range(3):
            with pytest.raises(ResolutionError, match="was not looked up: can't start new thread"):
                await lookup.addresses("n1")
    assert await lookup.addresses("n2") == ["127.0.0.1"]
    await lookup.close()
    assert asked == ["n2"], "what was given up does not wait for a thread"
