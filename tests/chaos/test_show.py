"""What is printed fits its terminal: words that matter are never cut."""

from pathlib import Path

import msgspec
import pytest

from chaos.anatomy import Failover
from chaos.cli import show
from chaos.model import Place
from tests.chaos import sample_run
from tests.chaos.situations import healthy, view

UID = "3f0c1b4e-7a55-4d0b-9a53-0c2f3b1d7e11"


def printed(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    candidate = view("n3", "precandidate", term=1_234_567)
    situation = healthy(n3=candidate, n4=None)
    places = {name: Place(name=name, where="worker-17", instance=UID, ready=True) for name in situation.nodes}
    show.cluster("the cluster", situation, places, ())
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 120])
def test_names_roles_and_terms_are_whole_however_narrow_the_terminal_is(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, head, *rows = printed(columns, monkeypatch, capsys)
    assert head.split()[:3] == ["node", "role", "term"]
    assert [row.split()[:3] for row in rows[:3]] == [
        ["n1", "leader", "5"],
        ["n2", "follower", "5"],
        ["n3", "precandidate", "1234567"],
    ]
    assert "…" not in "".join(rows)
    assert all(len(row) <= columns for row in (head, *rows[:5]))


def test_what_is_left_out_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = printed(60, monkeypatch, capsys)
    assert narrow[-1] == "too narrow for: instance, restarts, runs on (-o json has all)"
    assert printed(80, monkeypatch, capsys)[-1] == "too narrow for: instance (-o json has all)"
    wide = printed(120, monkeypatch, capsys)
    assert UID in wide[2]
    assert len(wide) == 7


def told(capsys: pytest.CaptureFixture[str], *failovers: Failover) -> str:
    show.run(sample_run.record(), failovers, Path("chaos-runs/x"), "")
    return capsys.readouterr().out


def test_how_sure_each_step_of_a_failover_is_stands_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    failover = sample_run.failover()
    for out in (told(capsys, failover), told(capsys, failover, failover)):
        assert "+290 ±0.4" in out
        assert "+350 −60" in out, "a sample is late, never early"
        assert "+420" in out
        assert "−: seen by a sample" in out
    assert "n2 won term 2; election timeout 180 ms" in told(capsys, failover)
    assert failover.won is not None
    unsure = msgspec.structs.replace(failover, won=msgspec.structs.replace(failover.won, uncertainty_us=None))
    assert "+290 ±?" in told(capsys, msgspec.structs.replace(unsure, terms_burned=2))
    assert "n2 won term 2, 2 terms burned" in told(capsys, msgspec.structs.replace(unsure, terms_burned=2))


@pytest.mark.parametrize(
    ("code", "next_step"), [(1, "Keep the folder"), (2, "raft-chaos status"), (3, "raft-chaos doctor")]
)
def test_a_run_that_did_not_pass_says_what_to_do_now(
    code: int, next_step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = msgspec.structs.replace(sample_run.record(), exit_code=code)
    show.run(record, (), Path("chaos-runs/x"), "")
    *_, ending, then, report = capsys.readouterr().out.splitlines()
    assert f"(exit code {code})" in ending
    assert next_step in then
    assert report.startswith("Report: ")
    show.run(record, (), Path("chaos-runs/x"), "it broke: see raft-chaos heal.")
    assert next_step not in capsys.readouterr().out, "the trouble says it already"
