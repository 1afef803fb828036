"""Names of a headless Service, resolved by the C library against a real DNS server, as in a pod."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.discovery.port import ResolutionError
from node.discovery.static import StaticDiscovery
from node.raft.messages import Lane
from node.transport.settings import LinkSettings
from node.transport.websocket import WebSocketCarrier
from tests.discovery.dns import Dns, play

HOST = "raft-1.raft-headless.ns.svc"
FULL = f"{HOST}.cluster.local"
LINKS = LinkSettings()
REDIAL_SECONDS_MAX = LINKS.redial_max_s + 2 * LINKS.dial_timeout_s
"""A link that is down follows a name: the longest pause, and a dial that was under way to the old address."""
FOLLOW_SECONDS_MAX = LINKS.pong_timeout_s + 2 * LINKS.ping_interval_s + REDIAL_SECONDS_MAX
"""A link that is up follows a name whose old address fell silent."""


# --- what runs inside: real resolver, real DNS ----------------------------------------------------------------------


async def _ask(discovery: StaticDiscovery, name: str) -> list[str] | str:
    try:
        return [address for address, _ in await discovery.resolve(name)]
    except ResolutionError as error:
        return str(error)


async def late_and_moving(dns: Dns, _folder: Path) -> Any:
    discovery = StaticDiscovery({"raft-1": (HOST, 9001)})
    answers = [await _ask(discovery, "raft-1")]
    dns.zone[FULL] = ["127.0.0.2"]
    answers.append(await _ask(discovery, "raft-1"))
    dns.zone[FULL] = ["127.0.0.3"]
    answers.append(await _ask(discovery, "raft-1"))
    seen = discovery.seen()["raft-1"]
    del dns.zone[FULL]
    answers.append(await _ask(discovery, "raft-1"))
    gone = discovery.seen()["raft-1"]
    await discovery.close()
    return [answers, dns.asked[:4], [seen.host, *seen.addresses], [gone.addresses, gone.error]]


async def one_silent_name(dns: Dns, _folder: Path) -> Any:
    names = {f"n{number}": (f"n{number}.headless.ns.svc", 1) for number in range(4)}
    dns.zone = {f"{host}.cluster.local": ["127.0.0.9"] for host, _ in names.values()}
    dns.silent = ["n0."]
    discovery = StaticDiscovery(names)
    hanging = [asyncio.create_task(_ask(discovery, "n0")) for _ in range(2)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    found = [await _ask(discovery, name) for name in ("n1", "n2", "n3")]
    took_s = time.monotonic() - began
    still_hanging = not any(task.done() for task in hanging)
    asked = len([name for name in dns.asked if name.startswith("n0.")])
    await discovery.close()
    return [found, took_s, still_hanging, asked, [await task for task in hanging]]


class _Ears:
    """A receiver that hears who is there, and says hello, as nodes do: who opens a link and says nothing is a stranger
    who is put out after two seconds. `lost`: links that went down; between two looks one may be down and up again."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.carrier: WebSocketCarrier | None = None
        self.lost = 0

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self.lost += not up
        if up and self.carrier is not None:
            self.carrier.send(peer, lane, b"hello")

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None: ...

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        self.frames.append(frame)
        return None


def _carrier(name: str, host: str, discovery: StaticDiscovery, ears: _Ears) -> WebSocketCarrier:
    ears.carrier = WebSocketCarrier(
        name=name,
        peers=("raft-0", "raft-1"),
        host=host,
        port=9001,
        resolver=discovery,
        receiver=ears,
        chance=random.Random(1),
    )
    return ears.carrier


async def serve_raft_1(host: str) -> None:
    """A process of its own, so that it can be stopped: raft-1 at `host`, which dials nobody's name in vain."""
    discovery = StaticDiscovery({"raft-0": ("127.0.0.1", 9001), "raft-1": (host, 9001)})
    await _carrier("raft-1", host, discovery, _Ears()).start()
    print("up", flush=True)
    await asyncio.Event().wait()


async def _raft_1(host: str) -> asyncio.subprocess.Process:
    code = f"import asyncio; from tests.discovery.test_dns import serve_raft_1; asyncio.run(serve_raft_1({host!r}))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def _seconds_until(holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < 30
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def links_follow(dns: Dns, _folder: Path) -> Any:
    discovery = StaticDiscovery({"raft-0": ("127.0.0.1", 9001), "raft-1": (HOST, 9001)})
    ears = _Ears()
    carrier = _carrier("raft-0", "127.0.0.1", discovery, ears)
    await carrier.start()
    processes = [await _raft_1("127.0.0.2")]

    def up() -> bool:
        return all(carrier.outbound_up("raft-1", lane) for lane in Lane)

    await asyncio.sleep(3)  # long enough for the pauses between dials to grow to their longest
    took = {}
    dns.zone[FULL] = ["127.0.0.2"]
    took["appeared"] = await _seconds_until(up)
    processes.append(await _raft_1("127.0.0.3"))
    processes[0].send_signal(signal.SIGSTOP)  # the old address falls silent
    dns.zone[FULL] = ["127.0.0.3"]
    before = ears.lost
    took["noticed"] = await _seconds_until(lambda: ears.lost >= before + len(Lane))
    took["silent"] = took["noticed"] + await _seconds_until(up)
    before = ears.lost
    processes[1].kill()  # the old address refuses
    await _seconds_until(lambda: ears.lost >= before + len(Lane))
    await asyncio.sleep(3)
    processes.append(await _raft_1("127.0.0.4"))
    dns.zone[FULL] = ["127.0.0.4"]
    took["moved while down"] = await _seconds_until(up)
    for process in processes:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    await carrier.close()
    await discovery.close()
    return took


async def leave_while_the_registrys_name_hangs(dns: Dns, folder: Path) -> Any:
    dns.silent = ["registry."]
    flags = ("--name", "n1", "--seeds", "n1=127.0.0.1:9101", "--port", "8101", "--peer-port", "9101")
    where = ("--data-dir", str(folder / "n1"), "--discover", "registry:http://registry.nowhere:5000")
    command = (sys.executable, "-m", "node.cli", "serve", *flags, *where)
    node = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert node.stderr is not None
    while line := await node.stderr.readline():
        if b"not registered" in line:
            break
    began = time.monotonic()
    node.terminate()
    await node.communicate()
    return [line.decode(), node.returncode, time.monotonic() - began]


# --- what is asked of it --------------------------------------------------------------------------------------------


def test_a_name_is_found_through_the_search_list_and_neither_a_miss_nor_an_address_is_kept(tmp_path: Path) -> None:
    answers, asked, seen, gone = play("tests.discovery.test_dns:late_and_moving", tmp_path)
    assert f"{HOST} cannot be looked up" in answers[0]
    assert answers[1:3] == [["127.0.0.2"], ["127.0.0.3"]]
    assert "cannot be looked up" in answers[3]
    assert asked[0] == f"{HOST}.ns.svc.cluster.local", "ndots:5: the search list comes first"
    assert seen == [HOST, "127.0.0.3"]
    assert (gone[0], "cannot be looked up" in gone[1]) == ([], True)


@pytest.mark.slowest
def test_name_servers_that_are_silent_about_one_name_delay_no_other(tmp_path: Path) -> None:
    found, took_s, still_hanging, asked, given_up = play("tests.discovery.test_dns:one_silent_name", tmp_path)
    assert found == [["127.0.0.9"]] * 3
    assert still_hanging
    assert took_s < 2
    assert asked <= 4, "two who ask share one look-up (A and AAAA)"
    assert all("given up" in one for one in given_up)


@pytest.mark.slowest
def test_links_follow_a_name_that_appears_late_falls_silent_or_moves_while_down(tmp_path: Path) -> None:
    took = play("tests.discovery.test_dns:links_follow", tmp_path)
    assert took["appeared"] < REDIAL_SECONDS_MAX
    assert 1 < took["noticed"] < took["silent"] < FOLLOW_SECONDS_MAX
    assert took["moved while down"] < REDIAL_SECONDS_MAX
    print(took)


@pytest.mark.slowest
def test_a_node_leaves_while_name_servers_are_silent_about_its_registry(tmp_path: Path) -> None:
    said, code, took_s = play("tests.discovery.test_dns:leave_while_the_registrys_name_hangs", tmp_path)
    assert "did not answer within" in said
    assert code == 0
    assert took_s < 10, "a look-up takes the C library forty seconds here"
