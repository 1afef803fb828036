"""The lock of a run: renewed while it goes on, and the run ends before the lock does."""

import asyncio
import contextlib
import time
from typing import cast

import pytest

from chaos.errors import TOOL_FAILED, ChaosError, Refused
from chaos.run import lease
from chaos.run.lease import locked
from chaos.run.stop import Stop, Stopped
from chaos.targets.port import Target


class Door:
    """`errors`: what the next requests for the lock bring, None: it works; the last one again and again."""

    def __init__(self, *errors: Exception | None, takes_s: float = 0.0) -> None:
        self.errors, self.takes_s = list(errors), takes_s
        self.asked: list[float] = []
        self.let_go = 0

    async def lock(self, run: str, seconds: float) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        error = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        if error is not None:
            try:
                await asyncio.sleep(self.takes_s)
            except asyncio.CancelledError:
                await asyncio.sleep(self.takes_s)  # a change is waited for even then
                raise
            raise error

    async def unlock(self) -> None:
        self.let_go += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 20.0)  # a busy machine may stall for seconds
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)


async def run_until_told(door: Door, seconds: float) -> Stop:
    stop = Stop(print)
    async with locked(cast(Target, door), "r1", stop):
        with contextlib.suppress(Stopped):
            await stop.while_working(asyncio.sleep(seconds))
    assert door.let_go == 1
    return stop


async def test_a_lock_is_renewed_and_let_go() -> None:
    door = Door(None)
    assert (await run_until_told(door, 1.0)).reason is None
    assert len(door.asked) >= 2


async def test_renewals_that_fail_now_and_then_end_nothing() -> None:
    door = Door(None, ChaosError("503"), None, TimeoutError(), OSError("reset"), None)
    assert (await run_until_told(door, 1.0)).reason is None


@pytest.mark.parametrize("takes_s", [0.0, 5.0], ids=["it fails at once", "it hangs"])
async def test_a_run_that_cannot_renew_its_lock_ends_before_others_may_take_it(
    monkeypatch: pytest.MonkeyPatch, takes_s: float
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    door = Door(None, ChaosError("the API server does not answer."), takes_s=takes_s)
    loop = asyncio.get_running_loop()
    stop, ended = Stop(print), 0.0
    async with asyncio.timeout(20), locked(cast(Target, door), "r1", stop):
        with pytest.raises(Stopped, match="could not be renewed, so it ends: ") as why:
            await stop.while_working(asyncio.sleep(60))
        ended = loop.time()
    assert why.value.code == TOOL_FAILED
    assert 0.7 < ended - door.asked[0] < 4.0  # a renewal that hangs takes five and more


async def test_a_lock_that_somebody_else_holds_by_now_ends_the_run_at_once() -> None:
    stop = await run_until_told(Door(None, Refused("Run r2 works on it.")), 60)
    assert stop.reason is not None
    assert "was lost, so it ends: Run r2" in str(stop.reason)


async def test_nobody_is_kept_out_by_a_run_that_was_refused() -> None:
    door = Door(Refused("Run r2 works on it."))
    with pytest.raises(Refused):
        async with locked(cast(Target, door), "r1", Stop(print)):
            raise AssertionError


@pytest.mark.slowest
async def test_a_lock_that_is_still_ours_after_this_process_stood_still_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after Ctrl-Z or a laptop's lid: the timer of the end is due before anybody could renew anything."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(lease, "LATE_SECONDS", 0.2)
    door, stop = Door(None), Stop(print)
    async with locked(cast(Target, door), "r1", stop):
        await asyncio.sleep(0.05)
        time.sleep(1.5)  # noqa: ASYNC251 - the loop is to stand still
        await asyncio.sleep(0.4)
        assert stop.reason is None
        assert len(door.asked) > 1


@pytest.mark.slowest
async def test_a_lock_that_another_took_while_this_process_stood_still_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(lease, "LATE_SECONDS", 0.2)
    door, stop = Door(None, Refused("Run r2 works on it.")), Stop(print)
    async with locked(cast(Target, door), "r1", stop):
        time.sleep(1.5)  # noqa: ASYNC251 - the loop is to stand still
        with pytest.raises(Stopped, match="was lost, so it ends: Run r2"):
            await stop.while_working(asyncio.sleep(10))
