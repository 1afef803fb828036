"""A process knows its own stalls by timers that fire late, and tells the core of them with each deadline."""

import asyncio
import time
from typing import Any

from node.raft.events import Deadline
from node.runtime.heldup import FADES_EVERY_US, HeldUp
from node.runtime.shell import Shell, monotonic_us

MOST_US = 300_000


def test_a_stall_is_known_at_once_and_forgotten_little_by_little() -> None:
    held_up = HeldUp(MOST_US)
    held_up.saw(100_000, 0)
    assert held_up.us == 100_000
    seen = []
    for timer in range(60):
        held_up.saw(500, (timer + 1) * FADES_EVERY_US)
        seen.append(held_up.us)
    assert seen == sorted(seen, reverse=True)
    assert seen[3] > 50_000, "stalls come in bursts, so one is not forgotten with the next timer"
    assert seen[-1] < 5_000


def test_a_process_with_many_timers_forgets_no_sooner() -> None:
    held_up = HeldUp(MOST_US)
    held_up.saw(100_000, 0)
    for timer in range(20):
        held_up.saw(500, timer * FADES_EVERY_US // 20)
    assert held_up.us == 100_000


def test_a_process_that_was_stopped_for_long_remembers_no_more_than_one_timeout() -> None:
    held_up = HeldUp(MOST_US)
    held_up.saw(3_600_000_000, 0)
    assert held_up.us == MOST_US


class Due:
    """A driver whose deadline stands, and which keeps the events that it takes."""

    writes_wait = False
    core = type("Core", (), {"leader": ""})

    def __init__(self) -> None:
        self.deadline: int | None = monotonic_us() + 10_000
        self.taken: list[Any] = []
        self.told = asyncio.Event()

    def handle(self, inputs: list[Any], _now: int, _wall: int) -> None:
        self.taken += inputs
        self.deadline = None
        self.told.set()

    def stop(self) -> None:
        pass


async def told(stall_s: float) -> int:
    """What the core is told by a shell whose loop stands still for so long before its timer."""
    driver = Due()
    shell = Shell(asyncio.get_running_loop(), lambda _error: None, 1_000_000, MOST_US)
    shell.attach(driver)  # type: ignore[arg-type]
    shell._arm()
    time.sleep(stall_s)  # noqa: ASYNC251 - this is the stall
    async with asyncio.timeout(5):
        await driver.told.wait()
    shell.stop()
    (event,) = (event for event in driver.taken if isinstance(event, Deadline))
    return event.held_up_us


async def test_the_core_hears_with_its_deadline_how_late_this_process_was() -> None:
    assert 100_000 <= await told(0.12) <= MOST_US
