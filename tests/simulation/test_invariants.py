"""What the judge of worlds says of histories that no world may show."""

from types import SimpleNamespace
from typing import Any

import pytest

from node.raft.types import Configuration, Entry, EntryKind, Member, Role
from node.simulation.invariants import Violation
from node.simulation.invariants.configuration_safety import ConfigurationSafety, could_decide_apart
from node.simulation.invariants.history import History
from node.simulation.invariants.one_birth import OneBirth


def of(*names: str) -> Configuration:
    """Voters of these names, each on its disk; n2' is n2 on another disk."""
    return Configuration(tuple(sorted(Member(name.rstrip("'"), name) for name in names)))


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (of("n1", "n2", "n3"), of("n1", "n2", "n3"), False),
        (of("n1", "n2", "n3"), of("n1", "n2", "n3", "n4"), False),
        (of("n1", "n2", "n3"), of("n1", "n2"), False),
        (of("n1"), of("n1", "n2"), False),
        (of("n1", "n2", "n3"), of("n1", "n2", "n3", "n4", "n5"), True),
        (of("n1", "n2", "n3"), of("n1"), True),
        (of("n1", "n2", "n3"), of("n1", "n2'", "n3"), True),
        (of("n1", "n2", "n3", "n4", "n5"), of("n1", "n2'", "n3", "n4", "n5"), True),
        (of("n1", "n2"), of("n3", "n4"), True),
    ],
)
def test_two_configurations_decide_apart_where_two_majorities_have_nobody_in_common(
    one: Configuration, other: Configuration, apart: bool
) -> None:
    assert could_decide_apart(one, other) == apart
    assert could_decide_apart(other, one) == apart


def judged(*committed: Entry) -> tuple[ConfigurationSafety, History]:
    history = History()
    history.committed += committed
    safety = ConfigurationSafety(history)
    safety.committed()
    history.terms["n1"] = [entry.term for entry in committed]
    return safety, history


BIRTH = change(1, 0, of("n1", "n2", "n3"))
NOOP = Entry(2, 1, EntryKind.NOOP, b"")


def test_a_change_comes_after_an_entry_of_the_leaders_own_term() -> None:
    safety, history = judged(BIRTH, NOOP)
    history.terms["n1"] += [2, 2]
    with pytest.raises(Violation, match="before an entry of that term is committed"):
        safety.appended("n1", change(4, 2, of("n1", "n2")))
    history.committed.append(Entry(3, 2, EntryKind.NOOP, b""))
    history.committed.append(Entry(4, 3, EntryKind.NOOP, b""))  # of a newer leader, which this one has not heard of
    safety.appended("n1", change(4, 2, of("n1", "n2")))


def test_a_change_waits_for_the_one_before() -> None:
    safety, history = judged(BIRTH, NOOP)
    history.terms["n1"] += [1, 1]
    safety.appended("n1", change(3, 1, of("n1", "n2")))
    with pytest.raises(Violation, match="the change in 3 is not committed"):
        safety.appended("n1", change(4, 1, of("n1")))


def test_a_change_that_was_overwritten_is_waited_for_no_more_and_counts_as_rolled_back() -> None:
    safety, history = judged(BIRTH, NOOP)
    history.terms["n1"] += [1]
    safety.appended("n1", change(3, 1, of("n1", "n2")))
    history.committed.append(Entry(3, 2, EntryKind.NOOP, b""))
    history.terms["n1"][2:] = [2, 2]
    safety.appended("n1", change(4, 2, of("n1", "n2")))
    assert safety.rolled_back == 1


def test_what_is_committed_may_change_by_one_voter_only() -> None:
    safety, history = judged(BIRTH, NOOP)
    history.committed.append(change(3, 1, of("n1", "n2")))
    safety.committed()
    assert (safety.done, safety.last) == (1, of("n1", "n2"))
    history.committed.append(change(4, 1, of("n3", "n4")))
    with pytest.raises(Violation, match="in one step"):
        safety.committed()


def test_who_was_told_that_it_is_no_member_is_none() -> None:
    safety, history = judged(BIRTH, NOOP)
    history.terms["n1"] += [1]
    history.disks[Member("n1", "n1")] = "n1"
    without = change(3, 1, of("n2", "n3"))
    safety.appended("n1", without)
    told: Any = SimpleNamespace(left_out=True, told_out=3, configuration=of("n2", "n3"))
    with pytest.raises(Violation, match="was told that it is no member"):
        safety.stepped("n1", told)
    history.committed.append(without)
    safety.committed()
    safety.stepped("n1", told)


def test_who_was_let_in_again_may_not_know_it_yet_and_was_told_the_truth() -> None:
    """Seed 96510347167671 (members): the judge compared what was said of one entry with a later configuration."""
    safety, history = judged(BIRTH, NOOP)
    history.terms["n1"] += [1]
    history.disks[Member("n1", "n1")] = "n1"
    history.terms["n2"] = [0, 1]
    for entry in (change(3, 1, of("n2", "n3")), change(4, 1, of("n1", "n2", "n3"))):
        safety.appended("n2", entry)
        history.committed.append(entry)
        history.terms["n2"].append(1)
        safety.committed()
    told: Any = SimpleNamespace(left_out=True, told_out=3, configuration=of("n2", "n3"))
    safety.stepped("n1", told)
    told.told_out = 2
    with pytest.raises(Violation, match="no member at entry 2"):
        safety.stepped("n1", told)
    told.told_out = 4
    with pytest.raises(Violation, match="no member at entry 4"):
        safety.stepped("n1", told)


def campaigning(name: str, disk: str, *voters: str) -> Any:
    """A server that asks for votes, as the judge of births sees it."""
    configuration = of(*voters)
    return SimpleNamespace(
        role=Role.PRE_CANDIDATE,
        configuration=configuration,
        commit=1,
        base_at=lambda commit: SimpleNamespace(configuration=configuration),
        status=lambda now: SimpleNamespace(name=name, incarnation=disk, cluster_id="c"),
    )


def test_a_restarted_server_may_campaign_in_the_first_step_that_it_is_seen_at() -> None:
    """Power failed between its birth and its first step: it was never seen before."""
    OneBirth().stepped("n3", campaigning("n3", "n3", "n1", "n2", "n3"), changed=False)


def test_whose_disk_is_no_voter_may_not_campaign_even_in_its_first_step() -> None:
    with pytest.raises(Violation, match="which is no voter"):
        OneBirth().stepped("n3", campaigning("n3", "n3'", "n1", "n2", "n3"), changed=True)
