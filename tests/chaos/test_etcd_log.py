"""What an etcd's own log says of terms, votes and leaders: exactly, in every life, line by line."""

from pathlib import Path

import msgspec
import pytest

from chaos.systems.etcdlog import EtcdLog

NAMES = {"aa": "n1", "bb": "n2", "cc": "n3"}
BEGIN = "2026-01-31T12:00:00.000250Z"


def line(msg: str, logger: str = "raft", **more: object) -> str:
    return msgspec.json.encode({"level": "info", "ts": BEGIN, "logger": logger, "msg": msg, **more}).decode() + "\n"


STARTED = line("Running: ", "", args=["etcd", "--name", "n1"]) + line(
    "starting an etcd server", "", **{"election-timeout": "1s"}
)


class Log:
    """The file of n1, and who reads it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "n1.log"
        self._path.write_text("")
        self.read = EtcdLog(self._path, "n1", NAMES)

    def add(self, *lines: str) -> list[tuple[str, int, dict[str, str | int | bool]]]:
        """What is told of them."""
        with self._path.open("a") as file:
            file.writelines(lines)
        return [(event.kind, event.term, event.detail) for event in self.read.read_on()]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_an_election_is_told_from_suspicion_to_the_leader(log: Log) -> None:
    assert log.add(STARTED, line("aa became follower at term 0")) == [("started", 0, {})]
    log.add(line("aa became follower at term 1"))
    assert log.add(line("aa became pre-candidate at term 1")) == [
        ("role", 1, {"from": "follower", "to": "pre-candidate"}),
        ("election", 1, {"phase": "pre-vote"}),
    ]
    assert log.add(line("aa became candidate at term 2"))[1] == ("election", 2, {"phase": "vote"})
    assert log.add(line("aa became leader at term 2")) == [
        ("role", 2, {"from": "candidate", "to": "leader"}),
        ("won", 2, {}),
    ]
    assert (log.read.role, log.read.term, log.read.leader) == ("leader", 2, "n1")
    assert log.read.election_timeout_ms == 1000.0


def test_a_new_term_is_never_told_with_the_old_leader(log: Log) -> None:
    log.add(STARTED, line("aa became follower at term 2"), line("raft.node: aa elected leader bb at term 2"))
    assert (log.read.leader, log.read.term) == ("n2", 2)
    log.add(line("aa became follower at term 3"))
    assert (log.read.leader, log.read.term) == ("", 3)
    cast = "aa [logterm: 2, index: 9, vote: 0] cast MsgVote for cc [logterm: 2, index: 9] at term 3"
    assert log.add(line(cast)) == [("vote", 3, {"candidate": "n3", "granted": True, "phase": "vote"})]
    log.add(line("raft.node: aa changed leader from bb to cc at term 3"))
    assert (log.read.leader, log.read.term) == ("n3", 3)
    assert log.add(line("raft.node: aa lost leader cc at term 3")) == [("leader", 3, {"leader": ""})]


def test_another_life_begins_without_what_the_last_one_knew(log: Log) -> None:
    log.add(STARTED, line("aa became leader at term 4"))
    first = log.read.life
    log.add(STARTED)
    assert log.read.life not in ("", first)
    assert (log.read.role, log.read.leader) == ("initial", "")


def test_a_line_counts_once_it_is_whole_and_what_is_no_line_is_passed_over(log: Log) -> None:
    text = line("aa became leader at term 2")
    assert log.add(STARTED, "panic: raft\n", '{"logger":"raft"\n', text[:40]) == [("started", 0, {})]
    assert [kind for kind, _, _ in log.add(text[40:])] == ["role", "won"]


def test_an_event_has_the_time_of_its_line(log: Log, tmp_path: Path) -> None:
    log.add(STARTED)
    event = EtcdLog(tmp_path / "n1.log", "n1", NAMES).read_on()[0]
    assert (event.time_us % 1_000_000, event.node, event.boot) == (250, "n1", "n1.1")


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(log: Log, tmp_path: Path) -> None:
    log.add(STARTED, line("aa became follower at term 1"), line("aa became leader at term 2"))
    (tmp_path / "n1.log").write_text("")
    assert log.add() == []
    assert log.add(line("aa became follower at term 3"))[0][:2] == ("role", 3)
    assert (log.read.role, log.read.life) == ("follower", "n1.1")


def test_a_life_that_began_far_back_in_a_long_file_is_known(log: Log, tmp_path: Path) -> None:
    log.add(STARTED, line("aa became follower at term 4"))
    with (tmp_path / "n1.log").open("a") as file:
        file.write(line("compacted", "mvcc") * 500_000)
    log.read.read_all()
    assert (tmp_path / "n1.log").stat().st_size > 40_000_000
    assert (log.read.life, log.read.durable) == ("n1.1", 4)


def test_a_file_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    nobody = EtcdLog(tmp_path / "none.log", "n1", NAMES)
    assert nobody.read_on() == []
    assert nobody.life == ""
