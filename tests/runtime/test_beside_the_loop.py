"""What must not hold the loop runs on a thread beside it, and is left behind where nobody waits for it any more."""

import asyncio
import threading

import pytest

from node.recovering import beside_the_loop


async def test_what_it_returns_and_what_it_raises_come_to_whoever_waits() -> None:
    assert await beside_the_loop(lambda: threading.current_thread().name, asyncio.Event(), "work") == "work"

    def fails() -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        await beside_the_loop(fails, asyncio.Event(), "work")


async def test_the_loop_goes_on_meanwhile_and_need_not_wait_for_the_end() -> None:
    given_up, release = asyncio.Event(), threading.Event()
    turns: list[int] = []
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(began.set)
        release.wait()
        return "too late"

    async def give_up() -> None:
        await began.wait()
        turns.append(1)
        given_up.set()

    helper = asyncio.create_task(give_up())
    assert await beside_the_loop(work, given_up, "work") is None
    await helper
    assert turns == [1]
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "work"]
    assert thread.daemon, "the process must not wait for it"
    release.set()
    await asyncio.sleep(0)
    thread.join()
