"""Long work is done in slices, and all of it together takes one slice in a turn of the loop."""

import asyncio
from collections.abc import Generator

import pytest

from node.api.slices import BEGINNINGS_PER_TURN_MAX, SLICE_WORK_MAX, SMALL_WORK_MAX, Slices, at_once
from tests.api.work import WorkPerTurn, counting

STEP = 10


def steps(amount: int, work: WorkPerTurn) -> Generator[int, None, str]:
    """So much work, in small steps."""
    for _ in range(0, amount, STEP):
        work.did(STEP)
        yield STEP
    return "done"


class Job:
    """A read of the store that needs so much work."""

    def __init__(self, amount: int, work: WorkPerTurn) -> None:
        self.left = amount
        self.closed = 0
        self.result: object = None
        self._work = work

    def run(self, work_max: int, /) -> bool:
        now = min(work_max, self.left)
        self._work.did(now)
        self.left -= now
        if not self.left:
            self.result = "read"
        return not self.left

    def close(self) -> None:
        self.closed += 1


async def test_a_hundred_long_works_together_take_one_slice_in_a_turn() -> None:
    slices = Slices()
    async with counting() as work:
        long = [slices.finish(steps(4 * SLICE_WORK_MAX, work)) for _ in range(50)]
        jobs = [slices.read(Job(4 * SLICE_WORK_MAX, work)) for _ in range(50)]
        results = await asyncio.gather(*long, *jobs)
    assert results == ["done"] * 50 + ["read"] * 50
    assert work.total == 100 * 4 * SLICE_WORK_MAX
    beginnings = BEGINNINGS_PER_TURN_MAX * (SMALL_WORK_MAX + STEP)
    assert work.most <= SLICE_WORK_MAX + STEP + beginnings
    assert work.turns >= 100 * 3


async def test_a_thousand_small_works_at_once_are_more_than_one_turn() -> None:
    slices = Slices()
    async with counting() as work:
        await asyncio.gather(*(slices.finish(steps(SMALL_WORK_MAX - STEP, work)) for _ in range(1000)))
    assert work.most <= (BEGINNINGS_PER_TURN_MAX + 1) * SMALL_WORK_MAX


async def test_one_long_work_leaves_the_loop_after_each_slice() -> None:
    async with counting() as work:
        assert await Slices().finish(steps(20 * SLICE_WORK_MAX, work)) == "done"
    assert work.most <= SLICE_WORK_MAX + SMALL_WORK_MAX + STEP
    assert work.turns >= 19


async def test_small_work_is_done_at_once() -> None:
    work = WorkPerTurn()
    for doing in (Slices().finish(steps(SMALL_WORK_MAX - STEP, work)), Slices().read(Job(SMALL_WORK_MAX, work))):
        with pytest.raises(StopIteration):
            doing.send(None)  # it would have returned here, had it waited for anything


async def test_works_get_their_slices_in_turn() -> None:
    slices, order = Slices(), ""

    def marked(name: str) -> Generator[int, None, None]:
        nonlocal order
        for _ in range(5):
            order += name
            yield SLICE_WORK_MAX

    await asyncio.gather(*(slices.finish(marked(name)) for name in "abc"))
    for end in range(len(order)):
        counts = [order[:end].count(name) for name in "abc"]
        assert max(counts) - min(counts) <= 2, order


async def test_a_read_is_closed_however_it_ends() -> None:
    slices, work = Slices(), WorkPerTurn()
    finished, cancelled, failing = Job(10, work), Job(10**9, work), Job(10, work)
    assert await slices.read(finished) == "read"
    task = asyncio.create_task(slices.read(cancelled))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    def fail(_work_max: int, /) -> bool:
        raise RuntimeError("planted")

    failing.run = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="planted"):
        await slices.read(failing)
    assert (finished.closed, cancelled.closed, failing.closed) == (1, 1, 1)


async def test_who_gives_up_waiting_takes_no_turn_from_the_others() -> None:
    slices, work = Slices(), WorkPerTurn()
    waiting = [asyncio.create_task(slices.finish(steps(3 * SLICE_WORK_MAX, work))) for _ in range(5)]
    await asyncio.sleep(0)
    for task in waiting[:4]:
        task.cancel()
    assert await asyncio.wait_for(waiting[4], 5) == "done"


def test_in_one_go_a_work_gives_its_value_too() -> None:
    assert at_once(steps(100, WorkPerTurn())) == "done"
