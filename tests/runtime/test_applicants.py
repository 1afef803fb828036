"""What an operator leaves out of a command is what the node said that asks to be let in."""

from typing import Any

import pytest

from node.raft.status import ApplicantStatus
from node.raft.types import Member, MemberAddress
from node.runtime.applicants import of_applicant
from node.runtime.commands import ORDERS, check, find
from node.runtime.ports import CommandOutcome

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
