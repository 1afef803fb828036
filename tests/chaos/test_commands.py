"""Every command against a real cluster of three real nodes, and every way it can be ended."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.errors import INTERRUPTED, NOT_RECOVERED, PASSED, REFUSED, USAGE
from tests.chaos.local_cluster import local_cluster
from tests.chaos.raft_chaos import Tool
from tests.supervisor.conftest import eventually

pytestmark = pytest.mark.slowest

QUICK = ("--duration", "1s", "--yes")


def test_status_shows_who_leads_and_where_each_node_runs(tool: Tool) -> None:
    said = tool("status")
    assert said.code == PASSED
    assert "leads term" in said.out
    for name in ("n1", "n2", "n3"):
        assert str(tool.cluster.pid(name)) in said.out
    found = tool.status()
    assert (found["kind"], found["healthy"], found["in_force"]) == ("local", True, [])
    assert found["leader"] in found["voters"] == ["n1", "n2", "n3"]


def test_doctor_finds_nothing_wrong(tool: Tool) -> None:
    said = tool("doctor")
    assert said.code == PASSED
    assert "takes faults" in said.out
    assert {finding["level"] for finding in tool("doctor", "-o", "json").json["findings"]} == {"ok"}


@pytest.mark.parametrize("command", [("kill-leader", "--mode", "sigkill"), ("partition",), ("heal", "--all")])
def test_a_dry_run_says_what_it_would_do_and_changes_nothing(tool: Tool, command: tuple[str, ...]) -> None:
    before, files = tool.status(), sorted(tool.cluster.data_dir.iterdir())
    said = tool(*command, "--dry-run")
    assert said.code == PASSED
    assert "dry run: nothing is changed" in said.out or "Nothing to heal" in said.out
    if command[0] == "kill-leader":
        assert f"SIGKILL to process {tool.cluster.pid(before['leader'])}" in said.out
    if command[0] == "partition":
        assert said.out.count("/commands/cut_link") == 4
    after = tool.status()
    for told in (*before["nodes"], *after["nodes"]):
        del told["commit"], told["applied"], told["last_index"]
    assert after == before
    assert sorted(tool.cluster.data_dir.iterdir()) == files
    assert not tool.runs.exists()


def test_what_is_not_confirmed_is_refused(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        said = tool("kill-leader")
    assert said.code == REFUSED
    assert "add --yes" in said.err
    assert not tool.runs.exists()


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", REFUSED), (b"\x03", INTERRUPTED)])
def test_the_bare_partition_asks_whoever_sits_there(tool: Tool, answer: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    leader = tool.status()["leader"]
    command = [sys.executable, "-m", "chaos.cli", "partition", *tool.where()]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as asked:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 4096)
        assert f"Cut {leader} | " in said.decode()
        assert "for 30 s" in said.decode()
        if answer == b"\x03":  # not the session's own terminal, so Ctrl-C comes as what it is: a signal
            asked.send_signal(signal.SIGINT)
        else:
            os.write(ours, answer)
        assert asked.wait(20.0) == code
    os.close(ours)
    assert not tool.runs.exists()


def test_a_split_without_a_majority_is_refused(tool: Tool) -> None:
    said = tool("partition", "--split", "1,1,1", *QUICK)
    assert said.code == REFUSED
    assert "2 are needed to decide" in said.err
    assert "--allow-quorum-loss" in said.err


def test_a_shape_that_does_not_fit_is_wrong_usage(tool: Tool) -> None:
    assert tool("partition", "--split", "2,3", *QUICK).code == USAGE
    assert tool("partition", "--isolate", "n9", *QUICK).code == USAGE


def test_with_a_voter_down_nothing_is_broken(tool: Tool) -> None:
    down = next(name for name in ("n1", "n2", "n3") if name != tool.status()["leader"])
    pid = tool.cluster.pid(down)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    try:
        eventually(lambda: tool.cluster.pid(down) is None, "the end of the node")
        said = tool("kill-leader", *QUICK)
        assert said.code == REFUSED
        assert f"({down} already down)" in said.err
        alone = tool("partition", "--isolate", down, *QUICK)
        assert alone.code == REFUSED
        assert f"the voter {down} does not answer" in alone.err
        assert tool("status").code == NOT_RECOVERED
    finally:
        said = tool("heal")
        assert "Nothing to heal" in said.out  # no run did it, so no run takes it back
        tool.start(down)


def earliest(moment: dict[str, int]) -> int:
    return moment["at_us"] - moment["uncertainty_us"]


def latest(moment: dict[str, int]) -> int:
    return moment["at_us"] + moment["uncertainty_us"]


@pytest.mark.longest
def test_leaders_are_killed_one_after_the_other_and_each_failover_is_shown(tool: Tool) -> None:
    said = tool("kill-leader", "--mode", "sigkill", "--times", "2", "--every", "200ms", *QUICK, "-o", "json")
    assert said.code == PASSED, said.err
    record = said.json
    assert {verdict["outcome"] for verdict in record["verdicts"]} == {"pass"}
    assert len(record["failovers"]) == len(record["faults"]) == 2
    first, second = record["faults"]
    assert second["acted_on"][1] > first["acted_on"][1]
    assert second["injected_us"] > record["recovered_us"][0]
    for failover in record["failovers"]:
        assert failover["killed"] != failover["new_leader"]
        assert failover["new_term"] > failover["old_term"]
        assert earliest(failover["suspicion"]) <= latest(failover["won"])
        assert earliest(failover["won"]) <= failover["first_success"]["at_us"]
    folder = Path(record["folder"])
    assert {path.name for path in folder.iterdir()} >= {"run.json", "history.ndjson", "trace.ndjson", "report.html"}
    assert record["failovers"] == json.loads((folder / "run.json").read_bytes())["failovers"]
    again = tool("report", str(folder))
    assert again.code == PASSED
    assert again.out.count("Failovers") == 1


@pytest.mark.slowest
def test_a_leader_that_is_asked_to_leave_comes_back(tool: Tool) -> None:
    leader = tool.status()["leader"]
    before = tool.cluster.pid(leader)
    said = tool("kill-leader", *QUICK)
    assert said.code == PASSED, said.out + said.err
    assert f"SIGTERM to process {before} of {leader}" in said.out
    assert tool.cluster.pid(leader) not in (None, before)


def test_the_bare_partition_isolates_the_leader_and_proves_it(tool: Tool) -> None:
    leader = tool.status()["leader"]
    said = tool("partition", "--duration", "2s", "--yes", "-o", "json")
    assert said.code == PASSED, said.err
    (fault,) = said.json["faults"]
    assert fault["groups"][0] == [leader]
    assert (
        fault["injected_us"] < fault["effective_us"] < fault["reverting_us"] < fault["reverted_us"] < fault["healed_us"]
    )
    assert fault["reverting_us"] - fault["effective_us"] >= 2_000_000
    (minority,) = [v for v in said.json["verdicts"] if v["check"] == "minority-acknowledges-nothing"]
    assert minority["outcome"] == "pass"
    assert not any(fact.startswith("not as predicted") for fact in fault["facts"])
    assert tool.status()["in_force"] == []
    assert tool("heal", "--all").out.startswith("Nothing to heal")


def test_ctrl_c_in_mid_fault_heals_and_a_second_one_says_so(tool: Tool) -> None:
    with tool.process("partition", "--duration", "60s", "--yes") as run:
        run.until_says("the fault clock starts")
        assert len(tool.status()["in_force"]) == 3
        second = tool("kill-leader", *QUICK)
        assert second.code == REFUSED
        assert "Another run" in second.err
        run.popen.send_signal(signal.SIGINT)
        run.until_says("the run ends here")
        run.popen.send_signal(signal.SIGTERM)
        assert run.ends() == INTERRUPTED, run.output
        assert "healing is under way" in run.output
        assert "Interrupted and healed" in run.output
    assert tool.status()["in_force"] == []
    (folder,) = [path for path in tool.runs.iterdir() if not path.is_symlink()]
    assert json.loads((folder / "run.json").read_bytes())["interrupted"] is True


def test_what_a_dead_tool_and_its_dead_switch_left_is_refused_and_healed(tool: Tool) -> None:
    with tool.process("partition", "--isolate", "follower", "--duration", "60s", "--yes") as run:
        run.until_says("the fault clock starts")
        said = tool("heal")
        assert said.code == REFUSED
        assert "still goes on" in said.err
        here, tool.runs = tool.runs, tool.runs.parent / "elsewhere"
        said = tool("heal", "--all")
        assert said.code == REFUSED, said.out
        assert "partition-" in said.err
        assert f"process {run.popen.pid}" in said.err
        assert len(tool.status()["in_force"]) == 3
        tool.runs = here
        run.kill_with_its_switch()
    said = tool("kill-leader", *QUICK)
    assert said.code == REFUSED
    assert "raft-chaos heal --all" in said.err
    assert tool("heal", "--all", "--dry-run").out.count("heal link") == 4
    assert len(tool.status()["in_force"]) == 3
    assert tool("heal").out.splitlines()[-1].startswith("Healed: took back 4 acts")
    assert tool.status()["in_force"] == []
    assert tool("heal", "--all").out.startswith("Nothing to heal")


@pytest.mark.slowest
def test_without_any_journal_the_cluster_itself_shows_what_is_left(tool: Tool) -> None:
    with tool.process("kill-leader", "--mode", "sigkill", "--duration", "60s", "--yes") as run:
        run.until_says("as predicted")
        run.kill_with_its_switch()
    here, tool.runs = tool.runs, tool.runs.parent / "elsewhere"
    said = tool("heal")
    assert said.code == NOT_RECOVERED, "something is still in force"
    assert "Of other runs there is still: start n" in said.out
    assert "heal --all" in said.out
    assert tool("heal", "-o", "json").code == NOT_RECOVERED
    tool.runs = here
    (undo,) = [path for path in here.glob("*/undo.json") if not path.parent.is_symlink()]
    undo.write_bytes(b"garbage\n" + undo.read_bytes().partition(b"\n")[2])
    said = tool("heal")
    assert said.code == NOT_RECOVERED
    assert "is not an undo journal" in said.out
    assert "Of other runs there is still: start n" in said.out
    assert "started" in tool("heal", "--all").out
    assert tool("heal").code == PASSED
    tool.until_healthy()


@pytest.mark.longest
@pytest.mark.parametrize("sizes", [(2, 3), (3, 2)])
def test_five_nodes_are_split_by_sizes_the_leaders_group_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sizes: tuple[int, int]
) -> None:
    with local_cluster(tmp_path, 5) as five:
        tool = Tool(five, tmp_path / "runs", capsys)
        leader = tool.status()["leader"]
        said = tool("partition", "--split", ",".join(map(str, sizes)), "--duration", "4s", "--yes", "-o", "json")
        assert said.code == PASSED, said.err
        (fault,) = said.json["faults"]
        assert tuple(map(len, fault["groups"])) == sizes
        assert leader in fault["groups"][0]
        assert {verdict["outcome"] for verdict in said.json["verdicts"]} == {"pass"}
        elected = re.search(r"as predicted: n\d leads term", said.err) is not None
        assert elected is (sizes == (2, 3))
