"""Takes away the segments at the beginning of the log that a snapshot made superfluous, one at a time.

Why it exists: a crash may come between any two of its steps, and of removals that were not synced any may survive it.
So the newest segment that goes is the first to be removed, durably: from then on a gap tells a start where the log
begins (`scanning.without_leftovers`), whichever of the others are still there. What fails here is no failure of the
log: the segments stay until the next time.
"""

from node.storage.files import FilePort
from node.storage.scanning import segment_name
from node.storage.starts import Starts


class Removal:
    """`first` is the number of the log's first segment. All but `want` is called by who writes the log."""

    def __init__(self, files: FilePort, starts: Starts, first: int) -> None:
        self._files = files
        self._starts = starts
        self._first = first
        self._going: list[int] = []
        self._wanted = 0
        self._looked_for = 0
        self._failed = False

    def want(self, index: int) -> None:
        """Nobody needs entries up to `index` any more. On any thread."""
        self._failed = False
        self._wanted = max(self._wanted, index)

    @property
    def due(self) -> bool:
        """Whether `step` has something to do."""
        return not self._failed and (bool(self._going) or self._wanted > self._looked_for)

    def step(self) -> None:
        """Remove one segment, durably, or find out which ones can go."""
        if not self._going:
            self._look()
            return
        try:
            self._files.remove(segment_name(self._going[-1]))
        except FileNotFoundError:
            pass  # removed before, and the folder could not be synced
        except OSError:
            self._failed = True
            return
        try:
            self._files.sync_folder()
        except OSError:
            self._failed = True
            return
        self._going.pop()

    def _look(self) -> None:
        self._looked_for = self._wanted
        first = self._starts.removable(self._looked_for, self._first)
        if first > self._first:
            self._going = list(range(self._first, first))
            self._first = first
            self._starts.removed(first)
