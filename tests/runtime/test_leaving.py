"""The order of leaving, and when a step is left out; its bounds with real processes are in tests/cluster."""

import asyncio

import pytest

from node.leaving import StopSignals, leave
from node.raft.types import Role
from node.runtime.ports import CommandOutcome, Readiness, Status
from tests.observe.status import node_status

LONG_S = 60.0


class Node:
    """A shell as leaving sees it. `answers`: what becomes of each hand-over, True: done, and it leads no more."""

    def __init__(self, role: Role = Role.LEADER, answers: tuple[bool, ...] = (True,)) -> None:
        self.role, self.answers = role, list(answers)
        self.links_up: tuple[str, ...] = ("n2",)
        self.was_ready = True
        self.did: list[str] = []
        self.waits = asyncio.Event()
        """Set with each reading of the readiness: the wait begins, if there is one."""

    def leave(self) -> None:
        self.did.append("not ready")

    def retire(self) -> None:
        self.did.append("retire")

    def status(self) -> Status:
        return node_status(role=self.role, links_up=self.links_up)

    def readiness(self) -> Readiness:
        self.did.append("wait")
        self.waits.set()
        return Readiness(self.was_ready, 0, 1, True)

    async def command(self, name: str, arguments: dict[str, object], timeout_us: int, node: str = "") -> CommandOutcome:
        assert (name, arguments, node) == ("transfer_leadership", {}, "")
        assert 0 < timeout_us <= 1_000_000
        done = self.answers.pop(0)
        self.did.append("handed over" if done else "kept")
        if done:
            self.role = Role.FOLLOWER
        return CommandOutcome(name, "n1", "ok" if done else "refused", "a sentence")


async def test_a_leader_is_not_ready_before_it_hands_over_and_hands_over_before_it_waits() -> None:
    node = Node()
    await leave(node, node.retire, StopSignals(), 0.01)
    assert node.did == ["not ready", "retire", "handed over", "wait"]


@pytest.mark.parametrize("wait_s", [0.0, 0.01])
async def test_a_lead_that_nobody_took_is_offered_once_more(wait_s: float) -> None:
    node = Node(answers=(False, True))
    await leave(node, node.retire, StopSignals(), wait_s)
    assert node.did == ["not ready", "retire", "kept", "wait", "handed over"]


async def test_a_lead_that_came_back_is_handed_over_again() -> None:
    node, signals = Node(answers=(True, True)), StopSignals()
    leaving = asyncio.create_task(leave(node, node.retire, signals, LONG_S))
    await node.waits.wait()
    node.role = Role.LEADER
    signals.ask()
    assert not leaving.done()
    signals.ask()
    async with asyncio.timeout(5):
        await leaving
    assert node.did == ["not ready", "retire", "handed over", "wait", "handed over"]


async def test_the_first_signal_does_not_end_the_wait_and_the_second_does() -> None:
    node, signals = Node(Role.FOLLOWER), StopSignals()
    signals.ask()
    leaving = asyncio.create_task(leave(node, node.retire, signals, LONG_S))
    await node.waits.wait()
    done, _ = await asyncio.wait([leaving], timeout=0.05)
    assert not done
    signals.ask()
    async with asyncio.timeout(5):
        await leaving
    assert node.did == ["not ready", "retire", "wait"]


async def test_a_failure_ends_the_wait() -> None:
    node, signals = Node(Role.FOLLOWER), StopSignals()
    leaving = asyncio.create_task(leave(node, node.retire, signals, LONG_S))
    await node.waits.wait()
    signals.fail()
    async with asyncio.timeout(5):
        await leaving


async def test_a_node_that_was_never_ready_does_not_wait() -> None:
    node = Node(Role.INITIAL)
    node.was_ready = False
    async with asyncio.timeout(5):
        await leave(node, node.retire, StopSignals(), LONG_S)
    assert node.did[:2] == ["not ready", "retire"]


async def test_a_leader_that_reaches_nobody_offers_nothing() -> None:
    node = Node()
    node.links_up = ()
    await leave(node, node.retire, StopSignals(), 0)
    assert node.did == ["not ready", "retire", "wait"]
