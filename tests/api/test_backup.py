"""`GET /backup`: the file as it is, whole or visibly not, one at a time, and nothing held afterwards."""

import asyncio
import random
from collections.abc import Callable

import aiohttp
import pytest

from node.api.backup import PIECE_BYTES
from node.raft.types import Base, SnapshotInfo
from node.runtime.backing_up import BackingUp, Backup
from node.runtime.ports import ReadFailed
from tests.api.double import ScriptedBackup, client_of, serving

FILE = random.Random(5).randbytes(3 * PIECE_BYTES + 11)


async def test_the_file_comes_whole_in_bounded_pieces_with_its_length_and_a_name() -> None:
    async with serving() as server, client_of(server) as http:
        backup = server.node.backup_file = ScriptedBackup(FILE)
        async with http.get("/backup") as answer:
            assert (answer.status, await answer.read() == FILE) == (200, True)
            assert answer.headers["Content-Length"] == str(len(FILE))
            assert answer.headers["Content-Disposition"] == 'attachment; filename="raft-cccccccc-7.snap"'
        assert (backup.closed, backup.longest) == (1, PIECE_BYTES)


async def test_one_that_cannot_be_read_to_its_end_is_broken_off() -> None:
    async with serving() as server, client_of(server) as http:
        backup = server.node.backup_file = ScriptedBackup(FILE)
        backup.broken_at = PIECE_BYTES
        with pytest.raises(aiohttp.ClientError):
            async with http.get("/backup") as answer:
                await answer.read()
        assert backup.closed == 1


async def test_a_client_that_goes_away_holds_nothing() -> None:
    async with serving() as server, client_of(server) as http:
        backup = server.node.backup_file = ScriptedBackup(bytes(64 * 1024 * 1024))
        async with http.get("/backup") as answer:
            await answer.content.readany()
            answer.close()
        async with asyncio.timeout(10):
            while not backup.closed:  # noqa: ASYNC110 - the server sees the end when it writes
                await asyncio.sleep(0.01)


async def test_why_there_is_none_is_said_as_for_any_read() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.backup_file = ReadFailed("no-leader", "no leader is known")
        async with http.get("/backup") as answer:
            body = await answer.json()
            assert (answer.status, body["error"], body["message"]) == (503, "no-leader", "no leader is known")
            assert answer.headers["Retry-After"] == "1"
        async with http.get("/backup?x=1") as answer:
            assert answer.status == 400
        async with http.head("/backup") as answer:
            assert answer.status == 405


class Disk:
    """What `BackingUp` asks of shell and snapshots, answered when a test says so."""

    def __init__(self) -> None:
        self.info = SnapshotInfo(Base(7), 5, 1, 0)
        self.wanted: list[Callable[[SnapshotInfo | None, str], None]] = []
        self.forgotten = 0
        self.held = 0

    def want_snapshot(self, done: Callable[[SnapshotInfo | None, str], None]) -> Callable[[], None]:
        self.wanted.append(done)

        def forget() -> None:
            self.forgotten += 1

        return forget

    def hold(self, _info: SnapshotInfo) -> Callable[[], None]:
        self.held += 1

        def let_go() -> None:
            self.held -= 1

        return let_go

    def read(self, _info: SnapshotInfo, offset: int, bytes_max: int, done: Callable[[bytes], None]) -> None:
        asyncio.get_running_loop().call_soon(done, b"state"[offset : offset + bytes_max])


async def _read(timeout_us: int | None) -> ReadFailed | None:
    return None


async def test_there_is_one_at_a_time_and_each_end_makes_room_for_the_next() -> None:
    disk = Disk()
    backing_up = BackingUp(disk, disk)  # type: ignore[arg-type]
    first = asyncio.create_task(backing_up.begin(_read))
    await asyncio.sleep(0)
    second = await backing_up.begin(_read)
    assert isinstance(second, ReadFailed)
    assert "one at a time" in second.reason
    while not disk.wanted:  # noqa: ASYNC110
        await asyncio.sleep(0)
    disk.wanted.pop()(disk.info, "")
    backup = await first
    assert isinstance(backup, Backup)
    assert (await backup.read(1, 3), disk.held) == (b"tat", 1)
    assert isinstance(await backing_up.begin(_read), ReadFailed), "as long as it is read"
    backup.close()
    backup.close()
    assert disk.held == 0

    failing = asyncio.create_task(backing_up.begin(_read))
    await asyncio.sleep(0)
    disk.wanted.pop()(None, "the disk is full")
    failed = await failing
    assert isinstance(failed, ReadFailed)
    assert failed.reason == "the disk is full"

    async def no_leader(_timeout_us: int | None) -> ReadFailed | None:
        return ReadFailed("no-leader", "no leader is known")

    assert await backing_up.begin(no_leader) == ReadFailed("no-leader", "no leader is known")
    assert disk.wanted == [], "no snapshot is taken for nothing"

    given_up = asyncio.create_task(backing_up.begin(_read))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert disk.forgotten == 3
    last = asyncio.create_task(backing_up.begin(_read))
    await asyncio.sleep(0)
    disk.wanted.pop()(disk.info, "")
    assert isinstance(await last, Backup)


async def test_a_snapshot_that_never_comes_is_waited_for_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.runtime.backing_up.TAKING_SECONDS_MAX", 0.01)
    disk = Disk()
    failed = await BackingUp(disk, disk).begin(_read)  # type: ignore[arg-type]
    assert isinstance(failed, ReadFailed)
    assert (failed.code, disk.forgotten) == ("timeout", 1)


async def test_a_disk_that_falls_silent_ends_the_backup_and_lets_the_next_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.runtime.backing_up.READING_SECONDS_MAX", 0.01)
    disk = Disk()
    backing_up = BackingUp(disk, disk)  # type: ignore[arg-type]
    begun = asyncio.create_task(backing_up.begin(_read))
    await asyncio.sleep(0)
    disk.wanted.pop()(disk.info, "")
    backup = await begun
    assert isinstance(backup, Backup)
    monkeypatch.setattr(disk, "read", lambda *_: None)
    assert await backup.read(0, 3) == b""
    backup.close()
    assert disk.held == 0
