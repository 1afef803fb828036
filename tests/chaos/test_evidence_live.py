"""What is recorded is on the disk while the run goes on, and is judged though the tool was killed."""

import asyncio
import errno
import fcntl
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.checks.verdict import Evidence
from chaos.errors import NOT_EFFECTIVE, NOT_RECOVERED, UNSAFE, ChaosError
from chaos.evidence import live as live_module
from chaos.evidence.disk import Disk
from chaos.evidence.folder import RunFolder
from chaos.evidence.live import Live
from chaos.evidence.loading import load_run
from chaos.evidence.record import RunRecord
from chaos.journal import Header, UndoJournal
from chaos.model import Event, Lost, Pause, View
from chaos.run import outcome
from chaos.run.outcome import judged_again, write_down
from chaos.workload.history import History
from tests.chaos import sample_run
from tests.chaos.evidence import S, event, good, kill, read, view, write, writes_and_reads
from tests.chaos.local_cluster import local_cluster
from tests.chaos.raft_chaos import Tool

BEGAN = 1_700_000_000_000_000


class Recorded:
    """What a run has recorded so far."""

    def __init__(self) -> None:
        self.history = History()
        self.views: list[View] = []
        self.views_dropped = 0
        self.events: list[Event] = []
        self.arrived_us: list[int] = []
        self.lost: list[Lost] = []
        self.paused: list[Pause] = []

    def add(self, evidence: Evidence) -> None:
        for op in evidence.history:
            self.history.append(op)
        self.views += evidence.views
        self.events += evidence.events
        self.arrived_us += [one.at_us for one in evidence.events]
        self.lost += evidence.lost
        self.paused += evidence.pauses


def unfinished() -> RunRecord:
    return msgspec.structs.replace(
        sample_run.record(), verdicts=(), exit_code=70, finished=False, ended_us=0, began_wall_us=0
    )


@asynccontextmanager
async def kept_alive(
    folder: RunFolder, recorded: Recorded, record: Callable[[], RunRecord] = unfinished
) -> AsyncIterator[list[str]]:
    """The files are written while this is open; gives what was said."""
    said: list[str] = []
    live = Live(folder, recorded, record, said.append, disk := Disk())
    live.start()
    try:
        yield said
    finally:
        await stopped(live, disk)


async def stopped(live: Live, disk: Disk) -> frozenset[str]:
    on_disk = await live.stop()
    await disk.do(disk.end)
    return on_disk


async def until(whether: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not whether():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "chaos-runs", "partition", BEGAN)


def recorded_of(evidence: Evidence) -> Recorded:
    made = Recorded()
    made.add(evidence)
    return made


async def written(folder: RunFolder, evidence: Evidence, record: RunRecord | None = None) -> None:
    """As by a tool that was killed when all of it was on the disk."""
    async with kept_alive(folder, recorded_of(evidence), lambda: record or unfinished()):
        pass


RUN = good(
    events=tuple(
        msgspec.structs.replace(one, at_us=us, time_us=us)
        for one, us in ((event(1, "n1", "won", 3), 1 * S), (event(1, "n2", "leader", 3, leader="n1"), 2 * S))
    ),
    lost=(Lost("n2", 3, 1 * S, 2 * S),),
    pauses=(Pause(1 * S, 2 * S),),
)


async def test_what_is_new_is_on_the_disk_within_a_second(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    recorded, path = Recorded(), folder.path
    async with kept_alive(folder, recorded):
        await until((path / "run.json").exists)
        for number in (1, 2):
            recorded.add(RUN)
            await until(lambda n=number: lines(path / "history.ndjson") == n * len(RUN.history))  # type: ignore[misc]
            await until(lambda n=number: lines(path / "views.ndjson") == n * len(RUN.views))  # type: ignore[misc]
            await until(lambda n=number: lines(path / "trace.ndjson") == n * len(RUN.events))  # type: ignore[misc]


async def test_a_run_whose_tool_was_killed_is_read_back_as_far_as_it_came(folder: RunFolder) -> None:
    await written(folder, RUN)
    kept = load_run(folder.path)
    got, record = kept.evidence, kept.record
    assert (got.history, got.views, got.lost, got.pauses) == (RUN.history, RUN.views, RUN.lost, RUN.pauses)
    assert [(one.kind, one.at_us, one.boot) for one in got.events] == [
        ("won", 1 * S, "boot-n1"),
        ("leader", 2 * S, "boot-n2"),
    ]
    assert (got.ended_us, got.faults, record.faults) == (RUN.history[-1].done_us, record.faults, sample_run.faults())
    assert record.notes == (
        f"The tool was gone before this run ended: what it had recorded in the first {got.ended_us / 1e6:.1f} s was "
        "judged.",
    )


async def test_clocks_of_nodes_are_measured_again_from_their_samples(folder: RunFolder) -> None:
    hour = 3_600 * S
    run = msgspec.structs.replace(
        RUN,
        views=tuple(msgspec.structs.replace(one, time_us=one.asked_us + 500 + hour) for one in RUN.views),
        events=tuple(msgspec.structs.replace(one, time_us=one.time_us + hour) for one in RUN.events),
    )
    await written(folder, run)
    kept = load_run(folder.path)
    assert [one.at_us for one in kept.evidence.events] == [1 * S, 2 * S]
    assert kept.record.uncertainty_us == {"n1": 500, "n2": 500, "n3": 500}


async def test_events_of_which_nobody_knows_which_process_told_them_are_lost(folder: RunFolder) -> None:
    await written(folder, RUN)
    rest = folder.path / "rest.ndjson"
    rest.write_bytes(b"".join(line for line in rest.read_bytes().splitlines(True) if b'"event":[1,' not in line))
    kept = load_run(folder.path).evidence
    assert len(kept.events) == len(RUN.events) - 1
    assert [(lost.node, lost.events, lost.to_us) for lost in kept.lost[len(RUN.lost) :]] == [
        (RUN.events[1].node, 1, kept.ended_us)
    ]


@pytest.mark.parametrize("with_record", [True, False])
async def test_an_unfinished_run_of_another_system_is_judged_by_what_that_shows(
    folder: RunFolder, with_record: bool
) -> None:
    """An etcd does not show where its log ends: that is not a log that lost something."""
    record = msgspec.structs.replace(unfinished(), system="etcd", lacks=("log", "raft-log", "last-index"))
    views = tuple(
        msgspec.structs.replace(one, last_index=0, boot="b2" if one.asked_us > S else "b1") for one in RUN.views
    )
    await written(folder, msgspec.structs.replace(RUN, views=views), record)
    if not with_record:
        (folder.path / "run.json").unlink()
    kept = load_run(folder.path)
    assert "last-index" in kept.evidence.lacks
    failed = {one.check for one in judged_again(kept).verdicts if one.outcome == "fail"}
    assert "commit-never-goes-back" not in failed


async def test_what_only_the_record_and_the_samples_tell_is_read_back_of_an_unfinished_run(folder: RunFolder) -> None:
    """n1 alone tells its clock, half of whose answer's way is the uncertainty; the second fault was not over yet."""
    views = tuple(
        msgspec.structs.replace(one, time_us=one.asked_us + 500 if one.name == "n1" else None) for one in RUN.views
    )
    second = msgspec.structs.replace(kill(at=9.0), reverted_us=None)
    record = msgspec.structs.replace(
        unfinished(), faults=(kill(), second), recovered_us=(6 * S,), began_faults_us=5 * S
    )
    await written(folder, msgspec.structs.replace(RUN, views=views), record)
    kept = load_run(folder.path)
    assert kept.evidence.recovered_us == kept.record.recovered_us == (6 * S, None)
    assert kept.evidence.uncertainty_us == {"n1": 500}
    assert kept.record.uncertainty_us == {"n1": 500, "n2": None, "n3": None}
    assert kept.evidence.began_faults_us == 5 * S


async def test_of_a_run_that_was_killed_before_its_first_fault_all_is_of_before_it(folder: RunFolder) -> None:
    record = msgspec.structs.replace(unfinished(), faults=(), recovered_us=(), began_faults_us=0)
    await written(folder, RUN, record)
    got = load_run(folder.path).evidence
    assert got.began_faults_us == got.ended_us == RUN.history[-1].done_us


async def test_a_number_that_no_run_has_is_damage_and_named(folder: RunFolder) -> None:
    await written(folder, RUN)
    path = folder.path / "history.ndjson"
    with path.open("ab") as history:
        history.write(path.read_bytes().splitlines()[0].replace(b'"number":1', b'"number":9300000000000000000') + b"\n")
    with pytest.raises(ChaosError, match=rf"history.ndjson is damaged in line {len(RUN.history) + 1}"):
        load_run(folder.path)


@pytest.mark.parametrize("name", ["history.ndjson", "views.ndjson", "trace.ndjson", "rest.ndjson"])
async def test_a_torn_last_line_is_left_out_and_damage_before_it_is_named(folder: RunFolder, name: str) -> None:
    await written(folder, RUN)
    whole, path = load_run(folder.path).evidence, folder.path / name
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    torn = load_run(folder.path).evidence
    sizes = [(len(e.history), len(e.views), len(e.events), len(e.pauses)) for e in (whole, torn)]
    assert sum(sizes[0]) - sum(sizes[1]) == 1
    path.write_bytes(b"x" + content[1:])
    with pytest.raises(ChaosError, match=rf"{name} is damaged in line 1"):
        load_run(folder.path)


async def test_a_run_without_a_record_is_rebuilt_from_journal_and_samples(folder: RunFolder) -> None:
    await written(folder, RUN)
    UndoJournal(folder.undo_path, Header(run="r-1", target="the cluster", kind="kubernetes")).close()
    (folder.path / "run.json").unlink()
    record = load_run(folder.path.parent).record
    assert (record.run, record.target_title, record.target_kind) == ("r-1", "the cluster", "kubernetes")
    assert (record.voters, record.began_wall_us, record.finished) == (("n1", "n2", "n3"), BEGAN, False)


async def test_a_run_that_goes_on_is_not_judged(folder: RunFolder) -> None:
    await written(folder, RUN)
    journal = UndoJournal(folder.undo_path, Header(run="r-1", target="the cluster", kind="local"))
    with pytest.raises(ChaosError, match="still goes on"):
        load_run(folder.path)
    journal.close()
    load_run(folder.path)


STALE = (*writes_and_reads(10.0), read(3, 9.99, 9.995))
SILENT = (*writes_and_reads(5.0), *(write(50 + n, n / 10, n / 10 + 0.01, "fail", via="n2") for n in range(51, 100)))
"""From the fault on nobody acknowledges a write."""


@pytest.mark.parametrize(
    ("history", "code"), [(writes_and_reads(10.0), NOT_EFFECTIVE), (STALE, UNSAFE), (SILENT, NOT_RECOVERED)]
)
async def test_an_unfinished_run_shows_nothing_unless_something_failed(
    folder: RunFolder, history: tuple[object, ...], code: int
) -> None:
    record = msgspec.structs.replace(unfinished(), faults=(kill(),), recovered_us=(6 * S,), began_faults_us=5 * S)
    record = msgspec.structs.replace(record, recovery_limit_us=3 * S)
    await written(folder, msgspec.structs.replace(RUN, history=history), record)
    assert judged_again(load_run(folder.path)).exit_code == code


def test_what_is_torn_on_a_full_disk_is_taken_back_and_swallows_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def fills(descriptor: int, content: bytes) -> int:
        if len(content) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[:-2])

    file = live_module._File(tmp_path / "history.ndjson")
    file.append(b"the first line\n")
    with monkeypatch.context() as full:
        full.setattr(os, "write", fills)
        with pytest.raises(OSError, match="No space left"):
            file.append(b"the second line\n")
    file.append(b"the third line\n")
    assert file.path.read_bytes() == b"the first line\nthe third line\n"


async def test_no_event_is_on_the_disk_before_it_is_known_who_told_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would count as one that nobody kept."""
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    rest, trace = folder.path / "rest.ndjson", folder.path / "trace.ndjson"
    rest.symlink_to("/dev/full")
    async with kept_alive(folder, recorded_of(RUN)) as said:
        await until(lambda: bool(said))
        assert lines(trace) == 0
        rest.unlink()
        await until(lambda: lines(trace) == len(RUN.events))
    got = load_run(folder.path).evidence
    assert ([one.boot for one in got.events], got.lost) == (["boot-n1", "boot-n2"], RUN.lost)


async def test_so_many_lines_of_each_file_are_encoded_at_once_and_no_more(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "LINES_AT_ONCE_MAX", 7)
    appended: list[int] = []
    real = live_module._File.append

    def noted(file: Any, content: bytes) -> None:
        appended.append(content.count(b"\n"))
        real(file, content)

    monkeypatch.setattr(live_module._File, "append", noted)
    many = tuple(msgspec.structs.replace(RUN.events[0], seq=seq) for seq in range(1, 30))
    await written(folder, msgspec.structs.replace(RUN, events=many, lost=(), pauses=()))
    assert max(appended) == 7
    got = load_run(folder.path).evidence
    assert (len(got.history), len(got.views), len(got.events)) == (len(RUN.history), len(RUN.views), 29)


async def test_samples_that_were_thinned_out_and_not_written_anew_are_not_taken_for_written(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as before, and others."""
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    recorded, disk = recorded_of(RUN), Disk()
    live = Live(folder, recorded, unfinished, print, disk)
    live.start()
    await until(lambda: lines(folder.path / "views.ndjson") == len(RUN.views))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(live_module, "replace", full)
    recorded.views, recorded.views_dropped = [view("n1", at) for at in range(len(RUN.views))], 150
    assert await stopped(live, disk) == {"history.ndjson", "trace.ndjson"}


async def test_a_fault_that_goes_on_is_on_the_disk_as_it_goes(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its span is one object that is filled in: what was written is told from what it is now."""
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    span = msgspec.structs.replace(kill(), reverted_us=None)
    record = msgspec.structs.replace(unfinished(), faults=(span,))

    def reverted_us() -> int | None:
        path = folder.path / "run.json"
        return msgspec.json.decode(path.read_bytes(), type=RunRecord).faults[0].reverted_us if path.exists() else -1

    async with kept_alive(folder, Recorded(), lambda: record):
        await until(lambda: reverted_us() is None)
        span.reverted_us = 6 * S
        await until(lambda: reverted_us() == 6 * S)


async def test_a_disk_that_takes_nothing_is_told_once_and_all_is_written_when_it_does(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    evidence = sample_run.evidence()
    recorded, path = recorded_of(evidence), folder.path / "history.ndjson"
    path.symlink_to("/dev/full")
    said: list[str] = []
    live = Live(folder, recorded, unfinished, said.append, disk := Disk())
    live.start()
    await until(lambda: bool(said))
    on_disk = await stopped(live, disk)
    assert said == ["what is recorded cannot be put on the disk, and is kept in memory: No space left on device"]
    assert "history.ndjson" not in on_disk
    folder.write_evidence(evidence, on_disk)
    folder.write_run(sample_run.record())
    assert load_run(folder.path).evidence == evidence


async def test_a_disk_that_hangs_is_told_and_its_end_is_not_waited_for(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hung is written, when it is, before what is written in the end and never over it."""
    for name, seconds in (("EVERY_SECONDS", 0.01), ("SILENT_SECONDS", 0.05), ("LAST_SECONDS_MAX", 0.1)):
        monkeypatch.setattr(live_module, name, seconds)
    monkeypatch.setattr(outcome, "DISK_SECONDS_MAX", 0.1)
    said, disk, path = list[str](), Disk(), folder.path / "history.ndjson"
    os.mkfifo(path)
    live = Live(folder, recorded_of(RUN), unfinished, said.append, disk)
    live.start()
    await until(lambda: bool(said))
    assert said[0].endswith("the disk has not answered for 0.05 s")
    on_disk = await live.stop()
    assert "history.ndjson" not in on_disk
    record, failed = await write_down(disk, folder, unfinished(), RUN, None, False, on_disk)
    assert "the disk has not answered for 0.1 s" in failed
    assert record.verdicts
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # the disk answers again
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
    await disk.do(disk.end)
    os.close(reader)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert load_run(folder.path).record == record
    assert load_run(folder.path).evidence.history == RUN.history


async def test_what_came_while_the_disk_was_full_is_appended_when_it_has_room_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    recorded, path = recorded_of(RUN), folder.path / "history.ndjson"
    path.symlink_to("/dev/full")
    async with kept_alive(folder, recorded) as said:
        await until(lambda: bool(said))
        path.unlink()
        await until(lambda: lines(path) == len(RUN.history))
    assert len(said) == 1
    assert load_run(folder.path).evidence.history == RUN.history


async def test_samples_that_were_thinned_out_are_gone_from_the_disk_too(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "EVERY_SECONDS", 0.01)
    recorded, path = recorded_of(RUN), folder.path / "views.ndjson"
    async with kept_alive(folder, recorded):
        await until(lambda: lines(path) == len(RUN.views))
        recorded.views, recorded.views_dropped = [*RUN.views[::2], view("n1", 20.0)], 150
        await until(lambda: lines(path) == len(RUN.views) // 2 + 1)
    got = load_run(folder.path).evidence
    assert (list(got.views), got.views_dropped) == (recorded.views, 150)


async def test_a_run_that_ended_has_its_evidence_in_one_place(folder: RunFolder) -> None:
    evidence = sample_run.evidence()
    live = Live(folder, recorded_of(evidence), unfinished, print, disk := Disk())
    live.start()
    on_disk = await stopped(live, disk)
    assert on_disk == {"history.ndjson", "views.ndjson", "trace.ndjson"}
    folder.write_evidence(evidence, on_disk)
    folder.write_run(sample_run.record())
    assert not (folder.path / "rest.ndjson").exists()
    assert load_run(folder.path).evidence == evidence


@pytest.mark.slowest
def test_what_a_killed_tool_had_recorded_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local_cluster(tmp_path) as cluster:
        tool = Tool(cluster, tmp_path / "chaos-runs", capsys)
        with tool.process("partition", "--yes", "--duration", "60s") as running:
            running.until_says("proven")
            (made,) = (path for path in tool.runs.iterdir() if not path.is_symlink())
            before = lines(made / "history.ndjson")
            asyncio.run(until(lambda: lines(made / "history.ndjson") > before + 100))
            assert tool("report", str(made)).code == 70, "it goes on"
            running.kill_with_its_switch()  # or it is being healed, and not judged meanwhile
        said = tool("report", str(made), "-o", "json")
        assert said.code == said.json["exit_code"] == 3, said.err
        outcomes = {verdict["check"]: verdict["outcome"] for verdict in said.json["verdicts"]}
        assert outcomes["no-stale-read"] == outcomes["minority-acknowledges-nothing"] == "pass"
        assert outcomes["one-leader-a-term"] == outcomes["enough-writes"] == "pass"
        assert outcomes["logs-agree"] == outcomes["acknowledged-writes-survive"] == "unknown"
        assert said.json["notes"][-1].startswith("The tool was gone before this run ended")
        assert said.json["faults"][0]["effective_us"]
        assert json.loads((made / "run.json").read_bytes())["finished"] is False
        assert (made / "report.html").exists()
        assert tool("heal").code == 0


FILE_BYTES_MAX = 64 * 1024
"""The history of a run is longer, its undo journal shorter."""


@pytest.mark.longest
def test_a_disk_that_gets_full_ends_no_healing_and_hides_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with local_cluster(tmp_path) as cluster:
        tool = Tool(cluster, tmp_path / "chaos-runs", capsys)
        command = ["kill-leader", "--mode", "sigkill", "--yes", "--duration", "500ms", "--json", *tool.where()]
        ended = subprocess.run(
            [sys.executable, "-m", "chaos.cli", *command],
            capture_output=True,
            text=True,
            timeout=100,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX)),
        )
        assert "what is recorded cannot be put on the disk, and is kept in memory: File too large" in ended.stderr
        said = json.loads(ended.stdout)
        assert ended.returncode == said["exit_code"] == 70, ended.stderr
        assert "fail" not in {verdict["outcome"] for verdict in said["verdicts"]}
        assert any("history.ndjson cannot be written" in note for note in said["notes"])
        assert tool.status()["healthy"]
        assert tool("heal").code == 0
