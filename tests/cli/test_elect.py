"""`raft-node elect`: real processes that lead in turn, and those that hear of it."""

import json
import signal

import pytest

from tests.cli.holders import Node, ends, line, node

__all__ = ["node"]  # a fixture


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slowest)])
def test_one_leads_until_a_signal_and_then_the_next(node: Node, number: signal.Signals) -> None:
    with node.running("elect", "chief", "a") as first, node.running("elect", "chief", "--listen") as listening:
        key = line(first)
        assert line(first) == "a"
        assert [line(listening), line(listening)] == [key, "a"]
        with node.running("elect", "chief", "b") as second:
            node.until(lambda: len(node.keys("chief")) == 2, "the second one campaigns")
            assert second.poll() is None
            assert ends(first, number) == (0, "")
            theirs = line(second)
            assert theirs != key
            assert line(second) == "b"
            assert [line(listening), line(listening)] == [theirs, "b"]
            code, out, err = node.run("elect", "chief", "-l", "--count", "1", "--json")
            said = json.loads(out)
            assert (code, err, said["key"], said["value"]) == (0, "", theirs, "b")
            assert said["token"] > 0
            assert ends(second, signal.SIGTERM) == (0, "")
        assert ends(listening, number) == (0, "")
    assert node.keys("chief") == []


@pytest.mark.slowest
def test_who_is_told_to_end_while_it_campaigns_stands_no_more(node: Node) -> None:
    with node.running("elect", "stood", "a") as leading:
        key = line(leading)
        with node.running("elect", "stood", "b") as campaigning:
            node.until(lambda: len(node.keys("stood")) == 2, "the second one campaigns")
            assert ends(campaigning, signal.SIGTERM) == (143, "")
        assert node.keys("stood") == [key]


def test_a_lead_that_is_lost_is_told(node: Node) -> None:
    with node.running("elect", "lost", "a", "--ttl", "2") as leading:
        node.revoke(line(leading))
        code, err = ends(leading)
    assert (code, err.startswith("raft-node: Lost, and somebody else may hold it: ")) == (7, True)


def test_etcdctl_and_this_command_stand_in_one_election(node: Node) -> None:
    with node.running("elect", "both", "ours", "--json") as ours:
        said = json.loads(line(ours))
        with node.etcdctl("elect", "both", "theirs") as theirs:
            node.until(lambda: len(node.keys("both")) == 2, "both campaign")
            assert node.keys("both")[0] == said["key"]
            with node.etcdctl("elect", "-l", "both") as listening:
                assert [line(listening), line(listening)] == [said["key"], "ours"]
                assert ends(ours, signal.SIGTERM) == (0, "")
                key = line(theirs)
                assert line(theirs) == "theirs"
                assert [line(listening), line(listening)] == [key, "theirs"]
            code, out, _ = node.run("elect", "both", "--listen", "--count", "1")
            assert (code, out) == (0, f"{key}\ntheirs\n")
            ends(theirs, signal.SIGINT)
    assert node.keys("both") == []
