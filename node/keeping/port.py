"""A place where backups are kept: what every kind of it can do.

Why it exists: a folder and a bucket differ in all but this, and whoever takes, restores or removes a backup asks no
further. Only these methods touch the storage; every one raises `PlaceError` where it cannot be done.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class PlaceError(Exception):
    """What failed, where, and why, in one sentence without its full stop."""


class Place(Protocol):
    """Names are of files directly in it."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A new file to write what shall be kept, empty and open to nobody else; it is gone afterwards."""

    def keep(self, file: Path, name: str) -> None:
        """What is in `file`, one of `scratch`, under that name, as a whole or not at all, and durable."""

    def names(self) -> list[str]:
        """Of all files directly in it."""

    def remove(self, name: str) -> None:
        """One that is not there is gone already."""

    def fetch(self, name: str, to: Path) -> None:
        """A copy of that file; `to` is not there yet."""

    def note(self, name: str, text: str) -> str:
        """Write a short text under a name, if there is none; the text that is there then. Of many who do so at once,
        all are given the same."""

    def shown(self, name: str) -> str:
        """How people name a file in it."""
