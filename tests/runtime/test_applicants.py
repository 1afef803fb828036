"""What an operator leaves out of a command is what the node said that asks to be let in."""

from typing import Any

import pytest

from node.raft.status import ApplicantStatus
from node.raft.types import Member, MemberAddress
from node.runtime.applicants import heard_applicants, of_applicant, said_of_itself
from node.runtime.commands import ORDERS, check, find
from node.runtime.ports import CommandOutcome, PeerView
from tests.observe.status import core_status, node_status

N4 = ApplicantStatus("n4", "disk-4", 1, "", MemberAddress("n4", "h4", 9004, "http://h4:8004"))
N5 = ApplicantStatus("n5", "disk-5", 1, "", MemberAddress("n5", "::1", 9005))


def filled(command: str, **given: str) -> Any:
    spec = find(command)
    assert spec is not None
    return of_applicant(command, check(spec, given), (N4, N5))


def test_the_applicant_of_that_name_says_its_disk_and_how_it_is_reached() -> None:
    event: Any = ORDERS["add_learner"](7, filled("add_learner", name="n4"))
    assert (event.request, event.member, event.address) == (7, Member("n4", "disk-4"), N4.address)
    event = ORDERS["replace_member"](8, filled("replace_member", name="n5"))
    assert (event.name, event.incarnation, event.address) == ("n5", "disk-5", N5.address)


def test_what_is_said_counts_more() -> None:
    event: Any = ORDERS["add_learner"](7, filled("add_learner", name="n4", address="elsewhere:1"))
    assert event.address == MemberAddress("n4", "elsewhere", 1, "http://h4:8004")
    event = ORDERS["add_learner"](7, filled("add_learner", name="n4", incarnation="other"))
    assert (event.member.incarnation, event.address) == ("other", None)


def test_who_does_not_ask_is_not_let_in_unless_its_disk_is_named() -> None:
    refused = filled("add_learner", name="n9")
    assert isinstance(refused, CommandOutcome)
    assert refused.code == "refused"
    assert refused.message.startswith("n9 does not ask this node to be let in (asking: n4, n5)")
    event: Any = ORDERS["add_learner"](7, filled("add_learner", name="n9", incarnation="disk", address="[::1]:9"))
    assert event.address == MemberAddress("n9", "::1", 9)


@pytest.mark.parametrize("address", ["h", "h:0", "h:65536", "h:x", ":1", "a b:1"])
def test_an_address_is_host_and_port(address: str) -> None:
    refused = filled("add_learner", name="n4", address=address)
    assert (refused.code, refused.field) == ("malformed", "address")


def test_other_commands_are_left_as_they_are() -> None:
    assert filled("remove_member", name="n9") == {"name": "n9", "force": "no"}
    event: Any = ORDERS["remove_member"](1, {"name": "n9", "force": "yes"})
    assert event.force


def seen(name: str, *applicants: ApplicantStatus, reachable: bool | None = True) -> PeerView:
    return PeerView(name, node_status(name=name, applicants=applicants), 0, reachable)


def test_who_asks_any_node_that_is_heard_asks_the_cluster() -> None:
    """An empty disk asks its seeds, and who leads may be none of them."""
    core, unheard = core_status(applicants=(N5,)), seen("n3", ApplicantStatus("n6", "i", 1), reachable=None)
    heard = heard_applicants(core, (seen("n1"), seen("n2", N4), unheard))
    assert heard == (N4, N5)


def test_who_is_a_member_by_now_asks_no_more_and_what_it_replaces_is_judged_here() -> None:
    member, lost = ApplicantStatus("n2", "i2", 1), ApplicantStatus("n3", "new", 1)
    newcomer = ApplicantStatus("n4", "disk-4", 1, "gone-meanwhile")
    heard = heard_applicants(core_status(), (seen("n2", member, lost, newcomer),))
    assert [(one.name, one.replaces) for one in heard] == [("n3", "i3"), ("n4", "")]


def test_of_two_disks_of_one_name_the_one_that_asked_last_counts() -> None:
    late = ApplicantStatus("n4", "other", 900_000)
    assert heard_applicants(core_status(applicants=(late,)), (seen("n2", N4),)) == (N4,)


def test_what_it_says_of_itself_goes_with_the_wish() -> None:
    assert said_of_itself(N4) == {"incarnation": "disk-4", "address": "h4:9004", "client_url": "http://h4:8004"}
    assert said_of_itself(ApplicantStatus("n9", "i9", 1)) == {"incarnation": "i9"}
