"""The verdicts as JUnit XML: what failed and what could not tell is red, and an older file vouches for nobody."""

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from chaos.checks.verdict import Verdict
from chaos.cli import junit as promises
from chaos.cli import main
from chaos.errors import ChaosError
from chaos.evidence.folder import RunFolder
from chaos.report import junit
from tests.chaos import sample_run
from tests.chaos.evidence import S, good, kill

STALE = Verdict("no-stale-read", "safety", "fail", "r1 read 3 after 4.", ("0.1 s: \x1b[31mred\x00 ä <&>",))
OPEN = Verdict("logs-agree", "safety", "unknown", "Whether the logs agree is unknown.")
GOOD = Verdict("enough-writes", "effect", "pass", "60 writes per second.")


def cases(content: bytes) -> dict[str, ElementTree.Element | None]:
    """By name without its title, what each case is besides passed."""
    (suite,) = ElementTree.fromstring(content)
    found = {
        case.attrib["name"].partition(" ")[0]: next((part for part in case if part.tag != "system-out"), None)
        for case in suite
    }
    parts = [part.tag for part in found.values() if part is not None]
    assert suite.attrib["tests"] == str(len(found))
    assert suite.attrib["failures"] == str(parts.count("failure"))
    assert suite.attrib["errors"] == str(parts.count("error"))
    assert suite.attrib["skipped"] == str(parts.count("skipped"))
    return found


def tags(content: bytes) -> dict[str, str]:
    return {name: "" if part is None else part.tag for name, part in cases(content).items()}


def test_what_failed_is_a_failure_with_its_proof_and_what_could_not_tell_an_error() -> None:
    content = junit.of_record(msgspec.structs.replace(sample_run.record(), verdicts=(STALE, OPEN, GOOD), exit_code=1))
    assert tags(content) == {"no-stale-read": "failure", "logs-agree": "error", "enough-writes": "", "run": ""}
    failure = cases(content)["no-stale-read"]
    assert failure is not None
    assert failure.attrib["message"] == "r1 read 3 after 4."
    assert failure.text == "r1 read 3 after 4.\n0.1 s: \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER} ä <&>"
    assert b"Stale reads, linearizability" in content
    assert b'timestamp="2023-11-14T22:13:20"' in content


def test_a_run_that_broke_off_is_an_error_whatever_its_verdicts_say() -> None:
    record = msgspec.structs.replace(sample_run.record(), verdicts=(GOOD,), exit_code=130, notes=("Interrupted.",))
    assert tags(junit.of_record(record)) == {"enough-writes": "", "run": "error"}
    assert tags(junit.of_record(msgspec.structs.replace(record, exit_code=0))) == {"enough-writes": "", "run": ""}


def test_until_a_run_has_ended_its_file_says_that_it_has_not(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_bytes(junit.of_record(sample_run.record()))
    with promises.promised(path, "kill-leader") as judged:
        assert tags(path.read_bytes()) == {"run": "error"}
        assert judged(sample_run.record()) == 0
    assert tags(path.read_bytes()) == {"one-leader-a-term": "", "enough-writes": "", "run": ""}


def test_why_there_are_no_verdicts_is_told(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    with pytest.raises(ChaosError, match="no leader"), promises.promised(path, "partition"):
        raise ChaosError("There is no leader.")
    part = cases(path.read_bytes())["run"]
    assert part is not None
    assert part.attrib["message"] == "There is no leader."


def test_a_file_that_cannot_be_written_ends_the_command_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path / "none" / "junit.xml", tmp_path, Path("/dev/null")):
        assert main(["kill-leader", "--yes", "--data-dir", str(tmp_path), "--junit", str(path)]) == 64
        assert "--junit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_replaced_in_the_end_hides_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "room" / "junit.xml"
    path.parent.mkdir()
    with promises.promised(path, "kill-leader") as judged:
        path.unlink()
        path.parent.rmdir()
        assert judged(sample_run.record()) == 74
        assert judged(msgspec.structs.replace(sample_run.record(), exit_code=1)) == 1
    assert "The run was judged (exit code 1), but" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "doctor", "heal"])
def test_a_command_that_judges_nothing_takes_no_such_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--junit", str(tmp_path / "junit.xml")]) == 64
    assert "--junit is for commands that judge a run" in capsys.readouterr().err


def test_report_writes_it_of_a_kept_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = RunFolder(tmp_path / "chaos-runs", "kill-leader", 1)
    evidence = good(faults=(kill(),), recovered_us=(6 * S,))
    made.write_evidence(evidence)
    made.write_run(sample_run.record(evidence))
    assert main(["report", str(made.path), "--junit", str(tmp_path / "junit.xml")]) == 0, capsys.readouterr().err
    found = tags((tmp_path / "junit.xml").read_bytes())
    assert len(found) > 10
    assert set(found.values()) == {""}
