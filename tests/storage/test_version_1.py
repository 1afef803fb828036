"""A folder that the first version of the format wrote (recorded in `version_1`) still opens, and goes on."""

from pathlib import Path

from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Member
from node.simulation.disk import SimulatedDisk
from node.storage.frames import decode_segment_header
from node.storage.inspect import verify
from tests.storage.logs import CLUSTER_ID, FIRST, INCARNATION, NAME, Log, append, command, rebase

TWO = Configuration((Member(NAME, INCARNATION), Member("node-2", "b" * 32)))
ENTRIES = (
    FIRST,
    *(command(index, 1, b"version 1, %d" % index) for index in range(2, 8)),
    command(8, 2, b"instead"),
    Entry(9, 2, EntryKind.CONFIGURATION, TWO.encode(), 1_700_000_000_000_009),
)


def recorded() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.load({path.name: path.read_bytes() for path in (Path(__file__).parent / "version_1").glob("*.wal")})
    return disk


def _versions(disk: SimulatedDisk) -> list[int]:
    return [decode_segment_header(data).version for name, data in disk.content().items() if name.endswith(".wal")]


def test_what_it_holds_is_read() -> None:
    disk = recorded()
    assert set(_versions(disk)) == {1}
    assert verify(disk).damage == ""
    log = Log(disk, segment_bytes=1024)
    assert log.recovered.entries == ENTRIES
    assert log.recovered.hard_state == HardState(2, "", 9)
    assert log.recovered.cluster_id == CLUSTER_ID
    log.close()


def test_it_goes_on_in_its_last_segment_and_then_in_the_present_format() -> None:
    disk = recorded()
    log = Log(disk, segment_bytes=1024)
    for index in range(10, 20):
        log.write(append(index, command(index, 2, b"new" * 20)))
    log.close()
    versions = _versions(disk)
    assert versions == sorted(versions)
    assert (versions[0], versions[-1]) == (1, 2)
    log = Log(disk, segment_bytes=1024)
    assert log.recovered.entries[: len(ENTRIES)] == ENTRIES
    assert [entry.index for entry in log.recovered.entries] == list(range(1, 20))
    log.close()


def test_a_base_is_never_written_where_the_first_version_would_pass_over_it() -> None:
    disk = recorded()
    log = Log(disk, segment_bytes=1024)
    before = len(_versions(disk))
    log.write(rebase(1, Base(30, 2, 0, TWO, CLUSTER_ID), state=HardState(2, "", 30)))
    log.close()
    assert _versions(disk) == [1] * before + [2]
