"""etcd's member API: who is meant by an id or a URL, what the leader is told, and etcd's words for what it refuses."""

from typing import Any

import aiohttp
import msgspec
import pytest

from node.api.etcd import errors, member_calls
from node.api.etcd.identity import member_number
from node.raft.changes import Reason
from node.raft.status import ApplicantStatus
from node.raft.types import Member, MemberAddress, Role
from node.runtime.ports import CommandOutcome, PeerView, ReadFailed, Status
from tests.api.double import ScriptedNode, serving
from tests.observe.status import MEMBERS, core_status, node_status

AT = tuple(MemberAddress(f"n{i}", f"h{i}", 9000 + i, f"http://h{i}:8001") for i in (1, 2, 3))
N4 = Member("n4", "i4")
N4_AT = MemberAddress("n4", "h4", 9004, "http://h4:8004")
ASKING = ApplicantStatus("n4", "i4", 1_500, "", N4_AT)
ID2 = str(member_number(MEMBERS[1]))
ID4 = str(member_number(N4))


class Cluster(ScriptedNode):
    """Does what the leader would with a change of members; `refuse` says what it refuses, and why."""

    def __init__(self) -> None:
        super().__init__()
        self.own_status = node_status(addresses=AT, applicants=(ASKING,))
        self.refuse: dict[str, list[CommandOutcome]] = {}
        self.other: Status | None = None

    def views(self) -> tuple[PeerView, ...]:
        other = () if self.other is None else (PeerView(self.other.core.name, self.other, 0, True),)
        return (*super().views(), *other)

    async def command(self, name: str, arguments: Any, timeout_us: int, node: str = "") -> CommandOutcome:
        await super().command(name, arguments, timeout_us, node)
        if self.refuse.get(name):
            return self.refuse[name].pop(0)
        core = self.own_status.core
        if name == "add_learner":
            core = msgspec.structs.replace(core, learners=(N4,), addresses=(*AT, N4_AT))
        elif name == "promote_learner":
            core = msgspec.structs.replace(core, learners=(), voters=(*core.voters, N4))
        elif name == "remove_member":
            left = tuple(voter for voter in core.voters if voter.name != arguments["name"])
            core = msgspec.structs.replace(core, voters=left)
        self.own_status = msgspec.structs.replace(self.own_status, core=core)
        return CommandOutcome(name, node, "ok", "done")

    @property
    def told(self) -> list[str]:
        return [name for name, _, _ in self.commanded]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    node = Cluster()
    monkeypatch.setattr("tests.api.double.ScriptedNode", lambda: node)
    return node


async def post(verb: str, message: object) -> tuple[int, dict[str, Any]]:
    async with (
        serving() as server,
        aiohttp.ClientSession(server.url) as http,
        http.post(f"/v3/cluster/member/{verb}", json=message) as answer,
    ):
        return answer.status, await answer.json()


def rows(body: dict[str, Any]) -> dict[str, bool]:
    """Names, and whether each is a learner."""
    return {member["name"]: member.get("isLearner", False) for member in body["members"]}


def refused(reason: str, message: str = "no") -> CommandOutcome:
    return CommandOutcome("", "n1", "refused", message, {"reason": reason})


async def test_the_list_says_how_peers_and_clients_reach_everybody(cluster: Cluster) -> None:
    status, body = await post("list", {})
    assert status == 200
    assert {member["name"]: (member["peerURLs"], member["clientURLs"]) for member in body["members"]} == {
        "n1": (["http://h1:9001"], ["http://127.0.0.1:8001"]),  # its own word counts more
        "n2": (["http://h2:9002"], ["http://h2:8001"]),
        "n3": (["http://h3:9003"], ["http://h3:8001"]),
    }


async def test_who_asks_at_that_url_is_let_in_as_a_learner(cluster: Cluster) -> None:
    status, body = await post("add", {"peerURLs": ["http://h4:9004"], "isLearner": True})
    assert (status, body["member"]) == (
        200,
        {
            "ID": ID4,
            "name": "n4",
            "peerURLs": ["http://h4:9004"],
            "clientURLs": ["http://h4:8004"],
            "isLearner": True,
        },
    )
    assert rows(body) == {"n1": False, "n2": False, "n3": False, "n4": True}
    assert "revision" not in body["header"]
    said = {"name": "n4", "incarnation": "i4", "address": "h4:9004", "client_url": "http://h4:8004"}
    assert cluster.commanded == [("add_learner", said, "n1")]


async def test_who_is_added_as_a_voter_votes_as_soon_as_it_has_caught_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_calls, "PROMOTE_AGAIN_S", 0.001)
    cluster.refuse["promote_learner"] = [refused(Reason.BEHIND), refused(Reason.NOT_NOW), refused(Reason.BEHIND)]
    status, body = await post("add", {"peerURLs": ["http://h4:9004"]})
    assert (status, rows(body)["n4"], "isLearner" in body["member"]) == (200, False, False)
    assert cluster.told == ["add_learner", *["promote_learner"] * 4]


async def test_a_voter_that_does_not_catch_up_in_time_stays_a_learner_and_the_answer_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_calls, "PROMOTE_AGAIN_S", 0.01)
    monkeypatch.setattr(member_calls, "CHANGE_S_MAX", 0.05)
    cluster.refuse["promote_learner"] = [refused(Reason.BEHIND)] * 20
    status, body = await post("add", {"peerURLs": ["http://h4:9004"]})
    assert (status, body["code"]) == (504, 4)
    assert body["message"] == "etcdserver: n4 was added as a learner; promote it, for it has not caught up in time"
    assert 2 <= len(cluster.told) <= 7


async def test_a_promotion_that_fails_otherwise_says_what_was_done_before(cluster: Cluster) -> None:
    cluster.refuse["promote_learner"] = [refused(Reason.NO_QUORUM, "n2 would not answer")]
    status, body = await post("add", {"peerURLs": ["http://h4:9004"]})
    assert (status, body["code"]) == (503, 14)
    assert body["message"] == ("etcdserver: n4 was added as a learner, but its promotion failed: n2 would not answer")


async def test_a_follower_knows_who_asks_from_the_leader_and_has_the_leader_do_it(cluster: Cluster) -> None:
    cluster.own_status = node_status(name="n2", incarnation="i2", role=Role.FOLLOWER, leader="n1", addresses=AT)
    cluster.other = node_status(addresses=AT, applicants=(ASKING,))
    status, _ = await post("add", {"peerURLs": ["http://h4:9004"], "isLearner": True})
    assert (status, [to for _, _, to in cluster.commanded]) == (200, ["n1"])


async def test_who_does_not_ask_cannot_be_added_and_the_answer_says_who_does(cluster: Cluster) -> None:
    status, body = await post("add", {"peerURLs": ["http://h5:9005"]})
    assert (status, body["code"], cluster.told) == (400, 9, [])
    assert body["message"].startswith(
        "etcdserver: no node at h5:9005 asks to be let in (asking: http://h4:9004): start it first"
    )


@pytest.mark.parametrize(
    "urls",
    [
        *(None, [], ["h4:9004"], ["http://h4"], ["http://h4:9004/a"], ["http://h4:99999"], ["https://h4:9004"]),
        *(["unix://h4:9004"], [""], ["http://:9004"], ["http://u@h4:9004"], ["http://h4:9004", "x"]),
        *(["http://h4:9004"] * 17, ["http://" + "h" * 1024 + ":9004"]),
    ],
)
@pytest.mark.parametrize("verb", ["add", "update"])
async def test_urls_that_name_no_peer_are_refused(cluster: Cluster, verb: str, urls: list[str] | None) -> None:
    message = {"ID": ID2} if verb == "update" else {}
    status, body = await post(verb, message if urls is None else {**message, "peerURLs": urls})
    assert (status, body) == (400, {"code": 3, "message": errors.BAD_MEMBER_URLS})
    assert cluster.told == []


async def test_a_url_belongs_to_one_member(cluster: Cluster) -> None:
    taken = (400, {"code": 9, "message": errors.PEER_URL_EXISTS})
    assert await post("add", {"peerURLs": ["http://h2:9002"]}) == taken
    assert await post("update", {"ID": ID2, "peerURLs": ["http://h3:9003"]}) == taken
    assert cluster.told == []


async def test_another_url_of_a_member_is_its_new_address(cluster: Cluster) -> None:
    status, _ = await post("update", {"ID": ID2, "peerURLs": [" http://[::1]:9 "]})
    assert status == 200
    assert cluster.commanded == [("readdress_member", {"name": "n2", "address": "[::1]:9"}, "n1")]
    status, body = await post("update", {"ID": ID2, "peerURLs": ["http://a:1", "http://b:1"]})
    assert (status, body["message"]) == (400, "etcdserver: a member of this cluster has one peer URL")


async def test_a_learner_is_promoted_and_a_voter_is_not(cluster: Cluster) -> None:
    status, body = await post("promote", {"ID": ID2})
    assert (status, body) == (400, {"code": 9, "message": errors.NOT_LEARNER})
    cluster.own_status = node_status(addresses=AT, learners=(N4,))
    status, body = await post("promote", {"ID": int(ID4)})
    assert (status, rows(body)["n4"], cluster.told) == (200, False, ["promote_learner"])


async def test_who_is_removed_is_in_the_answer_no_more_even_where_it_answers_itself(cluster: Cluster) -> None:
    status, body = await post("remove", {"ID": ID2})
    assert (status, set(rows(body))) == (200, {"n1", "n3"})
    cluster.refuse["remove_member"] = [CommandOutcome("", "n1", "ok", "done")]  # and it has not heard of it yet
    status, body = await post("remove", {"ID": str(member_number(MEMBERS[0]))})
    assert (status, set(rows(body))) == (200, {"n3"})


@pytest.mark.parametrize("verb", ["promote", "remove", "update"])
async def test_an_id_that_nobody_has_is_not_found(cluster: Cluster, verb: str) -> None:
    for wanted in ({}, {"ID": "7"}, {"ID": str(2**64 - 1)}):
        status, body = await post(verb, {**wanted, "peerURLs": ["http://a:1"]})
        assert (status, body) == (404, {"code": 5, "message": errors.MEMBER_NOT_FOUND})
    status, body = await post(verb, {"ID": -1})
    assert (status, body["code"]) == (400, 3)
    assert cluster.told == []


@pytest.mark.parametrize(
    ("outcome", "status", "code", "message"),
    [
        (refused(Reason.BEHIND), 400, 9, errors.LEARNER_NOT_READY),
        (refused(Reason.NO_QUORUM), 503, 14, errors.UNHEALTHY),
        (refused(Reason.NO_MEMBER), 404, 5, errors.MEMBER_NOT_FOUND),
        (refused(Reason.ONLY_VOTER), 500, 2, errors.NOT_ENOUGH_STARTED),
        (refused(Reason.MEMBER), 400, 9, errors.MEMBER_EXISTS),
        (refused(Reason.NOT_NOW, "ask again"), 503, 14, "etcdserver: ask again"),
        (refused(Reason.TOO_MANY, "at most 64"), 400, 9, "etcdserver: at most 64"),
        (CommandOutcome("", "", "no-link", "no link to n1"), 503, 14, "etcdserver: no link to n1"),
        (CommandOutcome("", "", "overloaded", "too many"), 503, 14, "etcdserver: too many"),
        (
            CommandOutcome("", "", "unknown", "n1 did not answer in time"),
            504,
            4,
            "etcdserver: it is unknown whether this was done: n1 did not answer in time",
        ),
    ],
)
async def test_what_the_leader_refuses_is_said_in_etcds_words(
    cluster: Cluster, outcome: CommandOutcome, status: int, code: int, message: str
) -> None:
    cluster.refuse["remove_member"] = [outcome]
    assert await post("remove", {"ID": ID2}) == (status, {"code": code, "message": message})


@pytest.mark.parametrize("verb", ["add", "promote", "remove", "update"])
async def test_without_a_leader_nothing_is_asked_for(cluster: Cluster, verb: str) -> None:
    cluster.read_failure = ReadFailed("no-leader", "no leader is known")
    unavailable = (503, {"code": 14, "message": "etcdserver: no leader"})
    assert await post(verb, {"ID": ID2, "peerURLs": ["http://h4:9004"]}) == unavailable
    cluster.read_failure = None
    cluster.own_status = msgspec.structs.replace(cluster.own_status, core=core_status(leader="", applicants=(ASKING,)))
    if verb != "promote":  # a voter needs no leader to be refused
        assert await post(verb, {"ID": ID2, "peerURLs": ["http://h4:9004"]}) == unavailable
    assert cluster.told == []
