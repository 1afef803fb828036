"""Puts what is recorded on the disk while a run goes on.

Why it exists: what is in the memory of a tool that is killed is lost. A few times a second all that is new is appended
to the run's files, by a thread (evidence/disk.py), so that a disk that hangs or is full holds up nobody: it all stays
in memory as well, and what could not be appended is tried again, and written as a whole in the end. It must not decide
what is recorded.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from chaos.evidence.disk import Disk
from chaos.evidence.folder import HISTORY_FILE, REST_FILE, TRACE_FILE, VIEWS_FILE, RunFolder, replace
from chaos.evidence.lines import RestLine, encoded, of_events
from chaos.evidence.record import RunRecord
from chaos.model import Event, Lost, Pause, View
from chaos.workload.history import Op

EVERY_SECONDS = 0.25
LINES_AT_ONCE_MAX = 4000
"""Of each file: they are encoded in the loop that has a fault to hold."""
SILENT_SECONDS = 5.0
"""A disk that does not answer for so long is told."""
LAST_SECONDS_MAX = 10.0
"""At the end a disk that hangs is waited for so long."""
_T = TypeVar("_T")


class Recorded(Protocol):
    """What grows while a run goes on."""

    @property
    def history(self) -> Sequence[Op]: ...
    @property
    def views(self) -> Sequence[View]: ...
    @property
    def views_dropped(self) -> int: ...
    @property
    def events(self) -> Sequence[Event]: ...
    @property
    def arrived_us(self) -> Sequence[int]: ...
    @property
    def lost(self) -> Sequence[Lost]: ...
    @property
    def paused(self) -> Sequence[Pause]: ...


class _File:
    """One that is appended to. `lines`: of what was recorded, so many are in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, 0

    def append(self, content: bytes) -> None:
        """All of it or nothing: what is torn would swallow the line after it."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


class Live:
    """`start` it in the loop of the run, and `stop` it when all is recorded. `describe`: the record as it is now.
    `say` is told once, when the disk takes nothing."""

    def __init__(
        self,
        folder: RunFolder,
        recorded: Recorded,
        describe: Callable[[], RunRecord],
        say: Callable[[str], None],
        disk: Disk,
    ) -> None:
        self._folder, self._recorded, self._describe, self._say = folder, recorded, describe, say
        self._disk = disk
        self._files = {name: _File(folder.path / name) for name in (HISTORY_FILE, TRACE_FILE, VIEWS_FILE, REST_FILE)}
        self._described: RunRecord | None = None
        self._dropped = 0
        self._lost: list[Lost] = []
        self._pauses: list[Pause] = []
        self._told = False
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; harmless when it has."""
        if self._task is None:
            self._task = asyncio.create_task(self._go_on(), name="put what is recorded on the disk")

    async def stop(self) -> frozenset[str]:
        """Write what is left; the names of the files that hold all of theirs."""
        self._ending.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=LAST_SECONDS_MAX)
            self._task.cancel()
        views = len(self._recorded.views) if self._dropped == self._recorded.views_dropped else -1
        wanted = {
            HISTORY_FILE: len(self._recorded.history),
            TRACE_FILE: len(self._recorded.events),
            VIEWS_FILE: views,
        }
        there = {name for name, lines in wanted.items() if self._files[name].lines == lines}
        return frozenset(name for name in there if self._files[name].path.exists())

    async def _go_on(self) -> None:
        while not self._ending.is_set():
            await self._once()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), EVERY_SECONDS)
        while await self._once():
            pass

    async def _once(self) -> bool:
        """Whether anything new was written."""
        try:
            work = [*self._record(), *self._history(), *self._trace(), *self._views()]
            for write in work:
                writing = self._disk.do(write)
                if not (await asyncio.wait((writing,), timeout=SILENT_SECONDS))[0]:
                    self._tell(f"the disk has not answered for {SILENT_SECONDS:g} s")
                await writing
        except Exception as error:  # whatever it is, what was recorded stays in memory
            self._tell(getattr(error, "strerror", None) or str(error).partition(";")[0])
            return False
        return bool(work)

    def _tell(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._say(f"what is recorded cannot be put on the disk, and is kept in memory: {why}")

    # --- what there is to write; whoever has written it takes it down ------------------------------------------------

    def _record(self) -> Iterable[Callable[[], None]]:
        record = self._describe()
        if record != self._described:
            copied = msgspec.json.decode(msgspec.json.encode(record), type=RunRecord)  # spans change as a fault goes on

            def write() -> None:
                self._folder.write_run(copied)
                self._described = copied

            yield write

    def _history(self) -> Iterable[Callable[[], None]]:
        file = self._files[HISTORY_FILE]
        new = self._recorded.history[file.lines : file.lines + LINES_AT_ONCE_MAX]
        return self._append(file, len(new), b"".join(encoded(new)))

    def _trace(self) -> Iterable[Callable[[], None]]:
        trace = self._files[TRACE_FILE]
        until = trace.lines + LINES_AT_ONCE_MAX
        events = self._recorded.events[trace.lines : until]
        arrived_us = self._recorded.arrived_us[trace.lines : until]
        lines = [
            RestLine(event=(place, event.boot, at_us))
            for place, (event, at_us) in enumerate(zip(events, arrived_us, strict=False), start=trace.lines)
        ]
        lost, pauses = list(self._recorded.lost), list(self._recorded.paused)
        lines += [RestLine(lost=(place, now)) for place, now in _changed(self._lost, lost)]
        lines += [RestLine(pause=(place, now)) for place, now in _changed(self._pauses, pauses)]
        content = b"".join(of_events(events))

        def append_rest(content: bytes = b"".join(encoded(lines))) -> None:
            self._files[REST_FILE].append(content)
            self._lost, self._pauses = lost, pauses

        if lines:
            yield append_rest
        yield from self._append(trace, len(events), content)

    def _views(self) -> Iterable[Callable[[], None]]:
        """All of them anew where some were thinned out."""
        file, views, dropped = self._files[VIEWS_FILE], self._recorded.views, self._recorded.views_dropped
        if dropped == self._dropped:
            new = views[file.lines : file.lines + LINES_AT_ONCE_MAX]
            yield from self._append(file, len(new), b"".join(encoded(new)))
            return
        kept = list(views)
        line = next(iter(encoded([RestLine(dropped=dropped)])))

        def anew() -> None:
            replace(file.path, encoded(kept))
            self._files[REST_FILE].append(line)
            file.lines, self._dropped = len(kept), dropped

        yield anew

    def _append(self, file: _File, lines: int, content: bytes) -> Iterable[Callable[[], None]]:
        def write() -> None:
            file.append(content)
            file.lines += lines

        if lines:
            yield write


def _changed(before: Sequence[_T], now: Sequence[_T]) -> list[tuple[int, _T]]:
    pairs = itertools.zip_longest(before, now)
    return [(place, new) for place, (old, new) in enumerate(pairs) if new is not None and new != old]
