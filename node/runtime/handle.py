"""What the API sees of a running node: requests in, outcomes out, and the questions that anybody may ask.

Why it exists: clients wait in tasks or with callbacks, the driver does neither; here the one becomes the other. It must
not decide anything: commands are `obeying.py`'s, answers about the node `looking.py`'s.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from node.runtime.backing_up import BackingUp
from node.runtime.inputs import WantRead, WantWrite
from node.runtime.looking import Looking
from node.runtime.obeying import Obeying
from node.runtime.ports import Backup, NotProposed, Outcome, ReadFailed
from node.runtime.shell import Shell
from node.runtime.snapshot_ports import Snapshots


class Tracing(Protocol):
    """Who traces writes."""

    def begun(self, size_bytes: int, reply: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """A client's write of that size comes in; what to answer it with instead of `reply`."""


class Handle:
    """Satisfies `NodeHandle`. `tracing` None: writes are not traced."""

    def __init__(
        self, shell: Shell, looking: Looking, obeying: Obeying, snapshots: Snapshots, tracing: Tracing | None = None
    ) -> None:
        self._shell = shell
        self._tracing = tracing
        self._backing_up = BackingUp(shell, snapshots)
        self.leave = shell.leave
        self.command = obeying.command
        self.status = looking.status
        self.views = looking.views
        self.log = looking.log
        self.readiness = looking.readiness
        self.loop_age_us = looking.loop_age_us
        self.log_time_us = shell.log_time_us

    async def propose(self, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0) -> Outcome:
        """See NodeHandle."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit_write(write, timeout_us, _resolver(future), session, sequence)
        return await future

    async def read_barrier(self, timeout_us: int | None) -> ReadFailed | None:
        """See NodeHandle."""
        future: asyncio.Future[ReadFailed | None] = asyncio.get_running_loop().create_future()
        self.submit_read(timeout_us, _resolver(future))
        return await future

    async def backup(self) -> Backup | ReadFailed:
        """See NodeHandle."""
        return await self._backing_up.begin(self.read_barrier)

    def submit_write(
        self,
        write: bytes,
        timeout_us: int | None,
        reply: Callable[[Outcome], None],
        session: int = 0,
        sequence: int = 0,
    ) -> None:
        """`propose` for a caller that has no task to wait in: `reply` is called once, at once or later."""
        if self._tracing is not None:
            reply = self._tracing.begun(len(write), reply)
        refused = self._shell.refusal()
        if refused is not None:
            reply(NotProposed(*refused))
        else:
            self._shell.post(WantWrite(write, self._shell.until_us(timeout_us), reply, session, sequence))

    def submit_read(self, timeout_us: int | None, reply: Callable[[ReadFailed | None], None]) -> None:
        """`read_barrier` likewise."""
        refused = self._shell.refusal()
        if refused is not None:
            reply(ReadFailed(*refused))
        else:
            self._shell.post(WantRead(self._shell.until_us(timeout_us), reply))


T = TypeVar("T")


def _resolver(future: "asyncio.Future[T]") -> Callable[[T], None]:
    def resolve(value: T) -> None:
        if not future.done():  # the client may have gone meanwhile
            future.set_result(value)

    return resolve
