"""The page of a run: what it says, that it is safe to open, the same every time, and bounded."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Literal

import msgspec
import pytest

from chaos.anatomy import Failover
from chaos.checks.verdict import Verdict
from chaos.evidence.record import RunRecord
from chaos.model import FaultSpan, View
from chaos.report import figures, html, lanes, operations, scales, timeline, waterfall
from chaos.report.lanes import Segment
from chaos.report.markup import el
from chaos.report.scales import Window, lasting, window
from chaos.workload.history import Op
from tests.chaos import sample_run
from tests.chaos.sample_run import ENDED, NODES, S


class Page(HTMLParser):
    """A page taken apart: its text, its elements, and that every element is closed."""

    VOID = frozenset({"meta", "link", "br", "input", "hr"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def rendered(record: RunRecord | None = None) -> str:
    given = sample_run.evidence()
    return html.render(record or sample_run.record(given), given.history, given.views, given.events)


def test_the_page_begins_with_the_verdict_what_was_done_and_what_was_proved() -> None:
    text = Page(rendered()).text
    head = text[: text.index("What happened")]
    assert "Passed The cluster kept every promise that was checked, and recovered in time." in head
    assert "Done: kill the leader n1 (term 1, sigkill) at 2.0 s; then cut n2 | n1 n3 at 6.0 s." in head
    assert "Proved: 2 of 2 checks passed on" in head
    assert "Split brain: at most one leader per term" in head


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (1, "Unsafe"),
        (2, "Not recovered"),
        (3, "Proves nothing"),
        (4, "Refused"),
        (70, "Tool failed"),
        (130, "Interrupted"),
        (9, "Exit code 9"),
    ],
)
def test_every_ending_has_its_word(code: int, word: str) -> None:
    page = Page(rendered(msgspec.structs.replace(sample_run.record(), exit_code=code)))
    assert f" {word} " in page.text


def test_a_failed_check_comes_first_with_the_records_that_contradict_each_other() -> None:
    proof = ("2.000 s: w1 wrote 7, acknowledged", "9.000 s: r2 read 6")
    failed = Verdict("no-stale-read", "safety", "fail", "r2 read 6 although 7 had been acknowledged.", proof)
    record = sample_run.record()
    record = msgspec.structs.replace(record, exit_code=1, verdicts=(*record.verdicts, failed))
    page = Page(rendered(record))
    assert "Stale reads, linearizability: no read saw the past, failed: r2 read 6 although" in page.text
    assert page.text.index("no read saw the past") < page.text.index("Split brain: at most one leader per term")
    assert all(line in page.text for line in proof)
    assert next(attributes for tag, attributes in page.elements if tag == "details") == {"open": None}


def test_the_page_needs_nobody_and_runs_nothing_but_its_own_script() -> None:
    content = rendered()
    page = Page(content)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|url\((?!#)|@import", content)
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src") is None
    assert [a["href"] for _, a in page.elements if "href" in a] == ["data:,"]


def test_what_comes_from_outside_is_shown_and_never_run() -> None:
    bad = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>'
    given = sample_run.evidence()
    record = msgspec.structs.replace(
        sample_run.record(given),
        run=bad,
        command_line=bad,
        target_title=bad,
        notes=(bad,),
        voters=("n1", bad),
        verdicts=(Verdict(bad, "safety", "fail", bad, (bad,)),),
        failovers=(msgspec.structs.replace(sample_run.failover(), title=bad, killed=bad, new_leader=bad),),
        uncertainty_us={bad: 1},
        faults=(
            FaultSpan(kind="x", title=bad, injected_us=1, groups=((bad,), ("n1",)), acted_on=(bad, 1), facts=[bad]),
        ),
    )
    hostile = [msgspec.structs.replace(op, client=bad, error=bad, via=bad, key=bad) for op in given.history[:50]]
    page = Page(html.render(record, hostile, given.views, given.events))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "img" not in [tag for tag, _ in page.elements]
    assert bad in page.text


def test_the_same_record_gives_the_same_bytes() -> None:
    assert rendered() == rendered()


def test_every_drawing_has_its_words_and_its_table() -> None:
    page = Page(rendered())
    spoken = [a.get("aria-label") or "" for tag, a in page.elements if tag == "svg" and a.get("role") == "img"]
    assert any(label.startswith("leader, term 1, 0.000 s to 2.000 s") for label in spoken)
    assert any("n1 · term 1" in label and "nobody led" in label and "n2 · term 2" in label for label in spoken)
    table = page.text[page.text.index("The drawings as tables") :]
    assert "cut n2 | n1 n3: proven to work, for 2.00 s" in table
    assert "n1 does not answer, for 2.0" in table
    assert "n2 leads term 2" in table


def test_every_role_and_term_that_is_drawn_has_a_look() -> None:
    given = sample_run.evidence()
    some = [("leader", 1), ("candidate", 8), ("learner", 9), ("initial", 0), ("", 3)]
    views = tuple(
        View(name="n1", role=role, term=term, leader="", commit=1, applied=1, asked_us=at, answered_us=at)
        for number, (role, term) in enumerate(some)
        if role
        for at in range(number * 2 * S, (number + 1) * 2 * S, S // 10)
    )
    content = html.render(sample_run.record(given), (), views, ())
    drawn = [set(str(a["class"]).split()) - {"box"} for t, a in Page(content).elements if t == "svg" and "class" in a]
    assert {"leader", "c1"} in drawn
    assert {"candidate", "c8"} in drawn
    assert {"learner", "c1"} in drawn
    assert {"initial", "c0"} in drawn
    assert {"unknown"} in drawn
    style = re.findall(r"(?m)(?:^|} )\.([a-z0-9-]+)(?: \.shape \{| \{ --term: )", content)
    assert {look for looks in drawn for look in looks} - {"defs"} <= {*style, "follower"}


def test_the_legend_explains_the_roles_that_were_seen_in_the_words_of_the_dashboard() -> None:
    text = Page(rendered()).text
    assert "pre-candidate: asks whether it could win, in no new term yet" in text
    assert "waiting: has no vote" not in text


def test_an_empty_run_has_a_page_too() -> None:
    record = msgspec.structs.replace(
        sample_run.record(),
        verdicts=(),
        faults=(),
        failovers=(),
        voters=(),
        ended_us=0,
        uncertainty_us={},
        recovered_us=(),
    )
    text = Page(html.render(record, (), (), ())).text
    assert "Nothing was checked" in text
    assert "No fault was done." in text


def test_a_fault_that_never_ended_lasts_until_the_end() -> None:
    fault = FaultSpan(kind="x", title="x", injected_us=S)
    assert [(b, e, k) for b, e, k, _ in timeline.phases(fault, ENDED)] == [(S, ENDED, "wait")]
    fault.reverted_us = 3 * S  # never proven to work, but taken back
    assert [(b, e, k) for b, e, k, _ in timeline.phases(fault, ENDED)] == [
        (S, 3 * S, "wait"),
        (3 * S, ENDED, "heal"),
    ]
    assert timeline.phases(FaultSpan(kind="x", title="x"), ENDED) == []


@pytest.mark.slowest
def test_a_page_stays_small_however_much_happened() -> None:
    nodes = tuple(f"n{number}" for number in range(1, 16))
    long = 300 * S
    views = [
        View(
            name=node,
            role="leader" if number % 3 else "follower",
            term=number,
            leader="",
            commit=1,
            applied=1,
            asked_us=at,
            answered_us=at,
        )
        for number, at in enumerate(range(0, long, 250_000))
        for node in nodes
    ]
    outcomes: tuple[Literal["ok", "fail", "unknown"], ...] = ("ok", "fail", "unknown")
    ops = [
        Op(
            client="w1",
            number=n,
            kind="write",
            key="k",
            value=n,
            via=nodes[n % 15],
            sent_us=n * 6000,
            done_us=n * 6000 + 900,
            outcome=outcomes[n % 3],
        )
        for n in range(40_000)
    ]
    spans = tuple(
        FaultSpan(
            kind="kill",
            title=f"kill {n}",
            nodes=("n1",),
            injected_us=n * S,
            effective_us=n * S + 1,
            reverted_us=n * S + 500_000,
            healed_us=n * S + 900_000,
            facts=["fact"] * 100,
        )
        for n in range(1, 200)
    )
    failovers = tuple(msgspec.structs.replace(sample_run.failover(), injected_us=n * S) for n in range(1, 200))
    record = msgspec.structs.replace(
        sample_run.record(), voters=nodes, faults=spans, failovers=failovers, ended_us=long, recovered_us=(1,) * 199
    )
    content = html.render(record, ops, views, ())
    assert len(content.encode()) < html.PAGE_BYTES_MAX
    Page(content)


# --- lanes -----------------------------------------------------------------------------------------------------------


def test_lanes_are_drawn_from_samples_and_events() -> None:
    tracks = lanes.tracks(NODES, sample_run.views(), sample_run.events(), {"n2": 400}, sample_run.faults(), ENDED)
    roles = {node: [(s.role, s.term) for s in segments] for node, segments in tracks.items()}
    assert roles["n1"] == [("leader", 1), ("", 1), ("follower", 1), ("follower", 2), ("follower", 3)]
    assert roles["n2"] == [("follower", 1), ("pre-candidate", 1), ("leader", 2), ("pre-candidate", 2), ("follower", 3)]
    assert tracks["n2"][1] == Segment(2_200_000, 2_290_000, "pre-candidate", 1), "events are exact"
    for segments in tracks.values():
        assert segments[0].from_us == 0
        assert segments[-1].to_us == ENDED
        assert all(a.to_us == b.from_us for a, b in pairwise(segments))


def test_a_late_sample_does_not_take_back_what_the_node_told() -> None:
    late = View(name="n1", role="follower", term=1, leader="", commit=1, applied=1, asked_us=900, answered_us=1300)
    later = msgspec.structs.replace(late, role="leader", term=2, asked_us=5000, answered_us=5100)
    told = sample_run.event(1, 1000, "n1", "role", 2, "leader", **{"from": "candidate", "to": "leader"})
    track = lanes.tracks(("n1",), (late, later), (told,), {}, (), 10_000)["n1"]
    assert track[-1] == Segment(1000, 10_000, "leader", 2)


def follower(at: int, term: int) -> View:
    """A sample of n1."""
    return View(
        name="n1", role="follower", term=term, leader="", commit=1, applied=1, asked_us=at - 1000, answered_us=at
    )


def test_a_term_that_a_node_told_of_is_not_taken_back_by_a_disk_that_has_it_later() -> None:
    def drawn(*samples: tuple[int, int]) -> list[tuple[int, int]]:
        views = [follower(at, term) for at, term in samples]
        told = [sample_run.event(1, S, "n1", "term", 2, "follower", **{"from": 1, "to": 2})]
        return [(s.from_us, s.term) for s in lanes.tracks(["n1"], views, told, {}, (), 2 * S)["n1"]]

    before = [(at, 1) for at in range(0, S, S // 10)]
    assert drawn(*before, (1_200_000, 1), (1_500_000, 1), (1_800_000, 2)) == [(0, 1), (S, 2)]
    assert drawn(*before, (1_200_000, 1), (1_500_000, 1), (1_800_000, 1)) == [(0, 1), (S, 2), (1_200_000, 1)]


def test_two_changes_that_a_node_tells_of_at_once_are_one() -> None:
    views = [follower(at, 1) for at in range(0, S, S // 10)]
    told = [
        sample_run.event(1, S, "n1", "term", 2, "follower", **{"from": 1, "to": 2}),
        sample_run.event(2, S + 40, "n1", "role", 2, "candidate", **{"from": "follower", "to": "candidate"}),
    ]
    drawn = lanes.tracks(["n1"], views, told, {}, (), 2 * S - 500_000)["n1"]
    assert [(s.role, s.term) for s in drawn] == [("follower", 1), ("candidate", 2)]


def test_of_two_that_take_themselves_for_the_leader_the_later_term_counts() -> None:
    both = {
        "n1": (Segment(0, 5, "leader", 1), Segment(5, 9, "follower", 2)),
        "n2": (Segment(0, 3, "follower", 1), Segment(3, 7, "leader", 2), Segment(7, 9, "follower", 2)),
    }
    assert lanes.leaders(both, 9) == (Segment(0, 3, "n1", 1), Segment(3, 7, "n2", 2), Segment(7, 9, "", 0))


def test_a_lane_that_changes_without_end_is_bounded_and_has_no_holes() -> None:
    flickering = [
        sample_run.event(n, n * 1000, "n1", "role", n, "x", **{"from": "a", "to": "follower" if n % 2 else "candidate"})
        for n in range(2000)
    ]
    track = lanes.tracks(("n1",), (), flickering, {}, (), 2_000_000)["n1"]
    assert len(track) <= lanes.SEGMENTS_MAX
    assert all(a.to_us == b.from_us for a, b in pairwise(track))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_figures_are_counted_from_the_history() -> None:
    counted = figures.count(sample_run.evidence())
    good = [op for op in sample_run.history() if op.kind == "write" and op.outcome == "ok"]
    assert counted.acknowledged_writes == len(good)
    assert counted.unknown_writes == 16
    assert counted.longest_gap_us == 450_000
    assert counted.gap_from_us == 1_970_000
    assert counted.write_p50_us == counted.write_p99_us == 20_000
    assert counted.writes_per_s_before == pytest.approx(60, abs=1)
    assert counted.writes_per_s_after == pytest.approx(40, abs=20)
    assert figures.fault_spans(sample_run.evidence()) == ((2 * S, 3_500_000), (6 * S, 9 * S))


def test_a_cluster_that_never_answered_again_has_a_gap_until_nobody_asked_any_more() -> None:
    dead = [
        msgspec.structs.replace(op, outcome="unknown", code=0) if op.sent_us > 3 * S else op
        for op in sample_run.history()
        if op.kind == "write"
    ]
    counted = figures.count(msgspec.structs.replace(sample_run.evidence(), history=tuple(dead)))
    last = max(op.done_us for op in dead if op.outcome == "ok")
    assert counted.gap_from_us == last
    assert counted.longest_gap_us == max(op.sent_us for op in dead) - last > 7 * S


def test_a_run_without_writes_has_no_rates_and_no_latency() -> None:
    counted = figures.count(msgspec.structs.replace(sample_run.evidence(), history=()))
    assert counted.acknowledged_writes == 0
    assert counted.longest_gap_us is None
    assert counted.write_p50_us is None


def test_few_operations_are_single_marks_and_many_are_a_density() -> None:
    ops = [op for op in sample_run.history() if op.via == "n1"]
    assert len(ops) > operations.MARKS_MAX
    assert "<title>" not in operations.lane(ops, window(0, ENDED), 30)
    spread = [msgspec.structs.replace(ops[0], done_us=at) for at in range(0, ENDED, 500)]
    assert len(operations.density(spread, window(0, ENDED), 30)) < 12_000
    few = operations.lane(ops, window(0, S), 30)
    assert few.count("<title>w1 wrote") == 18
    assert "acknowledged" in few


def test_a_failover_is_told_in_words_and_steps() -> None:
    failover = sample_run.failover()
    assert waterfall.sentence(failover) == (
        "Nobody could write for 425 ms: n2 led term 2, no term was burned, 1 campaign. The shortest election timeout "
        "drawn was 180 ms. n1 itself ran again 2.00 s after the kill: no part of the failover."
    )
    text = Page(waterfall.table(failover, sample_run.RUN)).text
    assert "Election won +290 ms ±0.4 ms 90 ms n2 won in term 2" in text
    assert "First commit of the new term seen +350 ms −60 ms 60 ms n3" in text
    assert "Last write acknowledged before the gap −5.0 ms exact n2 w2 wrote w2 = 38" in text


def test_steps_that_were_not_seen_say_so() -> None:
    bare = Failover(fault=0, title="t", killed="n1", old_term=1, injected_us=5)
    assert Page(waterfall.table(bare, "r")).text.count("not seen") == 5
    assert "no write was acknowledged after it was killed" in waterfall.sentence(bare)


def test_several_failovers_are_compared() -> None:
    one = sample_run.failover()
    assert waterfall.summary((one,)) is None
    two = waterfall.summary((one, msgspec.structs.replace(one, unavailable_us=900_000)))
    assert two is not None
    assert "in the median, 900 ms at worst" in two


def test_ticks_are_round_few_and_inside() -> None:
    for end in (1000, 77_000, 1_500_000, 29_074_252, 600 * S):
        ticks = Window(0, end).ticks()
        assert 2 <= len(ticks) <= scales.TICKS_MAX + 1
        assert all(0 <= at <= end for at, _ in ticks)
        assert len({text for _, text in ticks}) == len(ticks)


def test_durations_have_three_digits_or_so() -> None:
    said = [lasting(us) for us in (800, 9_990, 294_192, 11_978_290, 125 * S)]
    assert said == ["0.8 ms", "10.0 ms", "294 ms", "11.98 s", "2 min 5 s"]


def test_markup_is_escaped_once() -> None:
    assert el("p", "a < b & c", el("b", "d"), None, title='"x"', hidden=False, open=True) == (
        '<p title="&quot;x&quot;" open>a &lt; b &amp; c<b>d</b></p>'
    )
