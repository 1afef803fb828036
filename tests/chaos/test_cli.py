"""The command line before it meets a cluster: help, wrong usage, nothing there; never a traceback."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.cli import breaking, execute, main
from chaos.cli.options import Common, seconds
from chaos.errors import INTERRUPTED, OUTPUT_LOST, REFUSED, TOOL_FAILED, USAGE, Usage
from chaos.faults.groups import Isolate
from chaos.faults.partition import Partition
from chaos.faults.shapes import Bridge, Ring, Shape

COMMANDS = ("status", "doctor", "kill-leader", "partition", "heal", "report")
GLOBAL = ("--target", "--namespace", "--release", "--context", "--data-dir", "--duration", "--seed", "--dry-run",
          "--output", "--out", "--yes")  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_every_global_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert [option for option in GLOBAL if option not in out] == []


def test_the_help_tells_newcomers_where_to_begin_and_what_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "First steps" in out
    for word in ("0 passed", "1 safety violated", "4 refused", "64 wrong usage", "130 interrupted and healed"):
        assert word in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["partition", "--bogus"], "No such option: --bogus"),
        (["nonsense"], "There is no command 'nonsense'; there are status, doctor, "),
        (["kill-leader", "--times", "0"], "'--times': it must be greater than or equal to 1"),
        (["kill-leader", "--mode", "softly"], "'--mode': 'softly' is not one of"),
        (["partition", "--isolate", "leader", "--split", "2,3"], "--isolate and --split exclude each other"),
        (["partition", "--split", "5"], "--split takes the sizes of the groups"),
        (["partition", "--duration", "soon"], "'soon' is not a duration"),
        (["status", "--target", "local", "-n", "default"], "--namespace means a cluster in Kubernetes"),
        (["report", "--out", "nowhere"], "nowhere holds no run"),
        (["report", "nowhere"], "nowhere holds no run"),
    ],
)
def test_wrong_usage_is_one_sentence_and_64(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == USAGE
    said = capsys.readouterr()
    assert said.err.startswith("raft-chaos: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["--bridge"], Bridge("leader")),
        (["--bridge", "--duration", "5s"], Bridge("leader")),
        (["--yes", "--bridge", "follower"], Bridge("follower")),
        (["--bridge=n2", "--yes"], Bridge("n2")),
        (["--isolate", "--yes"], Isolate("leader")),
        (["--isolate", "n2"], Isolate("n2")),
        (["--ring"], Ring()),
        ([], Isolate("leader")),
    ],
)
def test_a_shape_whose_node_is_left_out_means_the_leader(
    arguments: list[str], shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Shape] = []

    def attempt(_: Common, __: str, faults: Callable[[random.Random], list[Partition]], *___: object) -> int:
        made.extend(fault._shape for fault in faults(random.Random(1)))
        return 0

    monkeypatch.setattr(breaking, "attempt", attempt)
    assert main(["partition", *arguments]) == 0
    assert made == [shape]


def test_no_arguments_print_the_help_and_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == USAGE
    assert "First steps" in "".join(capsys.readouterr())


def test_where_no_cluster_is_the_sentence_says_where_was_looked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == REFUSED
    said = capsys.readouterr()
    assert "raft-data" in said.err
    assert "kubeconfig" in said.err


def test_a_program_is_told_of_errors_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "-o", "json"]) == REFUSED
    said = capsys.readouterr()
    assert said.out.startswith('{"error":"No cluster was found.')
    assert said.out.endswith('"exit_code":4}\n')


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["kill-leader", "--every", "soon"], USAGE),
        (["partition", "--split", "5"], USAGE),
        (["partition", "--isolate", "n1", "--split", "2,3"], USAGE),
        (["heal"], REFUSED),
        (["report", "nowhere"], USAGE),
        (["partition", "--bogus"], USAGE),
        (["kill-leader", "--times", "0"], USAGE),
        (["nonsense"], USAGE),
        (["report", "--out", "nowhere"], USAGE),
    ],
)
def test_every_error_of_a_command_is_one_json_object(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-o", "json"]) == code
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["exit_code"] == code
    assert said.err == f"raft-chaos: {told['error']}\n"


@pytest.mark.parametrize("asked", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"], ["--json"]])
def test_the_parser_s_errors_are_json_however_it_is_asked_for(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", *asked, "--bogus"]) == USAGE
    assert json.loads(capsys.readouterr().out)["exit_code"] == USAGE
    if asked != ["--json"]:
        assert main(["status", *asked, "--output", "table", "--bogus"]) == USAGE
        assert capsys.readouterr().out == ""


def test_ctrl_c_during_heal_does_not_say_that_nothing_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "open_target", interrupted)
    assert main(["heal", "--all", "-o", "json"]) == INTERRUPTED
    said = capsys.readouterr()
    assert "try again with raft-chaos heal --all." in said.err
    assert json.loads(said.out)["exit_code"] == INTERRUPTED


@pytest.mark.slowest
def test_a_disk_that_takes_no_output_is_no_internal_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m chaos.cli heal -o json > /dev/full"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == REFUSED
    command = f"{sys.executable} -m chaos.cli --help > /dev/full"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == OUTPUT_LOST
    said = "Nothing was changed, but standard output cannot be written: no space is left where it goes."
    assert ended.stderr == f"raft-chaos: {said}\n"


def test_an_error_that_nobody_foresaw_is_a_sentence_and_70(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(breaking, "attempt", broken)
    assert main(["partition", "-o", "json"]) == TOOL_FAILED
    said = capsys.readouterr()
    assert json.loads(said.out)["exit_code"] == TOOL_FAILED
    assert "internal error, please report it: RuntimeError: the sky fell" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("text", "value"), [("30", 30.0), ("30s", 30.0), ("1.5m", 90.0), ("500ms", 0.5), ("2h", 7200.0)]
)
def test_durations_are_read_as_people_write_them(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "s", "1d", "25h", "1 0", "nan", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        seconds(text)
