"""What ends a run early, and what it must not end."""

import asyncio
import os
import signal

import pytest

from chaos.errors import INTERRUPTED, PASSED, REFUSED, TOOL_FAILED, UNSAFE, ChaosError, NotEffective, Refused
from chaos.run.outcome import exit_code_of
from chaos.run.stop import Stop, Stopped, handling_signals, shielded


async def test_work_that_is_not_stopped_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert await Stop(print).while_working(work()) == 7


async def test_a_signal_cancels_the_work_and_a_second_one_is_answered() -> None:
    said: list[str] = []
    stop, begun, cancelled = Stop(said.append), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with handling_signals(stop):
        task = asyncio.create_task(stop.while_working(work()))
        await begun.wait()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped, match="interrupted by SIGINT") as ended:
            await task
        os.kill(os.getpid(), signal.SIGTERM)
        while len(said) < 2:  # noqa: ASYNC110 - a signal's handler runs when the loop gets to it
            await asyncio.sleep(0)
    assert (ended.value.code, stop.interrupted, cancelled) == (INTERRUPTED, True, [True])
    assert "the run ends here" in said[0]
    assert "healing is under way" in said[1]


async def test_a_quit_ends_the_work_and_what_would_have_it_stand_still_is_answered_alone() -> None:
    said: list[str] = []
    stop = Stop(said.append)
    with handling_signals(stop):
        for number in (signal.SIGTSTP, signal.SIGTTOU):
            os.kill(os.getpid(), number)
        while len(said) < 2:  # noqa: ASYNC110 - a signal's handler runs when the loop gets to it
            await asyncio.sleep(0)
        assert stop.reason is None
        os.kill(os.getpid(), signal.SIGQUIT)
        with pytest.raises(Stopped, match="interrupted by SIGQUIT") as ended:
            await stop.while_working(asyncio.sleep(60))
    assert ended.value.code == INTERRUPTED
    assert said[0] == (
        "SIGTSTP is not obeyed while a run goes on: nobody would take back what it broke. Ctrl-C ends it"
    )
    assert signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL


async def test_nothing_begins_after_the_end_was_requested() -> None:
    stop, began = Stop(print), []
    stop.request("the lock was lost", TOOL_FAILED)

    async def work() -> None:
        began.append(True)
        await asyncio.sleep(10)

    with pytest.raises(Stopped, match="the lock was lost"):
        await stop.while_working(work())
    assert began == []


async def test_cancelling_the_caller_lets_the_healing_end() -> None:
    stop, healed = Stop(print), []

    async def run() -> None:
        try:
            await stop.while_working(asyncio.sleep(60))
        except Stopped:
            await asyncio.sleep(0.05)
            healed.append(stop.interrupted)

    task = asyncio.create_task(shielded(run(), stop))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert healed == [True]


@pytest.mark.parametrize(
    ("verdicts", "trouble", "unhealed", "code"),
    [
        (PASSED, None, False, 0),
        (UNSAFE, Stopped("interrupted", INTERRUPTED), True, 1),
        (PASSED, Stopped("interrupted", INTERRUPTED), True, 2),
        (3, Stopped("interrupted", INTERRUPTED), False, 130),
        (2, Stopped("interrupted", INTERRUPTED), False, 2),
        (0, Stopped("interrupted", INTERRUPTED), False, 130),
        (2, NotEffective("leaks"), False, 2),
        (0, NotEffective("leaks"), False, 3),
        (3, Refused("no"), False, REFUSED),
        (2, ChaosError("broke off"), False, TOOL_FAILED),
        (2, None, False, 2),
        (3, None, False, 3),
    ],
)
def test_the_worst_news_decides_the_exit_code(
    verdicts: int, trouble: ChaosError | None, unhealed: bool, code: int
) -> None:
    assert exit_code_of(verdicts, trouble, unhealed) == code
