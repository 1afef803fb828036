"""Which changes of members a leader makes by itself, and when."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest

from node.raft.changes import CAUGHT_UP_ENTRIES
from node.raft.status import ApplicantStatus, CoreStatus, PeerStatus
from node.raft.types import Member, Role
from node.runtime.auto_members import ASKED_US_MIN, RETRY_US_MAX, RETRY_US_MIN, AutoMembers
from node.runtime.ports import CommandOutcome
from tests.observe.status import MEMBERS, core_status

TIMEOUT_US = 300_000
NEW_DISK = ApplicantStatus("n3", "new", 1, "i3")
NEWCOMER = ApplicantStatus("n4", "i4", 1)


class Story:
    """A leader that lets n1 to n9 in; time passes with `look`."""

    def __init__(self, *patterns: str) -> None:
        self.now = 1_000_000
        self.orders: list[tuple[str, str]] = []
        self._reply: Callable[[CommandOutcome], None] | None = None
        self.auto = AutoMembers(patterns or ("n?",), TIMEOUT_US, self._order)

    def _order(self, command: str, arguments: Mapping[str, str], reply: Callable[[CommandOutcome], None]) -> None:
        self.orders.append((command, arguments["name"]))
        self._reply = reply

    def look(self, after_us: int = 0, **core: Any) -> list[tuple[str, str]]:
        """What was ordered by now."""
        self.now += after_us
        self.auto.look(status(**core), self.now)
        return self.orders

    def answer(self, code: Literal["ok", "refused"] = "ok") -> None:
        assert self._reply is not None
        self._reply(CommandOutcome("", "", code, ""))


def status(silent_us: int | None = 2 * TIMEOUT_US, **changes: Any) -> CoreStatus:
    peers = (PeerStatus("n2", "i2", 0, "replicate", 9), PeerStatus("n3", "i3", silent_us, "probe"))
    return core_status(**{"peers": peers, **changes})


@pytest.mark.parametrize(
    ("applicant", "order"), [(NEW_DISK, ("replace_member", "n3")), (NEWCOMER, ("add_learner", "n4"))]
)
def test_who_has_asked_for_long_enough_is_let_in(applicant: ApplicantStatus, order: tuple[str, str]) -> None:
    story = Story()
    assert story.look(applicants=(applicant,)) == []
    assert story.look(ASKED_US_MIN - 1, applicants=(applicant,)) == []
    assert story.look(1, applicants=(applicant,)) == [order]


def test_who_stopped_asking_begins_anew() -> None:
    story = Story()
    story.look(applicants=(NEWCOMER,))
    story.look(ASKED_US_MIN // 2)
    story.look(applicants=(NEWCOMER,))
    assert story.look(ASKED_US_MIN - 1, applicants=(NEWCOMER,)) == []


def test_a_leader_counts_from_when_it_leads() -> None:
    story = Story()
    story.look(applicants=(NEWCOMER,), role=Role.FOLLOWER)
    story.look(ASKED_US_MIN, applicants=(NEWCOMER,))
    assert story.look(ASKED_US_MIN - 1, applicants=(NEWCOMER,)) == []


def test_other_names_are_an_operators_to_let_in() -> None:
    story = Story("raft-*")
    story.look(applicants=(NEWCOMER,))
    assert story.look(ASKED_US_MIN, applicants=(NEWCOMER,)) == []


def test_while_the_old_disk_is_heard_nothing_takes_its_place() -> None:
    story = Story()
    story.look(applicants=(NEW_DISK,))
    assert story.look(ASKED_US_MIN, applicants=(NEW_DISK,), silent_us=TIMEOUT_US) == []
    assert story.look(applicants=(NEW_DISK,), silent_us=None) == [("replace_member", "n3")]


@pytest.mark.parametrize(
    ("progress", "lacks", "promoted"),
    [("replicate", CAUGHT_UP_ENTRIES, True), ("replicate", CAUGHT_UP_ENTRIES + 1, False), ("snapshot", 0, False)],
)
def test_a_learner_is_promoted_once_it_has_caught_up(progress: str, lacks: int, promoted: bool) -> None:
    peers = (PeerStatus("n4", "i4", 0, progress, 5_000 - lacks),)
    found = Story().look(learners=(Member("n4", "i4"),), peers=peers, last_index=5_000, voters=MEMBERS)
    assert found == ([("promote_learner", "n4")] if promoted else [])


@pytest.mark.parametrize("busy", [{"changing_members": True}, {"transferring_to": "n2"}])
def test_one_thing_at_a_time(busy: dict[str, Any]) -> None:
    story = Story()
    story.look(applicants=(NEWCOMER, NEW_DISK))
    assert story.look(ASKED_US_MIN, applicants=(NEWCOMER, NEW_DISK), **busy) == []
    assert len(story.look(applicants=(NEWCOMER, NEW_DISK))) == 1
    assert len(story.look(applicants=(NEWCOMER, NEW_DISK))) == 1
    story.answer()
    assert len(story.look(applicants=(NEWCOMER, NEW_DISK))) == 2


def test_what_was_refused_is_tried_again_ever_more_seldom() -> None:
    story = Story()
    story.look(applicants=(NEWCOMER,))
    story.look(ASKED_US_MIN, applicants=(NEWCOMER,))
    pause_us = RETRY_US_MIN
    for tries in range(1, 9):
        assert len(story.orders) == tries
        story.answer("refused")
        story.look(pause_us - 1, applicants=(NEWCOMER,))
        assert len(story.orders) == tries
        story.look(1, applicants=(NEWCOMER,))
        pause_us = min(2 * pause_us, RETRY_US_MAX)
