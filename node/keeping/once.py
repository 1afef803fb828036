"""A restore that is done once for each member, however often its pod begins anew.

Why it exists: an init step runs whenever its pod starts, also years later on an empty disk in the place of a lost one.
To restore that would bring a voter back that has forgotten its votes, and lose what was acknowledged. So each member
has one chance, noted beside the backup, where a lost disk does not take the note with it; the data folder holds the
number of the attempt that has it. It must not restore anything itself.

    FOLDER/restored             the token, the attempt's number, and `made` once the folder is whole
    BACKUP.restored-TOKEN-NAME  the number of the attempt that may restore NAME
"""

import os
import re
import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import msgspec

from node.keeping.port import Place, PlaceError

MARK = "restored"
TOKEN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""It is a part of a file's name."""
_STAYS = {MARK, f"{MARK}.part", "lock", "lost+found"}


class Chance(Enum):
    """What a member may do now."""

    RESTORE = "restore"
    """Nobody has, or this attempt began and did not end: the folder holds nothing of worth."""
    DONE = "done"
    """Its folder is of this restore, and whatever the node has done since."""
    GONE = "gone"
    """It was restored once, and this is another disk."""


class _Mark(msgspec.Struct, frozen=True):
    token: str
    attempt: str
    made: bool = False


class Once:
    """The restore of one member. `attempt`: a number that no other attempt has."""

    def __init__(self, place: Place, backup: str, folder: Path, name: str, token: str, attempt: str) -> None:
        self._place, self._note = place, f"{backup}.{MARK}-{token}-{name}"
        self._folder, self._token, self._attempt = folder, token, attempt

    @property
    def note(self) -> str:
        """What people may remove who know that the member has never run."""
        return self._place.shown(self._note)

    def chance(self, has_run: Callable[[], bool]) -> Chance:
        """What may be done. Raises PlaceError where the folder holds what no such restore made, or is another's.
        `has_run`: whether a node may have promised anything on what lies there; asked before it is removed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            mark, names = self._read(), {path.name for path in self._folder.iterdir()} - _STAYS
            if mark is None and names:
                held = f"{self._folder} holds data of its own (such as {min(names)}), which no restore replaces"
                raise PlaceError(f"{held}: take restore.from away to go on with it, or empty it first")
            if mark is not None and mark.token != self._token:
                was = f"{self._folder} was restored with the token {mark.token}, not {self._token}"
                raise PlaceError(f"{was}: keep that token, or empty the folder first")
            if mark is not None and mark.made:
                return Chance.DONE
            if mark is None:
                mark = _Mark(self._token, self._attempt)
                self._write(mark)
            if self._place.note(self._note, mark.attempt) != mark.attempt:
                return Chance.DONE if names else Chance.GONE  # a node that was let in anew has begun on this disk
            if names and has_run():
                held = f"{self._folder} was to be restored, and a node has run on it instead"
                raise PlaceError(f"{held}: take restore.from away to go on with it, or empty it first")
            self._clear(names)
        except OSError as error:
            raise PlaceError(f"cannot use {self._folder} ({error.strerror or error})") from error
        return Chance.RESTORE

    def made(self) -> None:
        """The folder is whole and durable."""
        mark = self._read()
        if mark is not None:
            self._write(msgspec.structs.replace(mark, made=True))

    def _read(self) -> _Mark | None:
        try:
            return msgspec.json.decode((self._folder / MARK).read_bytes(), type=_Mark)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, RecursionError) as error:
            raise PlaceError(f"{self._folder / MARK} cannot be read ({error}): remove it if you know why") from error

    def _write(self, mark: _Mark) -> None:
        part = self._folder / f"{MARK}.part"
        with part.open("wb") as out:
            out.write(msgspec.json.encode(mark))
            out.flush()
            os.fsync(out.fileno())
        part.rename(self._folder / MARK)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _clear(self, names: set[str]) -> None:
        """What an attempt left that was broken off."""
        for name in names:
            path = self._folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
