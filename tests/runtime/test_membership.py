"""Who belongs: the seeds before birth, the configuration in force afterwards; and whose word counts for addresses."""

from node.raft.types import Configuration, Member, MemberAddress
from node.runtime.membership import Membership
from node.runtime.views import Views, encode_report
from tests.observe.status import node_status

SEEDS = tuple(MemberAddress(name, f"{name}.example", 9001) for name in ("n2", "n1", "n3"))


def configuration(*voters: str, learners: tuple[str, ...] = (), outgoing: tuple[str, ...] = ()) -> Configuration:
    def members(names: tuple[str, ...]) -> tuple[Member, ...]:
        return tuple(Member(name, f"{name}-disk") for name in names)

    return Configuration(members(voters), members(learners), members(outgoing))


def seen(membership: Membership) -> tuple[list[str], list[str]]:
    """Names and peers."""
    return list(membership.names), list(membership.peers)


def test_before_birth_the_seeds_belong_and_afterwards_the_configuration_in_force() -> None:
    membership = Membership("n1", SEEDS)
    assert seen(membership) == (["n1", "n2", "n3"], ["n2", "n3"])
    membership.adopt(configuration("n1", "n3", learners=("n4",), outgoing=("n5",)))
    assert seen(membership) == (["n1", "n3", "n4", "n5"], ["n3", "n4", "n5"])


def test_a_node_that_is_no_seed_and_no_member_is_its_own_but_nobodys_peer() -> None:
    membership = Membership("n9", SEEDS)
    assert seen(membership) == (["n1", "n2", "n3", "n9"], ["n1", "n2", "n3"])
    membership.adopt(configuration("n1", "n2"))
    assert seen(membership) == (["n1", "n2", "n9"], ["n1", "n2"])


def test_a_configuration_that_was_taken_back_counts_no_more() -> None:
    membership = Membership("n1", SEEDS)
    membership.adopt(configuration("n1", "n2", "n3", "n4"))
    membership.adopt(configuration("n1", "n2", "n3"))
    assert membership.peers == ("n2", "n3")
    membership.adopt(Configuration(()))
    assert membership.peers == ("n2", "n3")


def test_the_settings_say_how_a_member_is_reached_and_the_configuration_where_they_are_silent() -> None:
    membership = Membership("n1", SEEDS)
    addresses = (MemberAddress("n2", "old.example", 1, "http://n2:8001"), MemberAddress("n4", "n4.example", 9004))
    members = configuration("n1", "n2", "n3", "n4", "n5")
    membership.adopt(Configuration(members.voters, addresses=addresses))
    assert membership.where("n2") == MemberAddress("n2", "n2.example", 9001, "http://n2:8001")
    assert membership.where("n4") == MemberAddress("n4", "n4.example", 9004)
    assert membership.where("n5") is None
    assert membership.addresses() == {
        "n1": ("n1.example", 9001), "n2": ("n2.example", 9001), "n3": ("n3.example", 9001), "n4": ("n4.example", 9004),
    }  # fmt: skip


def test_who_is_leaving_belongs_and_is_reached_until_that_is_committed() -> None:
    membership = Membership("n1", SEEDS)
    n4 = Member("n4", "n4-disk")
    address = MemberAddress("n4", "n4.example", 9004)
    membership.adopt(Configuration(configuration("n1", "n4").voters, addresses=(address,)))
    without = configuration("n1", "n2")
    membership.adopt(without, (n4,))
    assert seen(membership)[1] == ["n2", "n4"]
    assert membership.where("n4") == address
    membership.adopt(without)
    assert seen(membership)[1] == ["n2"]
    assert membership.where("n4") is None


def test_observers_hear_of_each_change_once_in_their_order_and_see_it_done() -> None:
    membership = Membership("n1", SEEDS)
    heard: list[tuple[str, tuple[str, ...]]] = []
    membership.observe(lambda: heard.append(("first", membership.peers)))
    membership.observe(lambda: heard.append(("second", membership.peers)))
    for _ in range(2):
        membership.adopt(configuration("n1", "n2"))
    assert heard == [("first", ("n2",)), ("second", ("n2",))]


def test_a_new_address_alone_is_a_change_too() -> None:
    membership = Membership("n1", SEEDS)
    membership.adopt(configuration("n1", "n4"))
    heard: list[object] = []
    membership.observe(lambda: heard.append(membership.where("n4")))
    moved = MemberAddress("n4", "n4.example", 9004)
    membership.adopt(Configuration(configuration("n1", "n4").voters, addresses=(moved,)))
    assert heard == [moved]


def test_views_follow_the_membership_and_forget_who_is_no_peer() -> None:
    membership = Membership("n1", SEEDS)
    views = Views("n1", membership)
    own, n4 = node_status(), encode_report(node_status(name="n4"))
    views.heard(Member("n4", "n4-disk"), n4, now=0)
    assert [view.name for view in views.all(own, 0)] == ["n1", "n2", "n3"]
    membership.adopt(configuration("n1", "n4"))
    assert [(view.name, view.reachable) for view in views.all(own, 0)] == [("n1", True), ("n4", None)]
    views.heard(Member("n4", "n4-disk"), n4, now=0)
    assert [(view.name, view.reachable) for view in views.all(own, 0)] == [("n1", True), ("n4", True)]
    membership.adopt(configuration("n1"))
    membership.adopt(configuration("n1", "n4"))
    assert [(view.name, view.reachable) for view in views.all(own, 0)] == [("n1", True), ("n4", None)]
