"""Backups: a file that is read as a whole, and a new cluster that begins with its state.

Why it exists: a backup is the snapshot file of some node, and the folders that are made of it are for nodes that do not
run: work for commands, which as recovering.py may know every concrete class. The new cluster has another id and its
members other disks, so nobody of the old one can join it. Revisions, indexes and terms go on. It must not talk to any
node.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from node import cures
from node.raft.types import Configuration, Member, MemberAddress, SnapshotInfo
from node.settings.values import Seed
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.storage.errors import StorageError, from_os_error
from node.storage.files import OsFiles, prepare_folder
from node.storage.founding import disk_number, found, new_base, require_empty
from node.storage.opening import lock
from node.storage.recovery import survey
from node.storage.snapshot_files import SnapshotFile
from node.trailer import length_before

T = TypeVar("T")


class Backup(NamedTuple):
    """A state that was read as a whole: which snapshot it is, who made it, and what is in it."""

    info: SnapshotInfo
    made_by: str
    revision: int
    keys: int


class Made(NamedTuple):
    """A folder of a new cluster. `state`: what it begins with; `info`: the same under the name of the new cluster."""

    state: Backup
    info: SnapshotInfo


def read_backup(file: Path) -> Backup:
    """Read all of it, and load its state. Raises `StorageError` where it is not whole, or holds what this version does
    not know."""
    opened, store = _open(file), KeyValueStore()
    for _ in _checked(opened, store, file):
        pass
    return Backup(opened.info, opened.header.made_by, store.revision, store.key_count)


def restore(file: Path, folder: Path, name: str, members: Sequence[Seed], token: str) -> Made:
    """Make the folder of `name`, one of `members`, for a new cluster with the state of a backup. The others' folders,
    made of the same file, members and token, belong to the same one. Raises `StorageError`, and then the folder is as
    it was, or none that a node would start on."""
    opened, store = _open(file), KeyValueStore()
    before = opened.header.base
    configuration = _configuration(members, _identity(file), token)
    member = next(member for member in configuration.voters if member.name == name)
    files = _made(folder)
    lock(files)
    try:
        require_empty(files)
        made = found(files, member, new_base(before, configuration), before.term, _checked(opened, store, file))
    finally:
        files.unlock()
    return Made(Backup(opened.info, opened.header.made_by, store.revision, store.key_count), made)


def has_run(folder: Path, name: str) -> bool:
    """Whether a node may have promised anything there: its log holds more than a folder is made with, or cannot be read
    as a whole. Where there is no log none has."""
    try:
        found = survey(OsFiles(folder), name)
    except (OSError, StorageError):
        return True
    if found is None:
        return False
    log = found.recovered
    return bool(log.entries or log.hard_state.vote) or log.hard_state.term > log.base.term


def _made(folder: Path) -> OsFiles:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, "make the folder", str(folder.parent)) from error
    return prepare_folder(folder)


def _configuration(members: Sequence[Seed], origin: str, token: str) -> Configuration:
    """Every member votes. Members and addresses are a part of what the disks' numbers follow from. Of a name alone the
    nodes' settings, or a registry, say where it is."""
    ordered = sorted(members, key=lambda seed: seed.name)
    facts = (origin, token, *map(str, ordered))
    addresses = tuple(MemberAddress(seed.name, seed.host, seed.port) for seed in ordered if seed.host)
    voters = tuple(Member(seed.name, disk_number(seed.name, *facts)) for seed in ordered)
    return Configuration(voters, addresses=addresses)


def _identity(file: Path) -> str:
    """What tells this backup from every other; all of it was read."""
    info = _reading(file, _open(file).verify)
    base = info.base
    return f"backup {base.cluster_id} {base.index} {base.term} {info.size_bytes} {info.crc:08x}"


def _open(file: Path) -> SnapshotFile:
    """With or without what etcd's tools need to follow it."""
    files, name = OsFiles(file.parent), file.name

    def opened() -> SnapshotFile:
        size = length_before(lambda offset, most: files.read_range(name, offset, most), files.size(name))
        return SnapshotFile(files, name, cures.OTHER_BACKUP, size)

    return _reading(file, opened)


def _checked(opened: SnapshotFile, store: KeyValueStore, file: Path) -> Iterator[bytes]:
    """The chunks of the file one by one; with the last one `store` has their state."""
    job = store.begin_restore()
    try:
        while (chunk := _reading(file, opened.chunk)) is not None:
            job.feed(chunk)
            while not job.run(EVERYTHING):
                pass
            yield chunk
        job.finish()
    except ValueError as error:
        what = f"{file} holds a state that this version cannot take over ({error})"
        raise StorageError(f"{what}: {cures.OTHER_BACKUP}", file=str(file)) from error
    finally:
        job.close()


def _reading(file: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as error:
        raise from_os_error(error, "read", str(file)) from error
