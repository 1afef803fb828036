"""Decision 8 with real processes: a killed leader is replaced at once; one that lives keeps its lead, whatever breaks.

Election timeouts are seconds here: who is faster than that did not wait for silence, however busy the machine is.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from node.raft.messages import Lane
from tests.cluster.bare import Bare, bare_nodes
from tests.conformance.loopback_proxy import Relay
from tests.ports import PEER_PORT_OFFSET, free_base_port

pytestmark = pytest.mark.slow

HEARTBEAT_SECONDS = 0.3
SLOW = ("--heartbeat-ms", "300", "--election-timeout-ms", "2500-5000")
CLOSED_SECONDS = 1.0
SLOWER_SECONDS = 6.0
SLOWER = ("--heartbeat-ms", "300", "--election-timeout-ms", "6000-9000")
"""Where it is measured: a question that a busy machine leaves open takes two of them."""


def told(nodes: Bare, kind: str) -> int:
    """How often a kind of event was traced, on all nodes that answer."""
    sample = f'raft_trace_events_total{{kind="{kind}"}} '
    lines = [line for name in nodes.ports for line in nodes.ask(name, "/metrics")[1].decode().splitlines()]
    return int(sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample)))


def test_a_killed_leader_is_replaced_before_any_election_timeout_has_passed(tmp_path: Path) -> None:
    with bare_nodes(tmp_path, 5, *SLOWER) as nodes:
        for _ in range(2):
            killed = nodes.until(nodes.leader, "one leader")
            term = nodes.status(killed)["term"]
            nodes.put(killed, "before", b"x")
            nodes.processes[killed].send_signal(signal.SIGKILL)
            killed_at = time.monotonic()
            del nodes.ports[killed]
            survivor = next(iter(nodes.ports))
            # A write that waits for the dead leader's answer ends as unknown; another one is tried then.
            nodes.until(lambda name=survivor: nodes.ask(name, "/kv/after", b"x")[0] == 200, "a write is taken")  # type: ignore[misc]
            assert time.monotonic() - killed_at < SLOWER_SECONDS - HEARTBEAT_SECONDS
            leader = nodes.until(nodes.leader, "one leader")
            assert leader != killed
            assert nodes.status(leader)["term"] > term
            assert nodes.ask(survivor, "/kv/before") == (200, b"x")
        assert told(nodes, "leader-gone") >= 2
        assert not told(nodes, "leader-back")


@pytest.mark.longest
def test_a_stopped_leader_is_waited_for(tmp_path: Path) -> None:
    with bare_nodes(tmp_path, 3, *SLOW) as nodes:
        leader = nodes.until(nodes.leader, "one leader")
        term = nodes.status(leader)["term"]
        nodes.processes[leader].send_signal(signal.SIGSTOP)
        time.sleep(CLOSED_SECONDS)  # it is the fault that lasts so long; its links stand, its port takes connections
        assert {nodes.status(name)["leader"] for name in nodes.ports if name != leader} == {leader}
        nodes.processes[leader].send_signal(signal.SIGCONT)
        nodes.put(leader, "x", b"still here")
        assert nodes.status(leader)["term"] == term
        assert not told(nodes, "leader-gone")


@asynccontextmanager
async def relayed(folder: Path) -> AsyncIterator[tuple[Bare, dict[tuple[str, str], Relay]]]:
    """Five nodes that dial each other through relays of this process, by (who dials, whom)."""
    base_port, names = free_base_port(5), [f"n{number}" for number in range(1, 6)]
    relays = {(a, b): Relay(base_port + PEER_PORT_OFFSET + at) for a in names for at, b in enumerate(names) if a != b}
    through = {}
    for pair, relay in relays.items():
        await relay.start()
        through[pair] = relay.port
    with ExitStack() as stack:
        starting = bare_nodes(folder, 5, *SLOW, base_port=base_port, through=through)
        nodes = await asyncio.to_thread(stack.enter_context, starting)
        try:
            yield nodes, relays
        finally:
            await asyncio.to_thread(stack.close)
            for relay in relays.values():
                await relay.close()
            await asyncio.get_running_loop().shutdown_default_executor()


async def _leader_and_term(nodes: Bare) -> tuple[str, int]:
    leader = await asyncio.to_thread(nodes.until, nodes.leader, "one leader")
    return leader, (await asyncio.to_thread(nodes.status, leader))["term"]


async def _serves_as_before(nodes: Bare, leader: str, term: int) -> None:
    """Writes through every node are taken, and it is the same leader in the same term that takes them."""
    for name in nodes.ports:
        await asyncio.to_thread(nodes.put, name, name, b"x")
    assert await _leader_and_term(nodes) == (leader, term)


@pytest.mark.longest
async def test_a_leader_whose_port_is_closed_for_a_second_keeps_its_lead(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (nodes, relays):
        leader, term = await _leader_and_term(nodes)
        towards = [relay for (_, target), relay in relays.items() if target == leader]
        for relay in towards:
            relay.stop_listening()
            relay.lose_connections()
        await asyncio.sleep(CLOSED_SECONDS)  # the fault lasts so long
        for relay in towards:
            await relay.start()
        await _serves_as_before(nodes, leader, term)
        assert not await asyncio.to_thread(told, nodes, "leader-gone"), "what the leader dialled itself stands"


@pytest.mark.longest
async def test_a_minority_that_lost_its_leader_for_a_second_takes_no_lead_from_it(tmp_path: Path) -> None:
    """Two of five cannot reach the leader's port and hear nothing of it: to them its process is gone."""
    async with relayed(tmp_path) as (nodes, relays):
        leader, term = await _leader_and_term(nodes)
        for name in [name for name in nodes.ports if name != leader][:2]:
            relays[name, leader].stop_listening()
            for pair in ((name, leader), (leader, name)):
                relays[pair].lose_connections()
            for lane in Lane:
                relays[leader, name].hold(lane)
        await asyncio.to_thread(nodes.until, lambda: told(nodes, "leader-gone") == 2, "two are deceived")
        await asyncio.sleep(CLOSED_SECONDS)  # they ask, and are refused; the fault lasts so long
        assert (await asyncio.to_thread(nodes.status, leader))["term"] == term
        for pair, relay in relays.items():
            for lane in Lane:
                relay.let_go(lane)
            if pair[1] == leader and not relay.listens:
                await relay.start()
        await _serves_as_before(nodes, leader, term)
        await asyncio.to_thread(nodes.until, lambda: told(nodes, "leader-back") == 2, "both hear of their leader again")
