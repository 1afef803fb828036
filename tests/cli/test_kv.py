"""`raft-node get|put|delete`: exit codes that can be relied on, and never a write twice."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.cli import asking
from tests.cli.conftest import Answer, FakeNode, raft_node

Make = Callable[[], FakeNode]
ETAG = (("ETag", '"7"'),)


def problem(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": "code", "message": message}).encode())


def test_get_prints_the_very_bytes_and_nothing_else(fake_node: Make) -> None:
    node = fake_node()
    node.answer = Answer(200, b"\xff\x00 hello\r\n", ETAG)
    assert raft_node("get", "a/b ü", "--url", node.url) == (0, b"\xff\x00 hello\r\n", "")
    assert node.asked[0][:2] == ("GET", "/kv/a%2Fb%20%C3%BC")


def test_get_as_json_has_the_revision_and_base64_where_it_must(fake_node: Make) -> None:
    node = fake_node()
    node.answer = Answer(200, "ü".encode(), ETAG)
    assert json.loads(raft_node("get", "k", "--json", "--url", node.url).out) == {
        "key": "k",
        "revision": 7,
        "value": "ü",
    }
    node.answer = Answer(200, b"\xff")
    assert json.loads(raft_node("get", "k", "--json", "--url", node.url).out)["value_base64"] == "/w=="


def test_stale_is_asked_for_by_name(fake_node: Make) -> None:
    node = fake_node()
    raft_node("get", "k", "--stale", "--url", node.url)
    assert node.asked[0].path == "/kv/k?consistency=stale"


def test_put_sends_the_value_or_standard_input_and_tells_the_revision(fake_node: Make) -> None:
    node = fake_node()
    node.answer = Answer(200, b"{}", ETAG)
    assert raft_node("put", "k", "v", "--url", node.url) == (0, b"put k (revision 7)\n", "")
    assert raft_node("put", "k", "-", "--url", node.url, stdin=b"\x00\xff").code == 0
    assert [asked.body for asked in node.asked] == [b"v", b"\x00\xff"]
    assert [asked.method for asked in node.asked] == ["PUT", "PUT"]


def test_a_value_beyond_all_limits_is_refused_and_not_cut(fake_node: Make) -> None:
    node = fake_node()
    ran = raft_node("put", "k", "-", "--url", node.url, stdin=bytes(2 * 1024 * 1024 + 1))
    assert (ran.code, node.asked) == (64, [])


def test_conditions_travel_as_headers(fake_node: Make) -> None:
    node = fake_node()
    raft_node("put", "k", "v", "--if-match", "7", "--url", node.url)
    raft_node("delete", "k", "--if-match", '"7"', "--url", node.url)
    raft_node("put", "k", "v", "--if-absent", "--url", node.url)
    assert [asked.headers.get("If-Match") for asked in node.asked] == ['"7"', '"7"', None]
    assert node.asked[2].headers["If-None-Match"] == "*"
    assert raft_node("put", "k", "v", "--if-match", "x", "--url", node.url).code == 64


@pytest.mark.parametrize(
    ("method", "status", "code", "said"),
    [
        ("get", 404, 1, "There is no key 'k'."),
        ("get", 504, 4, "Unavailable: it took too long."),
        ("get", 503, 4, "Unavailable, nothing happened: it took too long."),
        ("delete", 404, 1, "There is no key 'k'."),
        ("delete", 412, 6, "'k' was not changed: it took too long."),
        ("delete", 503, 4, "Unavailable, nothing happened: it took too long."),
        ("delete", 507, 4, "Unavailable, nothing happened: it took too long."),
        ("delete", 413, 64, "refused with status 413: it took too long."),
        ("delete", 403, 1, "refused with status 403: it took too long."),
    ],
)
def test_every_answer_has_its_exit_code_and_sentence(
    fake_node: Make, method: str, status: int, code: int, said: str
) -> None:
    node = fake_node()
    node.answer = problem(status, "it took too long.")
    ran = raft_node(method, "k", "--url", node.url)
    assert (ran.code, ran.out) == (code, b"")
    assert ran.err.startswith("raft-node: ")
    assert ran.err.endswith(f"{said}\n")
    assert ran.err.count("\n") == 1


def test_a_write_goes_on_to_the_next_node_only_where_nothing_can_have_happened(fake_node: Make) -> None:
    dead, unavailable, good = fake_node(), fake_node(), fake_node()
    dead.stop()
    unavailable.answer = problem(503, "no leader")
    good.answer = Answer(200, b"{}", ETAG)
    urls = [part for node in (dead, unavailable, good) for part in ("--url", node.url)]
    assert raft_node("put", "k", "v", *urls).out == b"put k (revision 7)\n"
    assert (len(unavailable.asked), len(good.asked)) == (1, 1)


NUMBERS = {"Raft-Session": "mark-7", "Raft-Sequence": "1"}
"""Of the one write of a command, however often it is sent."""


@pytest.mark.parametrize("status", [0, 504, 500])
@pytest.mark.parametrize("command", [("put", "k", "v"), ("delete", "k")], ids=lambda command: command[0])
def test_a_write_that_may_have_happened_is_sent_again_with_the_same_numbers(
    fake_node: Make, status: int, command: tuple[str, ...]
) -> None:
    broken, good = fake_node(), fake_node()
    broken.answer, good.answer = Answer(status), Answer(200, b"{}", ETAG)
    ran = raft_node(*command, "--url", broken.url, "--url", good.url)
    assert (ran.code, ran.err, b"(revision 7)" in ran.out) == (0, "", True)
    assert (len(broken.asked), len(good.asked)) == (1, 1)
    for asked in (*broken.asked, *good.asked):
        assert {name: asked.headers[name] for name in NUMBERS} == NUMBERS
    assert (len(broken.registered), len(good.registered)) == (1, 0)


def test_one_node_alone_is_asked_again_until_it_answers(fake_node: Make) -> None:
    node = fake_node()
    node.first, node.answer = [Answer(0), problem(503, "no leader"), problem(403, "not now")], Answer(200, b"{}", ETAG)
    assert raft_node("put", "k", "v", "--url", node.url).out == b"put k (revision 7)\n"
    assert len(node.asked) == 4, "what an attempt after a doubtful one is refused for says nothing of that one"


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Answer(412, b'{"error":"revision-mismatch"}'), 6), (Answer(404, b'{"error":"key-not-found"}'), 1)],
)
def test_what_the_log_says_it_says_of_the_first_attempt_too(fake_node: Make, answer: Answer, code: int) -> None:
    node = fake_node()
    node.first, node.answer = [Answer(0)], answer
    assert raft_node("delete", "k", "--url", node.url).code == code


def test_the_outcome_is_unknown_once_the_time_of_the_command_is_up(
    fake_node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "REQUEST_TIMEOUT_SECONDS", 0.6)
    node = fake_node()
    node.answer = Answer(0)
    ran = raft_node("put", "k", "v", "--url", node.url)
    assert (ran.code, ran.out) == (5, b"")
    assert ran.err.startswith(f"raft-node: Unknown outcome: {node.url} took the request and did not answer (")
    assert ran.err.endswith("may have happened or may happen yet: read 'k' before you repeat it.\n")
    assert len(node.asked) > 1


def test_a_session_that_is_gone_leaves_a_doubtful_write_unknown_and_a_first_one_undone(fake_node: Make) -> None:
    gone = problem(410, "session mark-7 is gone").body.replace(b"code", b"session-expired")
    node = fake_node()
    node.first, node.answer = [Answer(410, gone)], Answer(200, b"{}", ETAG)
    assert raft_node("put", "k", "v", "--url", node.url).code == 0
    assert (len(node.asked), len(node.registered)) == (2, 2)
    node.first = [Answer(0), Answer(410, gone)]
    ran = raft_node("put", "k", "v", "--url", node.url)
    assert (ran.code, "and then" in ran.err, "session mark-7 is gone" in ran.err) == (5, True, True)


def test_without_a_session_nothing_is_written(fake_node: Make) -> None:
    silent, busy = fake_node(), fake_node()
    silent.session, busy.session = Answer(0), problem(504, "not committed in time.")
    ran = raft_node("put", "k", "v", "--url", silent.url, "--url", busy.url)
    assert (ran.code, ran.err) == (4, "raft-node: Unavailable, nothing happened: not committed in time.\n")
    busy.session = problem(403, "this origin may not.")
    ran = raft_node("put", "k", "v", "--url", silent.url, "--url", busy.url)
    assert (ran.code, "refused with status 403: this origin may not." in ran.err) == (1, True)
    assert (silent.asked, busy.asked) == ([], [])


def test_who_gave_the_session_is_asked_first(fake_node: Make) -> None:
    paused, good = fake_node(), fake_node()
    paused.session = Answer(0)
    good.answer = Answer(200, b"{}", ETAG)
    assert raft_node("put", "k", "v", "--url", paused.url, "--url", good.url).code == 0
    assert (len(paused.asked), len(good.asked)) == (0, 1)
    assert "idle_ms=60000" in good.registered[0].path


@pytest.mark.parametrize(("status", "code"), [(0, 5), (504, 5), (500, 1), (412, 6)])
def test_nodes_that_know_no_sessions_get_a_write_once(fake_node: Make, status: int, code: int) -> None:
    old, good = fake_node(), fake_node()
    old.session = problem(404, "there is no /sessions")
    old.answer = problem(status, "it took too long.") if status else Answer(0)
    for command in (["put", "k", "v"], ["delete", "k"]):
        old.asked.clear()
        ran = raft_node(*command, "--url", old.url, "--url", good.url)
        assert (ran.code, len(old.asked), len(good.asked)) == (code, 1, 0)
        assert "Raft-Session" not in old.asked[0].headers
    if code == 5:
        assert "Unknown outcome" in ran.err


def test_a_read_may_be_repeated_anywhere(fake_node: Make) -> None:
    broken, slow, good = fake_node(), fake_node(), fake_node()
    broken.answer, slow.answer, good.answer = Answer(0), Answer(504), Answer(200, b"v")
    urls = [part for node in (broken, slow, good) for part in ("--url", node.url)]
    assert raft_node("get", "k", *urls).out == b"v"


def test_nobody_there_is_unavailable(fake_node: Make) -> None:
    node = fake_node()
    node.stop()
    ran = raft_node("put", "k", "v", "--url", node.url)
    assert ran.code == 4
    assert f"No node answers, so nothing happened: {node.url} refuses connections" in ran.err


def test_without_url_and_cluster_file_the_cure_is_told(tmp_path: Path) -> None:
    ran = raft_node("get", "k", "--data-dir", str(tmp_path))
    assert ran.code == 64
    assert "cluster.json: give the nodes' URLs, or --data-dir" in ran.err
    assert raft_node("get", "k", "--url", "ftp://x").code == 64
    assert raft_node("get", "", "--url", "http://x").code == 64
