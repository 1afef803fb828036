"""What comes of a run when something goes wrong at its very end."""

from pathlib import Path

import pytest

from chaos.checks.verdict import Evidence
from chaos.errors import NOT_RECOVERED, PASSED, TOOL_FAILED, UNSAFE, ChaosError
from chaos.report import folder as folders
from chaos.report.folder import RunFolder
from chaos.run.outcome import record_of, write_down
from tests.chaos.doubles import addresses
from tests.chaos.evidence import S, good, kill


def end(path: Path, evidence: Evidence, unhealed: bool = False) -> tuple[int, int, str]:
    """The exit code, how many verdicts there are, and what is said."""
    target = addresses(n1="", n2="", n3="")
    target.title, target.kind, target.namespace = "the cluster", "local", ""
    record = record_of(
        evidence,
        target,
        run="r",
        command_line="raft-chaos",
        seed=1,
        began_wall_us=1,
        interrupted=False,
        notes=(),
    )
    record, said = write_down(RunFolder(path, "kill", 1), record, evidence, None, unhealed)
    return record.exit_code, len(record.verdicts), said


RUN = good(faults=(kill(),), recovered_us=(6 * S,))
LOST = good(faults=(kill(),), recovered_us=(6 * S,), final={"chaos/t/w1": 3})


def test_a_good_run_is_written_and_passes(tmp_path: Path) -> None:
    code, verdicts, said = end(tmp_path, RUN)
    assert (code, said) == (PASSED, "")
    assert verdicts > 5


@pytest.mark.parametrize(
    ("evidence", "unhealed", "code"),
    [(RUN, False, TOOL_FAILED), (LOST, False, UNSAFE), (RUN, True, NOT_RECOVERED)],
)
def test_a_full_disk_hides_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, unhealed: bool, code: int
) -> None:
    def full(path: Path, _: bytes) -> None:
        raise ChaosError(f"{path} cannot be written: No space left on device; name another folder with --out.")

    monkeypatch.setattr(folders, "replace", full)
    got, verdicts, said = end(tmp_path, evidence, unhealed)
    assert got == code
    assert verdicts > 5
    assert "No space left on device" in said
