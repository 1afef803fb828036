"""`raft-node members fit`: how long it asks nodes that do not let it in, and what it needs to see that nobody runs.
What it does to a cluster is shown with real nodes: tests/cluster/test_fit.py."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.cli import fit, rollout
from tests.cli.conftest import Answer, FakeNode, raft_node
from tests.cli.test_members import members, row

Make = Callable[[], FakeNode]
NOBODYS = "nobody has this token: it is mistyped"
SHUT_OUT = Answer(401, json.dumps({"message": NOBODYS}).encode())


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "SHUT_OUT_SECONDS_MAX", 0.3)
    monkeypatch.setattr(fit, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(fit, "SILENT_MS", 200)
    monkeypatch.setattr(rollout, "PATIENCE_SECONDS", 0.3)


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_gives_up_long_before_its_time_is_over(fake_node: Make, status: int) -> None:
    node = fake_node()
    node.answer = Answer(status, SHUT_OUT.body)
    ran = raft_node("members", "fit", "--names", "n1,n2", "--within", "1800", node.url)
    assert (ran.code, ran.out.decode()) == (1, f"Waiting: Refused: {NOBODYS}.\n")
    assert ran.err == f"raft-node: Not done: Refused: {NOBODYS}.\n"
    assert len(node.asked) > 1, "nodes may be yet to be given their file of tokens"


def test_who_may_look_and_not_change_gives_up_as_well(fake_node: Make) -> None:
    """Each look is answered, so only what comes of the changes says that it is shut out."""
    node = fake_node()
    asking = Answer(200, json.dumps(members(learners=[])).encode())
    node.first = [asking, asking, Answer(403, SHUT_OUT.body)] * 400
    ran = raft_node("members", "fit", "--names", "n1,n2,n3,n4", "--within", "1800", node.url)
    assert (ran.code, ran.err) == (1, f"raft-node: Not done: Refused: {NOBODYS}.\n")


def test_that_a_node_does_not_answer_explains_less_than_that_another_lets_nobody_in(fake_node: Make) -> None:
    node, silent = fake_node(), fake_node()
    node.answer = SHUT_OUT
    silent.stop()
    ran = raft_node("members", "fit", "--names", "n1", "--within", "1800", node.url, silent.url)
    assert (ran.code, ran.err) == (1, f"raft-node: Not done: Refused: {NOBODYS}.\n")


def test_before_a_rollout_who_is_not_let_in_refuses_it(fake_node: Make) -> None:
    node = fake_node()
    node.answer = SHUT_OUT
    ran = raft_node("members", "fit", "--before-rollout", "--names", "n1", node.url)
    assert (ran.code, ran.out, ran.err) == (1, b"", f"raft-node: Refused, and nothing was changed: {NOBODYS}.\n")


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("RAFT_CACERT", "{path} is not there: give the path of a file in PEM form."),
        (
            "RAFT_TOKEN_FILE",
            "The file {path} cannot be read (No such file or directory): give one that holds a token.",
        ),
    ],
)
def test_that_nobody_runs_is_seen_without_a_secret_and_nothing_else_is(
    fake_node: Make, tmp_path: Path, variable: str, sentence: str
) -> None:
    """A first sync of Argo CD comes before the Secret that it makes."""
    node, path = fake_node(), str(tmp_path / "missing")
    words = ("members", "fit", "--before-rollout", "--names", "n1", node.url)
    ran = raft_node(*words, environ={variable: path})
    assert (ran.code, ran.out, ran.err) == (64, b"", f"raft-node: {sentence.format(path=path)}\n")
    assert node.asked == []
    node.stop()
    ran = raft_node(*words, environ={variable: path})
    assert (ran.code, ran.out, ran.err) == (0, b"Nobody runs: there is no quorum to be lost.\n", "")


RUNS, ENDED = row("n5", lag_entries=7), row("n5", lag_entries=7, last_contact_ms=6_000.0)
ALL_THREE = ("members", "fit", "--names", "n1,n2,n3", "--within", "1")


@pytest.mark.parametrize(
    ("learner", "asked", "taken_out"),
    [(RUNS, "n2", False), (ENDED, "n1", False), (ENDED, "n2", True)],
    ids=["it runs", "the leader is not asked, and others do not hear it", "it has ended"],
)
def test_after_a_rollout_nobody_is_taken_out_who_runs(
    learner: dict[str, object], asked: str, taken_out: bool, fake_node: Make
) -> None:
    node = fake_node()
    voters = [row(name, leader=name == "n2", client_url=node.url) for name in ("n1", "n2", "n3")]
    body = members(node=asked, voters=voters, learners=[learner], applicants=[])
    node.answer = Answer(200, json.dumps(body).encode())
    ran = raft_node(*ALL_THREE, "--after-rollout", node.url)
    assert ran.out.startswith(b"Waiting: n5 must end first, or be of a newer list than this one.\n"), "at least so long"
    assert any("/commands/remove_member" in one.path for one in node.asked) is taken_out
    assert (ran.code, ran.err.startswith("raft-node: Not done: n5 ")) == (1, True), "its time is over in any case"


def test_a_rollout_is_to_come_or_has_been() -> None:
    ran = raft_node(*ALL_THREE, "--before-rollout", "--after-rollout", "http://127.0.0.1:1")
    assert (ran.code, "not both" in ran.err) == (64, True)
