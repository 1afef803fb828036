"""Many events become few lines, in the order of time, each told once."""

import asyncio

from node.observe.events import TraceEvent
from node.supervisor.chronicle import Chronicle
from node.supervisor.narrator import REMEMBERED_MAX, Line, Narrator


def event(node: str, kind: str, term: int = 4, time_us: int = 0, **detail: str | int | bool) -> TraceEvent:
    return TraceEvent(1, time_us, node, kind, term, "follower", {name.rstrip("_"): v for name, v in detail.items()})


def told(*events: TraceEvent) -> list[str]:
    narrator = Narrator(5)
    return [line.text for e in events if (line := narrator.tell(e))]


def test_an_election_is_told_once_however_many_nodes_report_it() -> None:
    assert told(
        event("n3", "role", from_="follower", to="pre-candidate", reason="election timeout"),
        event("n3", "election", 3, phase="pre-vote", campaign=1),
        event("n1", "vote", 3, candidate="n3", granted=True, phase="pre-vote", reason=""),
        event("n3", "election", phase="vote", campaign=1),
        event("n3", "won", votes=3, voters=5),
        event("n3", "leader", leader="n3"),
        event("n1", "leader", leader="n3"),
        event("n2", "leader", leader="n3"),
    ) == [
        "n3 hears no leader and asks whether it could win an election",
        "n3 stands for election and asks for votes in term 4",
        "n3 won the election with 3 of 5 votes and leads in term 4",
    ]


def test_a_leader_is_told_by_a_follower_when_its_own_word_is_missing() -> None:
    assert told(event("n1", "leader", leader="n3"), event("n2", "leader", leader="n3")) == [
        "n3 leads in term 4 (told by n1)"
    ]


def test_a_node_without_a_quorum_asks_again_and_again_and_is_told_once() -> None:
    again = event("n3", "election", phase="pre-vote", campaign=1)
    assert len(told(again, again, again)) == 1


def test_a_new_doubt_after_a_known_leader_is_news() -> None:
    doubt = event("n3", "election", phase="pre-vote", campaign=1)
    assert len([t for t in told(doubt, event("n3", "leader", leader="n1"), doubt) if "asks whether" in t]) == 2


def test_a_leader_that_steps_down_is_told_once() -> None:
    assert told(
        event("n3", "quorum-lost", heard=1, voters=5),
        event("n3", "role", from_="leader", to="follower", reason="no quorum answered"),
    ) == ["n3 no longer hears a majority and steps down as leader of term 4"]
    assert told(event("n3", "role", from_="leader", to="follower", reason="higher term")) == [
        "n3 is no longer leader: higher term"
    ]


def test_birth_is_told_once_for_all_and_traffic_never() -> None:
    birth = [event(f"n{i}", "born", cluster="c1", voters="n1 n2") for i in range(3)]
    assert told(*birth) == ["the cluster is born; its voters are n1, n2"]
    assert told(event("n1", "message", peer="n2", sent=True), event("n1", "link", peer="n2", up=True)) == []
    assert told(event("n1", "no-such-kind")) == []


def test_what_was_told_is_remembered_within_bounds() -> None:
    narrator = Narrator(5)
    for term in range(REMEMBERED_MAX + 10):
        narrator.tell(event("n1", "won", term, votes=3))
    assert len(narrator._told) <= REMEMBERED_MAX


async def test_lines_come_in_the_order_of_time_not_of_arrival() -> None:
    lines: list[str] = []
    done = asyncio.Event()

    def say(line: Line) -> None:
        lines.append(line.text)
        if len(lines) == 3:
            done.set()

    chronicle = Chronicle(Narrator(5), say)
    chronicle.add(event("n1", "leader", time_us=30, leader="n3"))
    chronicle.add(Line(20, "died", "n5", "n5 died"))
    chronicle.add(event("n3", "won", time_us=10, votes=3, voters=5))
    chronicle.add(event("n4", "fatal", time_us=40, reason="disk full"))
    assert lines == []
    await asyncio.wait_for(done.wait(), 5)
    assert lines == ["n3 won the election with 3 of 5 votes and leads in term 4", "n5 died", "n4 must stop: disk full"]


async def test_a_flush_tells_everything_at_once() -> None:
    lines: list[str] = []
    chronicle = Chronicle(Narrator(5), lambda line: lines.append(line.text))
    chronicle.add(Line(2, "died", "n2", "second"))
    chronicle.add(Line(1, "died", "n1", "first"))
    chronicle.flush()
    assert lines == ["first", "second"]
