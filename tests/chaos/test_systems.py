"""A check that a system cannot feed is not applicable: told so, and costing nothing; what was found stays found."""

from pathlib import Path

import msgspec
import pytest

from chaos.checks.judge import NEEDS, exit_code, judge
from chaos.checks.verdict import Evidence, Verdict
from chaos.cli import show
from chaos.evidence.folder import RunFolder
from chaos.evidence.loading import load_run
from chaos.evidence.record import RunRecord
from chaos.report import html, words
from chaos.run.outcome import judged
from tests.chaos.evidence import cut, event, good, kill


def silent(evidence: Evidence, *lacks: str) -> Evidence:
    """The same of a system that lacks this."""
    events = () if "events" in lacks else evidence.events
    return msgspec.structs.replace(evidence, system="other", lacks=lacks, events=events)


def of(verdicts: tuple[Verdict, ...]) -> dict[str, str]:
    return {verdict.check: verdict.outcome for verdict in verdicts}


def test_what_a_system_cannot_show_is_not_applicable_and_costs_the_run_nothing() -> None:
    verdicts = judge(silent(good(), "events"))
    assert {check for check, outcome in of(verdicts).items() if outcome == "not-applicable"} == {
        "one-leader-a-term",
        "terms-never-go-back",
    }
    assert exit_code(verdicts) == 0
    said = next(verdict.sentence for verdict in verdicts if verdict.check == "one-leader-a-term")
    assert said == "Not applicable: other tells of no elections and votes."


def test_the_same_silence_of_a_system_that_could_tell_is_unknown() -> None:
    verdicts = judge(msgspec.structs.replace(good(), events=()))
    assert of(verdicts)["one-leader-a-term"] == "unknown"
    assert exit_code(verdicts) == 3


def test_a_lie_is_found_by_what_is_left() -> None:
    evidence = silent(good(), "log", "revisions", "contact-ages")
    twice = (*evidence.events, event(9, "n2", "won", 3))
    verdicts = judge(msgspec.structs.replace(evidence, events=twice, lacks=(*evidence.lacks, "events")))
    assert of(verdicts)["one-leader-a-term"] == "fail"
    assert exit_code(verdicts) == 1


@pytest.mark.parametrize(("check", "need"), NEEDS.items())
def test_each_need_of_a_check_has_its_words(check: str, need: str) -> None:
    faults = (cut((("n1",), ("n2", "n3")), 6.0, 8.0), kill(at=9.0))
    evidence = silent(good(faults=faults, recovered_us=(8_500_000, 9_500_000)), need)
    found = next(verdict for verdict in judge(evidence) if verdict.check == check)
    assert found.outcome == "not-applicable"
    assert found.sentence.startswith("Not applicable: other ")


def test_each_workload_has_checks_of_its_own_and_one_that_is_not_known_is_not_passed() -> None:
    registers = {"acknowledged-writes-survive", "no-stale-read", "revisions-in-order"}
    assert registers <= set(of(judge(good())))
    other = judge(msgspec.structs.replace(good(), workload="queues"))
    assert not registers & set(of(other))
    assert of(other)["one-leader-a-term"] == "pass"
    assert of(other)["queues"] == "unknown"
    assert exit_code(other) == 3


def test_an_end_of_the_log_that_nobody_shows_is_not_held_against_a_node() -> None:
    blind = tuple(msgspec.structs.replace(view, last_index=0) for view in good().views)
    evidence = msgspec.structs.replace(good(), views=blind)
    assert of(judge(evidence))["commit-never-goes-back"] == "fail"
    assert of(judge(silent(evidence, "last-index")))["commit-never-goes-back"] == "pass"


def test_a_kept_run_knows_of_what_it_was_and_is_judged_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = silent(good(), "events")
    record = judged(RECORD, evidence)
    folder = RunFolder(tmp_path, "run")
    folder.write_evidence(evidence)
    folder.write_run(msgspec.structs.replace(record, voters=evidence.voters))
    kept = load_run(tmp_path)
    assert (kept.evidence.system, kept.evidence.lacks) == ("other", ("events",))
    assert of(judge(kept.evidence))["one-leader-a-term"] == "not-applicable"
    page = html.render(record, evidence.history, evidence.views, evidence.events)
    assert "not applicable" in page
    applied = len(record.verdicts) - 2
    assert words.proved(record).startswith(f"{applied} of {applied} checks passed")
    show.run(record, (), tmp_path, "")
    said = capsys.readouterr().out
    assert "not-applicable" in said
    assert "Passed" in said


RECORD = RunRecord(
    tool_version="1",
    run="run",
    command_line="raft-chaos",
    target_title="a cluster",
    target_kind="local",
    system="other",
    lacks=("events",),
    seed=1,
    began_wall_us=0,
    exit_code=0,
)
