"""What is wrong with an MPI world is said once, before anything runs, in the words of the command that was typed."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from node.cli.main import main
from node.cli.mpi_cluster import _refuse_other_size
from node.supervisor.doorway import MONITOR_PORT, open_door
from tests.mpi import mpiexec

HEARTBEAT, TIMEOUT = "--heartbeat-interval", "--min-election-timeout and --max-election-timeout"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, as rank 0 of a world of three, as mpiexec says it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "3")


@pytest.fixture
def has_mpi() -> None:
    mpiexec()


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


@contextmanager
def somebody() -> Iterator[int]:
    """Who listens already: at which port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield int(taken.getsockname()[1])


@pytest.mark.usefixtures("has_mpi")
def test_another_registry_is_not_taken_for_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with somebody() as port:
        code = main(["mpi-cluster", "--discovery-port", str(port), "--monitor-port", "0"])
    assert code == 1
    assert (
        f"Port {port} of 127.0.0.1, where the registry would listen, is in use: choose another --discovery-port."
        in (capsys.readouterr().err)
    )


@pytest.mark.usefixtures("has_mpi")
def test_a_cure_is_one_that_this_command_has(capsys: pytest.CaptureFixture[str]) -> None:
    with somebody() as port:
        code = main(["mpi-cluster", "--monitor-port", str(port)])
    said = capsys.readouterr().err
    assert (code, "no-monitor" in said) == (1, False)
    assert said.endswith("choose another --monitor-port (0 takes any free one).\n")


def test_the_page_leaves_the_registry_its_port() -> None:
    door = open_door(None, (), kept=range(MONITOR_PORT, MONITOR_PORT + 2))
    assert door is not None
    with closing(door):
        assert door.port >= MONITOR_PORT + 2


@pytest.mark.usefixtures("has_mpi")
def test_fewer_ranks_than_there_is_data_of_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for rank in (3, 4):
        (Path("raft-mpi") / f"rank-{rank}").mkdir(parents=True)
        (Path("raft-mpi") / f"rank-{rank}" / "segment-00000001.wal").touch()
    assert main(["mpi-cluster", "--nodes", "3"]) == 1
    assert (
        "raft-mpi holds the data of 5 ranks and --nodes says 3: go on with --nodes 5, "
        "delete what is of no member any more (rank-3, rank-4), or name another --data-dir."
    ) in capsys.readouterr().err


def test_what_a_keeper_left_of_a_rank_that_never_ran_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "rank-4").mkdir()
    for name in ("rank.lock", "node.log", "node.log.1", "process.json"):
        (tmp_path / "rank-4" / name).touch()
    _refuse_other_size(3, tmp_path)


@pytest.mark.usefixtures("has_mpi")
def test_a_folder_of_no_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("raft-mpi").mkdir()
    (Path("raft-mpi") / "rank-0").touch()
    with somebody() as port:
        pass
    assert main(["mpi-cluster", "--discovery-port", str(port), "--monitor-port", "0"]) == 1
    assert "The folder raft-mpi/rank-0 cannot be used: Not a directory; name another --data-dir." in (
        capsys.readouterr().err
    )
