"""`/members`: one picture of who belongs, whichever node is asked."""

from typing import Any

from node.api.members import members_body
from node.raft.status import ApplicantStatus, PeerStatus
from node.raft.types import Member, MemberAddress, Role
from node.runtime.applicants import heard_applicants
from tests.api.double import client_of, serving
from tests.observe.status import MEMBERS, core_status

N4 = ApplicantStatus("n4", "i4", 1_500, "", MemberAddress("n4", "h4", 9004, "http://h4:8004"))


def rows(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {row["name"]: row for row in body[kind]}


def test_a_leader_says_how_far_everybody_is() -> None:
    core = core_status(
        learners=(Member("n5", "i5"),),
        peers=(PeerStatus("n2", "i2", 1500, "replicate", 9), PeerStatus("n5", "i5", None, "snapshot", 2)),
        addresses=(MemberAddress("n5", "::1", 9005, "http://n5"),),
    )
    body: Any = members_body(core, core)
    assert {name: (row["leader"], row["lag_entries"]) for name, row in rows(body, "voters").items()} == {
        "n1": (True, 0), "n2": (False, 0), "n3": (False, None),
    }  # fmt: skip
    n5 = rows(body, "learners")["n5"]
    assert (n5["lag_entries"], n5["match_index"], n5["address"], n5["client_url"]) == (7, 2, "[::1]:9005", "http://n5")


def test_another_node_shows_what_the_leader_told_it() -> None:
    own = core_status(name="n2", role=Role.FOLLOWER, peers=(PeerStatus("n1", "i1", 0), PeerStatus("n3", "i3", 0)))
    lead = core_status(peers=(PeerStatus("n2", "i2", 2000, "replicate", 4),))
    body: Any = members_body(own, lead)
    assert (rows(body, "voters")["n2"]["lag_entries"], rows(body, "voters")["n1"]["lag_entries"]) == (5, 0)
    assert rows(body, "voters")["n2"]["last_contact_ms"] == 2.0


def test_what_the_leader_did_not_tell_is_not_known() -> None:
    own = core_status(name="n2", role=Role.FOLLOWER, peers=(PeerStatus("n1", "i1", 0), PeerStatus("n3", "i3", 0)))
    body: Any = members_body(own, own)
    assert {row["lag_entries"] for row in body["voters"]} == {None}
    assert {row["last_contact_ms"] for row in body["voters"]} == {None}


def test_who_asks_is_shown_once_with_what_it_would_replace() -> None:
    again = ApplicantStatus("n3", "new", 2_000, "i3")
    core = core_status(applicants=(N4, again))
    body: Any = members_body(core, core, heard_applicants(core, ()))
    assert [(one["name"], one["replaces"], one["age_ms"]) for one in body["applicants"]] == [
        ("n3", "i3", 2.0), ("n4", "", 1.5),
    ]  # fmt: skip


def test_a_node_says_by_which_disk_and_address_it_could_be_let_in_again() -> None:
    core = core_status(removed=True)
    body: Any = members_body(core, core, (), MemberAddress("n1", "h1", 9001, "http://h1:8001"))
    assert body["own"] == {"incarnation": core.incarnation, "address": "h1:9001", "client_url": "http://h1:8001"}
    nowhere: Any = members_body(core, core)
    assert nowhere["own"] == {"incarnation": core.incarnation, "address": "", "client_url": ""}


async def test_the_route_says_it() -> None:

    async with serving() as server, client_of(server) as client, client.get("/members") as answer:
        body = await answer.json()
    assert (body["node"], body["leader"], [row["name"] for row in body["voters"]]) == (
        "n1", "n1", [member.name for member in MEMBERS],
    )  # fmt: skip
