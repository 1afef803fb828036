"""What an etcd's answers mean to a client, and when a node last heard from another, by what it has received."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from chaos.clock import Clock
from chaos.errors import ChaosError
from chaos.observe.nodeapi import Reply, new_session
from chaos.systems.etcd import COUNT_EVERY_US, Etcd
from tests.chaos.doubles import answering
from tests.chaos.test_etcd_log import STARTED, line

Answer = Callable[[str, Any], tuple[int, Any]]
"""By what is asked and with which question: HTTP status and answer."""
HEADER = {"cluster_id": "1", "member_id": "170", "revision": "7"}
MEMBERS = {"members": [{"ID": "170", "name": "n1"}, {"ID": "187", "name": "n2"}, {"ID": "204", "name": "n3"}]}


class Node:
    """n1 as an etcd answers: `says` decides; `received`: bytes from n2."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "n1.log"
        self.log.write_text(
            STARTED + line("aa became follower at term 2") + line("raft.node: aa elected leader bb at term 2")
        )
        self.says: Answer = lambda what, _: (200, MEMBERS if what == "cluster/member/list" else self.status)
        self.status = {"header": HEADER, "raftTerm": "2", "raftIndex": "9", "raftAppliedIndex": "8", "version": "3.6.8"}
        self.received, self.counted = 100, 0
        self.system = Etcd({"n1": self.log}, {"n1": ""})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/metrics":
            self.counted += 1
            return web.Response(text=f'etcd_network_peer_received_bytes_total{{From="bb"}} {self.received}\n')
        code, answer = self.says(request.path.removeprefix("/v3/"), msgspec.json.decode(await request.read()))
        return web.Response(body=msgspec.json.encode(answer), status=code)


class At:
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.us = COUNT_EVERY_US * 2

    def now_us(self) -> int:
        return self.us


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session() as made:
        yield made


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(200, "ok"), (400, "fail"), (429, "fail"), (500, "unknown"), (503, "unknown"), (504, "unknown")],
)
async def test_only_a_refusal_for_certain_says_that_nothing_was_written(
    node: Node, session: aiohttp.ClientSession, code: int, outcome: str
) -> None:
    node.says = lambda *_: (code, {"header": HEADER, "message": "etcdserver: request timed out"})
    async with answering(node.handle) as url:
        reply = await node.system.write(session, url, "k", 5, 1.0)
    assert (reply.outcome, reply.code) == (outcome, code)
    assert reply.revision == (7 if code == 200 else 0)
    assert reply.error == ("" if code == 200 else "etcdserver: request timed out")


async def test_a_read_asks_the_majority_and_tells_value_and_revision(
    node: Node, session: aiohttp.ClientSession
) -> None:
    asked: list[Any] = []
    pair = {"key": "aw==", "value": base64.b64encode(b"5").decode(), "mod_revision": "6", "version": "2"}

    def says(_: str, question: Any) -> tuple[int, Any]:
        asked.append(question)
        return 200, {"header": HEADER, **({"kvs": [pair]} if len(asked) == 1 else {})}

    node.says = says
    async with answering(node.handle) as url:
        assert await node.system.read(session, url, "k", 1.0) == Reply("ok", 200, "", 5, 6)
        assert await node.system.read(session, url, "k", 1.0) == Reply("ok", 404, value=0)
    assert [question["serializable"] for question in asked] == [False, False]


async def test_who_does_not_answer_was_asked_and_who_is_not_there_was_not(
    node: Node, session: aiohttp.ClientSession
) -> None:
    enough = asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await enough.wait()
        return web.Response()

    async with answering(hangs) as url:
        assert (await node.system.read(session, url, "k", 0.1)).outcome == "unknown"
        assert (await node.system.write(session, url, "k", 1, 0.1)).outcome == "unknown"
        enough.set()
    assert (await node.system.read(session, url, "k", 0.5)).outcome == "fail"
    assert (await node.system.write(session, url, "k", 1, 0.5)).outcome == "fail"


async def test_a_silence_lasts_since_the_last_count_that_was_lower(node: Node, session: aiohttp.ClientSession) -> None:
    clock: Any = At()
    async with answering(node.handle) as url:

        async def age_us() -> int | None:
            view = await node.system.view(session, "n1", url, clock)
            assert view is not None
            age = next(peer.last_contact_ms for peer in view.peers if peer.name == "n2")
            return None if age is None else view.asked_us - int(age * 1000)

        assert await age_us() is None, "the first count says nothing of when"
        first_us, clock.us = clock.us, clock.us + COUNT_EVERY_US
        node.received += 50
        assert await age_us() == first_us
        clock.us += COUNT_EVERY_US // 2
        node.received += 50
        assert await age_us() == first_us, "not counted again so soon: the view is as old as the count"
        assert node.counted == 2
        clock.us += COUNT_EVERY_US
        assert await age_us() == first_us + COUNT_EVERY_US
        clock.us += COUNT_EVERY_US * 20
        assert await age_us() == first_us + COUNT_EVERY_US, "nothing came since"


async def test_role_and_term_are_those_of_the_log_and_two_lives_are_not_mixed(
    node: Node, session: aiohttp.ClientSession
) -> None:
    async with answering(node.handle) as url:
        view = await node.system.view(session, "n1", url, Clock())
        assert view is not None
        assert (view.role, view.term, view.leader, view.commit, view.applied) == ("follower", 2, "n2", 9, 8)
        assert [voter.name for voter in view.voters] == ["n1", "n2", "n3"]
        real = node.says

        def dies(what: str, question: Any) -> tuple[int, Any]:
            if what == "maintenance/status":
                node.log.write_text(node.log.read_text() + STARTED)
            return real(what, question)

        node.says = dies
        assert await node.system.view(session, "n1", url, Clock()) is None
        node.says = real
        assert await node.system.view(session, "n1", url, Clock()) is None, "its disk was not read yet"
        node.log.write_text(node.log.read_text() + line("aa became follower at term 2"))
        after = await node.system.view(session, "n1", url, Clock())
    assert after is not None
    assert (after.role, after.term, after.leader, after.boot) == ("follower", 2, "", "n1.2")


async def test_a_node_whose_log_falls_behind_does_not_lead_a_term_of_which_its_log_knows_nothing(
    node: Node, session: aiohttp.ClientSession
) -> None:
    with node.log.open("a") as log:
        log.write(line("aa became leader at term 3"))
    async with answering(node.handle) as url:
        node.status["raftTerm"] = "3"
        leading = await node.system.view(session, "n1", url, Clock())
        node.status["raftTerm"] = "4"
        behind = await node.system.view(session, "n1", url, Clock())
    assert leading is not None
    assert (leading.role, leading.term, leading.leader) == ("leader", 3, "n1")
    assert behind is not None
    assert (behind.role, behind.term, behind.leader) == ("follower", 4, "")


async def test_a_term_is_shown_with_its_leader_once_no_kill_can_take_it_back(
    node: Node, session: aiohttp.ClientSession
) -> None:
    async with answering(node.handle) as url:

        async def shown(*lines: str, applied: int) -> tuple[str, int, str]:
            node.log.write_text(node.log.read_text() + "".join(map(line, lines)))
            node.status["raftTerm"] = str(applied)
            view = await node.system.view(session, "n1", url, Clock())
            assert view is not None
            return view.role, view.term, view.leader

        assert await shown(applied=2) == ("follower", 2, "n2")
        new = "aa became follower at term 3", "raft.node: aa changed leader from bb to cc at term 3"
        assert await shown(*new, applied=2) == ("follower", 2, "")
        assert await shown(applied=3) == ("follower", 3, "n3")
        assert await shown("aa became candidate at term 4", applied=3) == ("candidate", 3, "")
        assert await shown("aa became leader at term 4", applied=3) == ("leader", 4, "n1")
        assert await shown("aa became follower at term 5", applied=3) == ("follower", 4, "")


async def test_two_stores_with_different_pasts_differ_in_their_lines(
    node: Node, session: aiohttp.ClientSession
) -> None:
    def changes(second: str, last: int = 7) -> Any:
        pairs = [(revision, second if revision == 3 else "MQ==") for revision in range(2, last + 1)]
        kvs = [{"kv": {"key": "aw==", "value": value, "mod_revision": str(revision)}} for revision, value in pairs]
        return {"result": {"header": HEADER, "events": kvs}}

    told: list[Any] = [changes("MQ=="), changes("MQ==", last=9), changes("Mg==")]
    node.says = lambda what, _: (200, told.pop(0) if what == "watch" else {"header": HEADER})
    async with answering(node.handle) as url:
        one, longer, other = [await node.system.log(session, url) for _ in range(3)]
    assert [line.index for line in one] == [2, 3, 4, 5, 6, 7]
    assert longer == one, "what came after the last revision that was asked for is left out"
    assert [a.index for a, b in zip(one, other, strict=True) if a != b] == [3]


async def test_a_past_that_was_forgotten_is_told_so(node: Node, session: aiohttp.ClientSession) -> None:
    compacted = {"result": {"header": HEADER, "compact_revision": "5", "canceled": True}}
    node.says = lambda what, _: (200, compacted if what == "watch" else {"header": HEADER})
    async with answering(node.handle) as url:
        with pytest.raises(ChaosError, match="has forgotten what was before revision 5"):
            await node.system.log(session, url)
