"""`raft-node members`: whom it asks, what it sends, what it prints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.cli import changing
from node.cli import members as cli
from node.cli.command import raise_unless_ok
from tests.cli.conftest import Answer, FakeNode, raft_node

Make = Callable[[], FakeNode]


def row(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "incarnation": f"disk-{name}", "address": f"{name}:9001", "client_url": "", "leader": False,
        "last_contact_ms": 12.0, "match_index": 9, "lag_entries": 0, **changes,
    }  # fmt: skip


def members(**changes: Any) -> dict[str, Any]:
    """What a node says; with what a command answers, since a fake node answers everything alike."""
    applicants = [
        {"name": "n4", "incarnation": "disk-4", "address": "h4:9004", "client_url": "http://h4", "replaces": ""},
        {"name": "n3", "incarnation": "new", "address": "", "client_url": "", "replaces": "disk-n3"},
    ]
    body = {
        "node": "n1", "leader": "n2", "changing": False, "removed": False, "learners": [row("n5", lag_entries=7)],
        "voters": [row("n1"), row("n2", leader=True), row("n3", lag_entries=None, last_contact_ms=None)],
        "applicants": applicants, "ok": True, "message": "n4 is a learner", "data": {},
    }  # fmt: skip
    return {**body, **changes}


def node_that_says(make: Make, **changes: Any) -> FakeNode:
    node = make()
    node.answer = Answer(200, json.dumps(members(**changes)).encode())
    return node


def test_the_list_shows_everybody_and_what_to_type_for_who_asks(fake_node: Make) -> None:
    node = node_that_says(fake_node, changing=True)
    ran = raft_node("members", "list", node.url)
    said = ran.out.decode()
    assert (ran.code, ran.err) == (0, "")
    assert said.startswith("3 voters, 1 learner; n2 leads. A change is under way.\n")
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    assert cells == [
        ["n1", "voter", "n1:9001", "0", "12 ms", "disk-n1"],
        ["n2", "leader", "n2:9001", "0", "12 ms", "disk-n2"],
        ["n3", "voter", "n3:9001", "-", "-", "disk-n3"],
        ["n5", "learner", "n5:9001", "7", "12 ms", "disk-n5"],
    ]
    assert "n4 asks to be let in: raft-node members add n4\n" in said
    assert "n3 asks with a new disk to be let in again: raft-node members replace n3\n" in said


def test_for_programs_the_list_is_what_the_node_says(fake_node: Make) -> None:
    node = node_that_says(fake_node)
    assert json.loads(raft_node("members", "list", node.url, "--json").out) == members()


@pytest.mark.parametrize(
    ("words", "path", "sent"),
    [
        (
            ("add", "n4"),
            "/commands/add_learner?node=n2",
            {"name": "n4", "incarnation": "disk-4", "address": "h4:9004", "client_url": "http://h4"},
        ),
        (("add", "n9"), "/commands/add_learner?node=n2", {"name": "n9"}),
        (
            ("replace", "n3"),
            "/commands/replace_member?node=n2",
            {"name": "n3", "incarnation": "new", "address": "", "client_url": ""},
        ),
        (("promote", "n4"), "/commands/promote_learner?node=n2", {"name": "n4"}),
        (("remove", "n4"), "/commands/remove_member?node=n2", {"name": "n4"}),
        (
            ("update", "n3", "--peer", "h3:9"),
            "/commands/readdress_member?node=n2",
            {"name": "n3", "address": "h3:9"},
        ),
        (
            ("update", "n3", "--peer", "http://h3:9/", "--client-url", "https://c3"),
            "/commands/readdress_member?node=n2",
            {"name": "n3", "address": "h3:9", "client_url": "https://c3"},
        ),
        (("remove", "n4", "--force"), "/commands/remove_member?node=n2", {"name": "n4", "force": "yes"}),
    ],
)
def test_a_change_goes_to_the_leader_over_one_hop(
    fake_node: Make, words: tuple[str, ...], path: str, sent: dict[str, str]
) -> None:
    node = node_that_says(fake_node)
    ran = raft_node("members", *words, node.url)
    assert (ran.code, ran.out, ran.err) == (0, b"n4 is a learner\n", "")
    assert [(asked.method, asked.path) for asked in node.asked] == [("GET", "/members"), ("POST", path)]
    assert json.loads(node.asked[1].body) == sent


def test_who_was_removed_and_runs_is_shown_and_is_added_with_the_disk_that_it_left_with(fake_node: Make) -> None:
    own = {"incarnation": "disk-9", "address": "h9:9009", "client_url": "http://h9"}
    node = node_that_says(fake_node, cluster_id="ours", own={**own, "incarnation": "disk-n1"})
    left = node_that_says(fake_node, cluster_id="ours", node="n9", leader="", voters=[row("n9")], own=own)
    listed = raft_node("members", "list", node.url, left.url).out.decode()
    assert "n9 was removed, and runs: raft-node members add n9 lets it in again\n" in listed
    assert raft_node("members", "add", "n9", node.url, left.url).code == 0
    assert json.loads(node.asked[-1].body) == {"name": "n9", **own}
    # Whoever asks, on an empty disk, is meant, and to replace a member is another thing
    assert raft_node("members", "replace", "n9", node.url, left.url).code == 0
    assert json.loads(node.asked[-1].body) == {"name": "n9"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cluster_id": "theirs"}, "n9 must come on an empty disk: the one that is there is of another cluster."),
        ({"cluster_id": "ours", "own": None}, "n9 must come and ask to be let in, on an empty disk or on the one that"),
        ({"cluster_id": ""}, "n9 must come and ask to be let in, on an empty disk or on the one that it left with."),
    ],
)
def test_a_disk_that_cannot_come_back_is_told_apart(fake_node: Make, changes: dict[str, Any], said: str) -> None:
    """Of another cluster, of a node that does not say how it is reached, and of one that was never born."""
    own = {"incarnation": "disk-9", "address": "", "client_url": ""}
    node = node_that_says(fake_node, cluster_id="ours", learners=[])
    other = node_that_says(fake_node, **{"node": "n9", "leader": "", "voters": [row("n9")], "own": own, **changes})
    ran = raft_node("members", "fit", "--names", "n1,n2,n3,n9", "--within", "1", node.url, other.url)
    assert (ran.code, ran.err.startswith(f"raft-node: Not done: {said}")) == (1, True), ran.err
    assert not [asked for asked in node.asked if asked.method == "POST"]


def test_where_clients_reach_a_member_is_told_beside_the_address_that_is_known(fake_node: Make) -> None:
    node = node_that_says(fake_node)
    assert raft_node("members", "update", "n5", "--client-url", "http://c5:8005", node.url).code == 0
    assert json.loads(node.asked[-1].body) == {"name": "n5", "address": "n5:9001", "client_url": "http://c5:8005"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("n3",), 64, "There is nothing to update: give --peer or --client-url."),
        (("n3", "--peer", "h3"), 64, "--peer 'h3' is no HOST:PORT such as host3.example:9003."),
        (("n3", "--client-url", "n3:80"), 64, "--client-url 'n3:80' is no URL such as http://host3.example:8003."),
        (("n9", "--client-url", "http://h"), 1, "n9 is no member: they are n1, n2, n3, n5."),
        (("n5", "--client-url", "http://h"), 64, "Nobody has said yet where peers reach n5: give --peer, too."),
    ],
)
def test_an_update_that_says_too_little_changes_nothing(
    fake_node: Make, words: tuple[str, ...], code: int, said: str
) -> None:
    node = node_that_says(fake_node, learners=[row("n5", address="")])
    ran = raft_node("members", "update", *words, node.url)
    assert (ran.code, ran.out, ran.err) == (code, b"", f"raft-node: {said}\n")
    assert not [asked for asked in node.asked if asked.method == "POST"]


def test_the_leader_itself_is_asked_where_it_is_among_the_nodes(fake_node: Make) -> None:
    removed = node_that_says(fake_node, node="n3", removed=True)
    leader, other = node_that_says(fake_node, node="n2"), node_that_says(fake_node)
    assert raft_node("members", "promote", "n4", removed.url, other.url, leader.url).code == 0
    assert [len(node.asked) for node in (removed, other, leader)] == [1, 1, 2]


def test_without_a_leader_nothing_happens(fake_node: Make) -> None:
    node = node_that_says(fake_node, leader="")
    ran = raft_node("members", "remove", "n4", node.url)
    assert (ran.code, ran.err) == (4, "raft-node: Unavailable, nothing happened: n1 knows no leader.\n")
    assert len(node.asked) == 1


def test_who_does_not_answer_is_passed_over_and_where_nobody_does_nothing_happened(fake_node: Make) -> None:
    mute, node = fake_node(), node_that_says(fake_node)
    mute.answer = Answer(0)
    assert raft_node("members", "list", mute.url, node.url).code == 0
    ran = raft_node("members", "add", "n4", mute.url)
    assert (ran.code, ran.err) == (
        4, f"raft-node: {mute.url} gives no answer that can be read; nothing happened.\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "There is no running local cluster to start one more node: give the name of a node."),
        (("http://127.0.0.1:1",), "http://127.0.0.1:1 is a URL and no name: give the name of the node first."),
    ],
)
def test_only_a_local_cluster_chooses_a_name_by_itself(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ran = raft_node("members", "add", *words, *(() if words else ("--data-dir", str(tmp_path))))
    assert (ran.code, ran.out, ran.err) == (64, b"", f"raft-node: {said}\n")


def test_one_that_was_added_is_promoted_as_soon_as_it_has_caught_up(
    fake_node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "PROMOTE_AGAIN_SECONDS", 0.001)
    node, judge, too_early = node_that_says(fake_node), raise_unless_ok, [409, 409, 503]

    def not_yet(status: int, body: dict[str, Any]) -> None:
        if node.asked[-1].path.startswith("/commands/promote_learner") and too_early:
            status, body = too_early.pop(0), {"message": "n4 has not caught up yet"}
        judge(status, body)

    monkeypatch.setattr(changing, "raise_unless_ok", not_yet)
    assert raft_node("members", "add", "n4", "--promote", node.url).code == 0
    posts = [asked.path.partition("?")[0] for asked in node.asked if asked.method == "POST"]
    assert posts == ["/commands/add_learner", *["/commands/promote_learner"] * 4]


def test_for_programs_adding_and_promoting_is_one_object(fake_node: Make) -> None:
    node = node_that_says(fake_node)
    ran = raft_node("members", "add", "n4", "--promote", "--json", node.url)
    assert json.loads(ran.out)["message"] == "n4 is a learner"  # what the fake node says to everything
    assert len([asked for asked in node.asked if asked.method == "POST"]) == 2


def test_before_a_rollout_nobody_needs_certificates_or_a_token_to_find_that_nobody_runs(tmp_path: Path) -> None:
    """They may be made by the very step that this one comes before."""
    wanted = ("members", "fit", "--names", "n1", "http://127.0.0.1:1", "--cacert", str(tmp_path / "later"))
    ran = raft_node(*wanted, "--before-rollout")
    assert (ran.code, ran.out, ran.err) == (0, b"Nobody runs: there is no quorum to be lost.\n", "")
    ran = raft_node(*wanted)
    assert (ran.code, ran.out) == (64, b"")
    assert "later is not there: give the path of a file in PEM form." in ran.err


def test_before_a_rollout_of_whom_something_listens_certificates_are_asked_for(fake_node: Make, tmp_path: Path) -> None:
    node = node_that_says(fake_node)
    token = ("--token-file", str(tmp_path / "later"), "--override", "Or push harder.")
    ran = raft_node("members", "fit", "--names", "n1", "--before-rollout", node.url, *token)
    assert (ran.code, ran.out) == (64, b"")
    assert ran.err.endswith("give one that holds a token. Or push harder.\n")


def mesh(make: Make, cut: tuple[tuple[str, str], ...], unready: str, silent: int = 0) -> list[str]:
    """Where three voters are asked; of each pair in `cut` the first one says that it has no link to the other. To so
    many questions `unready` gives no answer at first."""
    nodes = {name: make() for name in ("n1", "n2", "n3")}
    voters = [row(name, leader=name == "n2", client_url=node.url) for name, node in nodes.items()]
    status = {"role": "follower", "term": 1, "commit": 1, "applied": 1}
    for name, node in nodes.items():
        peers = [
            {"name": other, "last_contact_ms": 1.0, "link_up": (name, other) not in cut}
            for other in nodes
            if other != name
        ]
        said = members(voters=voters, learners=[], reason="waiting") | status | {"name": name, "peers": peers}
        node.answer = Answer(503 if name == unready else 200, json.dumps(said).encode())
        node.first = [Answer(0)] * (silent if name == unready else 0)
    return [node.url for node in nodes.values()]


@pytest.mark.parametrize(
    ("cut", "unready", "code", "says"),
    [
        ((), "", 0, "The voters are n1, n2, n3."),
        (
            (("n3", "n1"),),
            "",
            1,
            "n1 and n3 have no link to each other, and may be needed while another one is replaced",
        ),
        ((("n2", "n3"),), "n3", 0, "it is replaced first, and the others wait for it."),
        (
            (("n1", "n3"), ("n2", "n3")),
            "n3",
            1,
            "n3 is not ready (waiting), though it runs: it has no link to n1, n2. A partition?",
        ),
        ((("n1", "n2"),), "n3", 1, "n1 and n2 have no link to each other"),
    ],
    ids=["a whole mesh", "two followers", "the last one starts", "the last one is cut off", "the others are"],
)
def test_before_a_rollout_voters_that_are_cut_off_from_each_other_are_found(
    cut: tuple[tuple[str, str], ...], unready: str, code: int, says: str, fake_node: Make
) -> None:
    urls = mesh(fake_node, cut, unready)
    ran = raft_node("members", "fit", "--names", "n1,n2,n3", "--before-rollout", "--within", "1", *urls)
    assert (ran.code, says in ran.out.decode() + ran.err) == (code, True), ran


@pytest.mark.slowest
def test_before_a_rollout_one_that_is_slow_to_answer_is_not_taken_for_one_that_does_not_run(fake_node: Make) -> None:
    """Cut off, and on a busy machine: silence alone lets nothing pass before its time is over."""
    urls = mesh(fake_node, (("n1", "n3"), ("n2", "n3")), "n3", silent=4)
    ran = raft_node("members", "fit", "--names", "n1,n2,n3", "--before-rollout", "--within", "3", *urls)
    assert (ran.code, "n3 is not ready (waiting), though it runs: it has no link to n1, n2." in ran.err) == (1, True), (
        ran
    )
