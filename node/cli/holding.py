"""What a command holds in the cluster, a lock or the lead, until it is told to end; and how it is told.

Why it exists: whatever is held must be given back when a person or a script ends the command, at once and not when its
lease ends. How a lock is held is the business of `raftclient`, which this module and its neighbours import, alone in
`node`: a second client that gets the same right would be a second one to get wrong. It must not print.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from node.cli.failure import FAILED, LOST, UNAVAILABLE, Failure
from node.cli.identity import context, token
from raftclient import LeaseLost, NotDone, RaftClient

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Told:
    """Which signal told the command to end; 0: none. `instead`: what is done with one that is not to end it."""

    def __init__(self) -> None:
        self.number = 0
        self.instead: Callable[[int], None] | None = None

    def spare_one(self) -> None:
        """The next signal changes nothing, for all is about to be given back; the one after it ends that, too."""
        self.instead = lambda _number: setattr(self, "instead", None)


def held(hold: Callable[[RaftClient, Told], Coroutine[Any, Any, int]], addresses: list[str]) -> int:
    """The exit code of `hold`. A signal cancels it; where it does not end well by that (see `until_told`) the code is
    128 and the signal, as shells have it. Raises Failure."""
    return asyncio.run(_held(hold, addresses))


async def _held(hold: Callable[[RaftClient, Told], Coroutine[Any, Any, int]], addresses: list[str]) -> int:
    told = Told()
    with _failing():
        async with RaftClient(addresses, tls=context(), token=token()) as client:
            holding = asyncio.create_task(hold(client, told), name="hold")
            with _heard(told, holding):
                try:
                    return await holding
                except asyncio.CancelledError:
                    if not told.number:
                        raise
                    return 128 + told.number


async def until_told(ends: Awaitable[object]) -> bool:
    """Wait; True: a signal came first, which is how it is meant to end."""
    try:
        await ends
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        return True
    return False


@contextlib.contextmanager
def _heard(told: Told, holding: asyncio.Task[int]) -> Iterator[None]:
    """Signals, but those that this process was started to ignore. A second one ends what the first one waits for."""

    def hear(number: int) -> None:
        told.number = number
        if told.instead is not None:
            told.instead(number)
        else:
            holding.cancel()

    loop = asyncio.get_running_loop()
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """The client's errors as a command's."""
    try:
        yield
    except LeaseLost:
        raise Failure(
            "Lost, and somebody else may hold it: its lease could not be kept alive in time, or was revoked.", LOST
        ) from None
    except TimeoutError as error:
        raise Failure(f"{str(error)[:1].upper()}{str(error)[1:]}.", FAILED) from None
    except NotDone as error:
        if error.status:
            raise Failure(f"Refused by {error.endpoint}, so nothing is held: {error.reason}.", FAILED) from None
        raise Failure(f"No node did it in time, so nothing is held: {error.reason}.", UNAVAILABLE) from None
