"""Puts a log and a snapshot that were made beside a node's own in their place; what was there is kept.

Why it exists: the files of a folder cannot be exchanged in one step, and a start in the middle of it must neither find
a mixture nor an empty folder. So the new files are made in a folder of their own, which gets the name NEW once all of
them are durable: from then on a start refuses, and whoever runs the command again finishes it. It must not know what is
in the files.

    force-new.tmp/            is being made: means nothing
    force-new/                all of it is durable: to be put in place
    before-force-new.tmp/     what was there is being moved here
    before-force-new-1/       all that was there before; nothing reads it
"""

import contextlib
import os
import shutil

from node import cures
from node.storage.errors import StorageError, from_os_error
from node.storage.files import TEMPORARY_SUFFIX, FilePort, OsFiles, prepare_folder

NEW = "force-new"
KEPT = "before-force-new"
_MAKING, _KEEPING = NEW + TEMPORARY_SUFFIX, KEPT + TEMPORARY_SUFFIX
_OURS = ("segment-", "snapshot-")


def refuse_half_swapped(files: FilePort) -> None:
    """Raises `StorageError` where an exchange was begun and not finished."""
    try:
        begun = NEW in files.names()
    except OSError as error:
        raise from_os_error(error, "read the folder", files.folder) from error
    if begun:
        what = f"{files.folder}/{NEW}: raft-node members force-new did not come to its end here"
        raise StorageError(f"{what}: {cures.FINISH_FORCE_NEW}", file=files.folder)


def begun(files: OsFiles) -> bool:
    """Whether there is an exchange to be finished."""
    return NEW in files.names()


def making(files: OsFiles) -> OsFiles:
    """The folder beside, empty, that the new files are to be made in. The lock of `files` is held."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(os.path.join(files.folder, _MAKING))
    return prepare_folder(os.path.join(files.folder, _MAKING))


def swap(files: OsFiles) -> str:
    """The new files are durable: put them in place. The folder in which those before are kept."""
    prepare_folder(os.path.join(files.folder, _KEEPING))
    files.rename(_MAKING, NEW)
    files.sync_folder()
    return finish(files)


def finish(files: OsFiles) -> str:
    """Go on from wherever an exchange was broken off."""
    kept = _keep(files) if _KEEPING in files.names() else ""
    new = OsFiles(os.path.join(files.folder, NEW))
    for name in new.names():
        files.rename(f"{NEW}/{name}", name)
    files.sync_folder()
    os.rmdir(new.folder)
    files.sync_folder()
    return f"{files.folder}/{kept or _newest_kept(files)}"


def _keep(files: OsFiles) -> str:
    for name in files.names():
        if name.startswith(_OURS):
            files.rename(name, f"{_KEEPING}/{name}")
    OsFiles(os.path.join(files.folder, _KEEPING)).sync_folder()
    files.sync_folder()
    kept = f"{KEPT}-{_kept_numbers(files)[-1] + 1}"
    files.rename(_KEEPING, kept)
    files.sync_folder()
    return kept


def _newest_kept(files: OsFiles) -> str:
    return f"{KEPT}-{_kept_numbers(files)[-1]}"


def _kept_numbers(files: OsFiles) -> list[int]:
    """Of the folders that earlier exchanges left, ascending, after a 0."""
    numbers = [name.removeprefix(f"{KEPT}-") for name in files.names() if name.startswith(f"{KEPT}-")]
    return sorted([0, *(int(number) for number in numbers if number.isdecimal())])
