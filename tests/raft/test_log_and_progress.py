"""RaftLog and Progress against naive models of them, over random histories."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.errors import InvariantViolation
from node.raft.log import RaftLog
from node.raft.progress import Progress, ProgressState
from node.raft.types import Base, Entry, EntryKind
from tests.raft.bench import commands

FEW = settings(max_examples=150, deadline=None)
TERMS = st.lists(st.integers(1, 4), max_size=9).map(sorted)


def log_with(terms: list[int]) -> RaftLog:
    return RaftLog(commands(1, terms))


def based_at(index: int, terms: list[int]) -> RaftLog:
    """The log of these terms of which everything up to `index` is a base."""
    return RaftLog(commands(index + 1, terms[index:]), Base(index, [0, *terms][index]))


@FEW
@given(TERMS, TERMS, st.integers(0, 9))
def test_the_first_conflict_is_where_the_logs_part(ours: list[int], theirs: list[int], prev: int) -> None:
    offered = commands(1, theirs)[prev:]
    parting = [entry.index for entry in offered if ours[entry.index - 1 : entry.index] != [entry.term]]
    assert log_with(ours).first_conflict(offered) == (parting[0] if parting else None)


@FEW
@given(TERMS, st.integers(0, 12), st.integers(0, 5))
def test_a_hint_is_the_last_entry_that_could_match(terms: list[int], index: int, term: int) -> None:
    possible = [(0, 0), *((at, here) for at, here in enumerate(terms, 1) if at <= index and here <= term)]
    assert log_with(terms).last_not_above(index, term) == possible[-1]


@FEW
@given(TERMS, st.integers(0, 9), st.integers(0, 12), st.integers(0, 5))
def test_a_log_with_a_base_answers_as_the_whole_one_from_there_on(
    terms: list[int], cut: int, index: int, term: int
) -> None:
    cut = min(cut, len(terms))
    whole, part = log_with(terms), based_at(cut, terms)
    assert (part.last_index, part.last_term) == (whole.last_index, whole.last_term)
    assert part.term_at(index) == (whole.term_at(index) if index >= cut else None)
    assert part.slice(cut + 1, index, 90) == whole.slice(cut + 1, index, 90)
    if cut <= index <= len(terms):
        assert part.bytes_after(index) == whole.bytes_after(index)
    hint, real = part.last_not_above(index, term), whole.last_not_above(index, term)
    if real[0] >= cut:
        assert hint == real
    else:  # nobody knows which entry it is, so it is all that is possible: below the base, and not below the real one
        assert real[0] <= hint[0] < cut


@FEW
@given(TERMS, TERMS)
def test_up_to_date_is_the_order_of_section_5_4_1(ours: list[int], theirs: list[int]) -> None:
    ours_last, theirs_last = ([0, *ours])[-1], ([0, *theirs])[-1]
    later = theirs_last > ours_last
    expected = later or (theirs_last == ours_last and len(theirs) >= len(ours))
    assert log_with(ours).up_to_date(len(theirs), theirs_last) is expected


@FEW
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 30)), max_size=20))
def test_a_log_is_a_list_that_grows_and_is_cut(history: list[tuple[bool, int, int]]) -> None:
    log, model = RaftLog(), list[Entry]()
    for grows, number, size in history:
        if grows:
            entry = Entry(len(model) + 1, max([number, *(e.term for e in model[-1:])]), EntryKind.WRITE, b"x" * size)
            log.append((entry,))
            model.append(entry)
        else:
            assert log.truncate_from(number) == len(model[number - 1 :])
            del model[number - 1 :]
        assert log.last_index == len(model)
        assert log.size_bytes == sum(40 + len(entry.data) for entry in model)
        assert [log.term_at(at) for at in range(15)] == [0, *(e.term for e in model), *[None] * 14][:15]


@FEW
@given(st.lists(st.integers(0, 50), max_size=10), st.integers(1, 12), st.integers(0, 12), st.integers(0, 400))
def test_a_slice_is_the_longest_that_fits_and_one_at_least(sizes: list[int], first: int, last: int, limit: int) -> None:
    entries = [Entry(at, 1, EntryKind.WRITE, b"x" * size) for at, size in enumerate(sizes, 1)]
    wanted = entries[first - 1 : last]
    fitting = [count for count in range(len(wanted) + 1) if sum(e.size_bytes for e in wanted[:count]) <= limit]
    expected = wanted[: max(fitting[-1], min(1, len(wanted)))]
    assert list(RaftLog(entries).slice(first, last, limit)) == expected


@pytest.mark.parametrize("entry", [Entry(4, 2, EntryKind.WRITE), Entry(2, 2, EntryKind.WRITE)])
def test_a_log_refuses_gaps_and_repetition(entry: Entry) -> None:
    with pytest.raises(InvariantViolation, match="does not follow"):
        log_with([1, 2]).append((entry,))


def test_a_log_refuses_a_falling_term() -> None:
    with pytest.raises(InvariantViolation, match="falls"):
        log_with([1, 2]).append(commands(3, [1]))


def test_a_log_refuses_to_show_what_it_has_not() -> None:
    for index in (0, 3):
        with pytest.raises(InvariantViolation, match="no entry"):
            log_with([1, 2]).entry(index)
    with pytest.raises(InvariantViolation, match="cannot truncate"):
        log_with([1]).truncate_from(0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 3), st.integers(1, 60)),
        st.tuples(st.just("ack"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("refuse"), st.integers(0, 30), st.integers(0, 30)),
        st.tuples(st.just("beat"), st.just(0), st.just(0)),
        st.tuples(st.just("base"), st.integers(1, 9), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_progress_never_forgets_a_match_and_never_exceeds_its_window(history: list[tuple[str, int, int]]) -> None:
    """The model remembers every unacknowledged Append with entries; a window holds all of them, or is begun anew."""
    progress = Progress(5, 0, inflight_messages_max=3, inflight_bytes_max=100)
    match, base, flying = 0, 0, list[tuple[int, int]]()
    for step, one, two in history:
        before = progress.state
        if step == "send" and not progress.paused:
            last = progress.next - 1 + one
            progress.sent(last, two)
            if before is ProgressState.REPLICATE:
                flying.append((last, two))
        elif step == "ack":
            progress.acknowledged(one)
            flying = [message for message in flying if message[0] > one]
            assert progress.match == max(match, one)
        elif step == "refuse":
            changed = progress.refused(one, two)
            assert not (changed and before is ProgressState.REPLICATE and one <= match)
        elif step == "beat":
            due = progress.heartbeat_answered()
            assert not (due and before is ProgressState.SNAPSHOT)
        elif step == "base" and progress.match < one and before is not ProgressState.SNAPSHOT:
            base = one  # to one who waits for a snapshot nothing is sent, so nothing more is found missing
            progress.needs_snapshot(base)
        if before is ProgressState.SNAPSHOT:
            assert (progress.state is ProgressState.SNAPSHOT) == (progress.match < base)
        if progress.state is not ProgressState.REPLICATE:
            flying = []
        assert progress.match >= match
        assert progress.next > progress.match
        match = progress.match
        assert progress.inflight_messages == len(flying) <= 3
        assert progress.inflight_bytes == sum(size for _, size in flying)
        full = len(flying) >= 3 or sum(size for _, size in flying) >= 100
        waits = {ProgressState.PROBE: progress.probe_sent, ProgressState.REPLICATE: full, ProgressState.SNAPSHOT: True}
        assert progress.paused == waits[progress.state]
