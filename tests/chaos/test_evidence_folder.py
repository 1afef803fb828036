"""The folder of a run: what is written can be read back and judged again; damage is told in a sentence."""

import json
from pathlib import Path

import msgspec
import pytest

from chaos.errors import ChaosError, Usage
from chaos.evidence.folder import RunFolder, reopen
from chaos.evidence.loading import load_run
from node.observe.events import TraceEvent, to_line
from tests.chaos import sample_run

BEGAN = 1_700_000_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A whole run, written."""
    made = RunFolder(tmp_path / "chaos-runs", "kill-leader", BEGAN)
    made.write_evidence(sample_run.evidence())
    made.write_run(sample_run.record())
    made.write_report("<!doctype html>")
    return made


def test_a_run_is_read_back_as_it_was_recorded(folder: RunFolder) -> None:
    kept = load_run(folder.path)
    assert kept.record == sample_run.record()
    assert kept.evidence == sample_run.evidence()


def test_an_event_keeps_how_far_its_time_may_be_off_and_who_told_it(tmp_path: Path) -> None:
    evidence = sample_run.evidence()
    events = tuple(
        msgspec.structs.replace(one, boot=f"boot-{number}", off_us=70 + number)
        for number, one in enumerate(evidence.events)
    )
    made = RunFolder(tmp_path / "chaos-runs", "kill-leader", BEGAN)
    made.write_evidence(msgspec.structs.replace(evidence, events=events))
    made.write_run(sample_run.record())
    assert load_run(made.path).evidence.events == events


def test_a_folder_is_named_after_time_and_name_and_the_newest_is_linked(folder: RunFolder) -> None:
    out = folder.path.parent
    assert folder.path.name == "20231114T221320Z-kill-leader"
    assert (out / "latest").resolve() == folder.path
    second = RunFolder(out, "kill-leader", BEGAN)
    assert second.path.name == "20231114T221320Z-kill-leader-2"
    assert (out / "latest").resolve() == folder.path, "a run that wrote nothing yet is not the latest"
    second.write_run(sample_run.record())
    assert (out / "latest").resolve() == second.path


def test_a_run_is_found_by_its_folder_its_file_and_the_folder_of_runs(folder: RunFolder) -> None:
    for path in (folder.path, folder.path / "run.json", folder.path.parent, folder.path.parent / "latest"):
        assert load_run(path).record.run == sample_run.RUN
        assert reopen(path).path == folder.path
    with pytest.raises(Usage, match="holds no run"):
        load_run(folder.path / "nothing")


def test_the_trace_is_in_the_schema_of_the_nodes_and_nothing_else(folder: RunFolder) -> None:
    lines = (folder.path / "trace.ndjson").read_bytes().splitlines()
    assert len(lines) == len(sample_run.events())
    for line in lines:
        assert to_line(msgspec.json.decode(line, type=TraceEvent, strict=True)) == line
        assert "at_us" not in json.loads(line)


@pytest.mark.parametrize("name", ["run.json", "evidence.json", "history.ndjson", "trace.ndjson", "views.ndjson"])
def test_a_damaged_file_is_named_with_what_is_wrong(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 20])
    with pytest.raises(ChaosError, match=rf"{name} is damaged"):
        load_run(folder.path)


def test_a_missing_file_is_named(folder: RunFolder) -> None:
    (folder.path / "history.ndjson").unlink()
    with pytest.raises(ChaosError, match=r"history.ndjson cannot be read .No such file"):
        load_run(folder.path)


@pytest.mark.parametrize("name", ["history.ndjson", "trace.ndjson", "views.ndjson"])
def test_a_file_with_a_line_less_is_not_judged(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(lines[:-1]))
    with pytest.raises(ChaosError, match=rf"{name} has {len(lines) - 1} lines and evidence.json knows of {len(lines)}"):
        load_run(folder.path)


def test_a_run_of_an_older_tool_that_counted_no_lines_is_still_judged(folder: RunFolder) -> None:
    path = folder.path / "evidence.json"
    content = json.loads(path.read_text())
    for name in ("history_lines", "views_lines", "past"):
        del content[name]
    path.write_text(json.dumps(content))
    assert load_run(folder.path).evidence == msgspec.structs.replace(sample_run.evidence(), past={})


def test_a_run_that_was_killed_before_it_wrote_anything_is_told_from_no_run(tmp_path: Path) -> None:
    made = RunFolder(tmp_path / "chaos-runs", "partition", BEGAN)
    made.undo_path.write_text("{}")
    with pytest.raises(Usage, match=r"was killed before it had recorded anything.*raft-chaos heal\.$"):
        load_run(made.path)


@pytest.mark.parametrize("name", ["run.json", "evidence.json"])
def test_a_newer_run_is_refused(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": 2}))
    with pytest.raises(ChaosError, match="has version 2, this raft-chaos knows 1"):
        load_run(folder.path)
    path.write_text(json.dumps(content | {"format": "another"}))
    with pytest.raises(ChaosError, match="was not written by raft-chaos"):
        load_run(folder.path)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ChaosError, match="--out"):
        RunFolder(tmp_path / "file", "x")
    with pytest.raises(ChaosError, match="--out"):
        RunFolder(tmp_path / "file" / "below", "x")
