"""Quorum and commit arithmetic against a second, naive implementation that shares nothing with the first."""

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.messages import AppendReply
from node.raft.quorum import Tally, agreed, majority, tally
from tests.raft.bench import leader, names

FEW = settings(max_examples=150, deadline=None)


def naive_quorums(voters: Sequence[str]) -> list[set[str]]:
    """Every set of voters that is more than half of them, written out."""
    every = [set(chosen) for size in range(len(voters) + 1) for chosen in combinations(voters, size)]
    return [chosen for chosen in every if 2 * len(chosen) > len(voters)]


def naive_tally(voters: Sequence[str], votes: dict[str, bool]) -> Tally:
    quorums = naive_quorums(voters)
    if any(all(votes.get(voter) is True for voter in quorum) for quorum in quorums):
        return Tally.WON
    # lost: no quorum is left in which nobody refused
    return Tally.PENDING if any(all(votes.get(v) is not False for v in q) for q in quorums) else Tally.LOST


def naive_agreed(values: Sequence[int]) -> int:
    """The largest value v such that some quorum has reached v."""
    voters = names(len(values))
    reached = dict(zip(voters, values, strict=True))
    return max(min(reached[voter] for voter in quorum) for quorum in naive_quorums(voters))


@FEW
@given(st.integers(1, 7), st.dictionaries(st.sampled_from("abcdefghi"), st.booleans()))
def test_a_tally_equals_the_naive_one(count: int, votes: dict[str, bool]) -> None:
    assert tally(names(count), votes) is naive_tally(names(count), votes)


@FEW
@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_what_is_agreed_equals_the_naive_answer(values: list[int]) -> None:
    assert agreed(values) == naive_agreed(values)


def test_any_two_quorums_share_a_server() -> None:
    for count in range(1, 8):
        quorums = [set(chosen) for chosen in combinations(names(count), majority(count))]
        assert all(one & other for one in quorums for other in quorums)
        assert not any(len(chosen) < majority(count) for chosen in naive_quorums(names(count)))


@settings(max_examples=60, deadline=None)
@given(
    old=st.lists(st.integers(1, 3), max_size=4).map(sorted),
    new=st.integers(0, 4),
    acknowledged=st.lists(st.tuples(st.sampled_from("bcde"), st.integers(1, 9)), max_size=10),
    durable=st.booleans(),
)
def test_the_commit_index_equals_a_naive_count_of_copies(
    old: list[int], new: int, acknowledged: list[tuple[str, int]], durable: bool
) -> None:
    """Section 5.3 and 5.4.2 word for word: "if there exists an N such that N > commitIndex, a majority of
    matchIndex[i] >= N, and log[N].term == currentTerm: set commitIndex = N"."""
    server = leader(old, term=4, count=5, vouched=False)
    own = server.last_index
    for at in range(new):
        server.propose(b"x", first_request=at)
    if durable:
        server.persist()
        own = server.last_index
    match = dict.fromkeys("bcde", 0)
    commit = 1
    for peer, index in acknowledged:
        index = min(index, server.last_index)
        server.receive(peer, AppendReply(4, True, index))
        match[peer] = max(match[peer], index)
        for candidate_index in range(1, server.last_index + 1):
            copies = sum(at >= candidate_index for at in (own, *match.values()))
            if candidate_index > commit and copies > 2 and server.terms[candidate_index - 1] == 4:
                commit = candidate_index
        assert server.commit == commit
