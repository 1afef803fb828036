"""A shell that stops lets everybody in who waits for a deadline: nobody else would, and they must be told."""

import asyncio

from node.runtime.shell import Shell, monotonic_us


class AlwaysDue:
    """A driver that has a deadline, and takes none."""

    writes_wait = False

    @property
    def deadline(self) -> int:
        return monotonic_us()

    def stop(self) -> None:
        pass


async def test_a_shell_that_stops_while_a_deadline_is_due_says_that_none_is() -> None:
    due: list[bool] = []
    begun = asyncio.Event()

    def told(is_due: bool) -> None:
        due.append(is_due)
        begun.set()

    shell = Shell(asyncio.get_running_loop(), lambda _error: None, 1_000, 1_000, told)
    shell.attach(AlwaysDue())  # type: ignore[arg-type]
    shell._arm()
    await begun.wait()
    assert due[-1]
    shell.stop()
    assert not due[-1]
