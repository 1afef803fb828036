"""What is wrong with an MPI world is said once, before anything runs, in the words of the command that was typed."""

from pathlib import Path

import pytest

from node.cli.main import main

HEARTBEAT, TIMEOUT = "--heartbeat-interval", "--min-election-timeout and --max-election-timeout"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, as rank 0 of a world of three, as mpiexec says it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "3")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(list(words))
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (64, "", 1), said
    assert list(Path().iterdir()) == []
    return said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--heartbeat-interval", "0"), HEARTBEAT),
        (("--heartbeat-interval", "200"), TIMEOUT),
        (("--min-election-timeout", "500"), TIMEOUT),
        (("--max-election-timeout", "100"), TIMEOUT),
        (("--discovery-port", "7002"), "7000 to 7004 are the ranks'"),
        (("--monitor-port", "7002"), "7000 to 7004 are the ranks'"),
        (("--discovery-port", "8080", "--monitor-port", "8080"), "are both 8080"),
        (("--nodes", "65"), "1 to 64"),
        (("--nodes", "0"), "1 to 64"),
    ],
)
def test_a_wrong_option_is_told_by_the_name_that_it_has_here(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "mpi-cluster", *words)
    assert told in said
    assert "--heartbeat-ms" not in said
    assert "--election-timeout-ms" not in said


@pytest.mark.parametrize("command", ["mpi", "mpi-cluster"])
def test_what_ranks_cannot_all_have_is_refused(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_OPERATIONS_PORT", "9900")
    assert "all would listen at operations_port 9900 (from environment RAFT_OPERATIONS_PORT)" in refused(
        capsys, command
    )


def test_a_page_of_all_ranks_cannot_show_a_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_TOKENS_FILE", "/nowhere")
    assert "shows nobody's token" in refused(capsys, "mpi-cluster")
