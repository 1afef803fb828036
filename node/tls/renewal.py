"""The contexts in force, made anew when their files change: looked at by a thread, taken over by the loop.

Why it exists: certificates are renewed every few weeks or hours, and neither a restart nor a slow disk may come of it.
A look is a few `stat` calls each LOOK_SECONDS; only what changed is read. What is broken, or not valid now, is told and
leaves in force what there is; it is looked at again when a file changes once more, or when its time may have come.
It must not end a connection: those that stand were judged by what was in force when they came.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from node.tls.counts import TlsCounts
from node.tls.files import Contexts, TlsError, TlsFiles, contexts

LOOK_SECONDS = 2.0


class Renewing:
    """Contexts for one purpose ("client" or "peer"). `wall_s`: seconds since the epoch. Reads the files at once, on the
    caller's thread, and raises TlsError; an own certificate that is not valid now is shown all the same, and told: a
    node that is started must be there when its renewal comes."""

    def __init__(
        self,
        purpose: str,
        files: TlsFiles,
        counts: TlsCounts,
        wall_s: Callable[[], float],
        *,
        protocols: tuple[str, ...] = (),
        dials: bool = False,
    ) -> None:
        self._purpose, self._files, self._counts, self._wall_s = purpose, files, counts, wall_s
        self._protocols, self._dials = protocols, dials
        self._stamps = files.stamps()
        self._retry_at_s = 0.0
        self.now = self._made()
        """In force."""
        wrong = _out_of_time(files, self.now, wall_s())
        counts.in_force(purpose, self.now.not_before_s, self.now.not_after_s, renewed=False)
        if wrong:
            counts.not_taken(purpose, wrong)

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the watching thread: take what is new."""
        stamps = self._files.stamps()  # before the files are read: what is replaced meanwhile is looked at again
        early = self._retry_at_s and self._wall_s() >= self._retry_at_s
        if stamps == self._stamps and not early:
            return
        self._stamps, self._retry_at_s = stamps, 0.0
        try:
            made = self._made()
            wrong = _out_of_time(self._files, made, self._wall_s())
            if wrong:
                self._retry_at_s = float(made.not_before_s) if made.not_before_s > self._wall_s() else 0.0
                raise TlsError(wrong)
        except TlsError as error:
            loop.call_soon_threadsafe(self._counts.not_taken, self._purpose, str(error))
        else:
            loop.call_soon_threadsafe(self._take, made)

    def _made(self) -> Contexts:
        return contexts(self._files, self._protocols, dials=self._dials)

    def _take(self, made: Contexts) -> None:
        self.now = made
        self._counts.in_force(self._purpose, made.not_before_s, made.not_after_s, renewed=True)


class Looked(Protocol):
    """What is looked at from time to time, on the watching thread."""

    def look(self, loop: asyncio.AbstractEventLoop) -> None: ...


class Watcher:
    """The thread that looks. `stop` does not wait for it: a disk may hold it for ever."""

    def __init__(self, watched: Sequence[Looked], loop: asyncio.AbstractEventLoop) -> None:
        self._watched, self._loop = watched, loop
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="renewed files", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants them any more
            while not self._ended.wait(LOOK_SECONDS):
                for each in self._watched:
                    each.look(self._loop)


def _out_of_time(files: TlsFiles, made: Contexts, now_s: float) -> str:
    if made.not_after_s <= now_s:
        return f"the certificate in {files.cert} has expired: renew it"
    if made.not_before_s > now_s:
        return f"the certificate in {files.cert} is not valid yet: wait, or set the clock"
    return ""
