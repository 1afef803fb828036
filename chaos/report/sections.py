"""The parts of the page that are words and tables: verdicts, figures, what each fault was, and the twins of drawings.

Why it exists: whatever is drawn must also be readable, by people who do not see the drawing and on paper. It must not
judge and not count.
"""

from collections.abc import Mapping, Sequence

from chaos.checks.verdict import Verdict
from chaos.evidence.record import RunRecord
from chaos.model import FaultSpan
from chaos.report import words
from chaos.report.lanes import Segment
from chaos.report.markup import Html, el, join
from chaos.report.scales import count, lasting, when
from chaos.report.timeline import phases
from chaos.workload.history import Op

TABLE_ROWS_MAX = 500
FAULTS_TOLD_MAX = 100
FACTS_MAX = 40
"""Of one fault."""


def verdicts(record: RunRecord) -> Html:
    """Failed checks first, with the records that contradict each other; then all of them as a table."""
    order = {"fail": 0, "unknown": 1, "pass": 2, "not-applicable": 3}
    ranked = sorted(record.verdicts, key=lambda verdict: order[verdict.outcome])
    if not ranked:
        return el("p", "Nothing was checked: the run ended before there was anything to check.")
    head = el("tr", *(el("th", text, scope="col") for text in ("Result", "Check", "What was seen")))
    table = el(
        "table",
        el("thead", head),
        el("tbody", *(_verdict_row(verdict, record.run) for verdict in ranked)),
        class_="checks",
    )
    return el("div", table, class_="scroll", tabindex="0", role="region", aria_label="Checks")


def _verdict_row(verdict: Verdict, run: str) -> Html:
    mark, word = words.MARKS[verdict.outcome]
    proof = None
    if verdict.proof:
        lines = el("ul", *(el("li", line.replace(f"chaos/{run}/", "")) for line in verdict.proof), class_="proof")
        bad = verdict.outcome == "fail"
        title = "The records that contradict each other" if bad else "More"
        proof = el("details", el("summary", title), lines, open=bad)
    return el(
        "tr",
        el("td", el("span", el("span", mark, aria_hidden="true"), f" {word}", class_=f"mark {verdict.outcome}")),
        el(
            "th",
            words.check(verdict.check),
            el("small", f"{words.GROUPS[verdict.group]} · {verdict.check}"),
            scope="row",
        ),
        el("td", verdict.sentence, proof),
    )


def figures(record: RunRecord) -> Html:
    """The numbers of the run."""
    f = record.figures
    rates = [_rate(f.writes_per_s_before), _rate(f.writes_per_s_during), _rate(f.writes_per_s_after)]
    tiles = (
        (
            "Acknowledged writes",
            count(f.acknowledged_writes),
            f"{count(f.failed_writes)} refused, provably not written",
        ),
        ("Outcome unknown", count(f.unknown_writes), "writes that may or may not have happened"),
        ("Reads", count(f.good_reads), f"{count(f.failed_reads)} got no answer"),
        ("Writes a second", " → ".join(rates), "before → during → after the faults"),
        (
            "Longest time without a write",
            _lasting(f.longest_gap_us),
            f"from {when(f.gap_from_us)} on" if f.gap_from_us is not None else "",
        ),
        ("Latency of a write", _lasting(f.write_p50_us), f"median; 99 of 100 within {_lasting(f.write_p99_us)}"),
    )
    return el(
        "dl",
        *(el("div", el("dt", name), el("dd", value), el("dd", note, class_="note")) for name, value, note in tiles),
        class_="tiles",
    )


def faults(record: RunRecord) -> Html:
    """Each fault: its steps in time, and what was seen."""
    told = [_fault(number, fault, record) for number, fault in enumerate(record.faults[:FAULTS_TOLD_MAX])]
    if len(record.faults) > FAULTS_TOLD_MAX:
        told.append(el("p", f"{len(record.faults) - FAULTS_TOLD_MAX} more faults are in run.json."))
    return join(told) if told else el("p", "No fault was done.")


def _fault(number: int, fault: FaultSpan, record: RunRecord) -> Html:
    recovered = record.recovered_us[number] if number < len(record.recovered_us) else None
    steps = [
        ("Done", fault.injected_us),
        ("Proven to work", fault.effective_us),
        ("Taken back", fault.reverted_us),
        ("Proven to be gone", fault.healed_us),
        ("Cluster whole again", recovered),
    ]
    rows = (el("div", el("dt", name), el("dd", "never" if at is None else when(at))) for name, at in steps)
    aim = f"{fault.acted_on[0]} led term {fault.acted_on[1]} in the instant before. " if fault.acted_on else ""
    groups = " | ".join(" ".join(group) for group in fault.groups)
    pairs = ", ".join(f"{a} to {b}" for a, b in fault.links[:FACTS_MAX]) if not groups else ""
    cut = (
        f"Nobody could talk across the bars: {groups}."
        if groups
        else f"Nothing got through from {pairs}."
        if pairs
        else ""
    )
    facts = [el("li", fact) for fact in fault.facts[:FACTS_MAX]]
    if len(fault.facts) > FACTS_MAX:
        facts.append(el("li", f"and {len(fault.facts) - FACTS_MAX} more in run.json"))
    return el(
        "article",
        el("h3", f"{number + 1}. {fault.title}"),
        el("p", aim + cut) if aim or cut else None,
        el("dl", join(rows), class_="steps"),
        el("ul", *facts) if facts else None,
    )


def clients(history: Sequence[Op], nodes: Sequence[str]) -> Html:
    """What the clients of each node were told."""
    numbers = {
        node: dict.fromkeys([(k, o) for k in ("write", "read") for o in ("ok", "fail", "unknown")], 0) for node in nodes
    }
    for op in history:
        if op.via in numbers:
            numbers[op.via][op.kind, op.outcome] += 1
    names = (
        "Through",
        "Writes acknowledged",
        "Writes refused",
        "Writes unknown",
        "Reads answered",
        "Reads without answer",
    )
    rows = (
        el(
            "tr",
            el("th", node, scope="row"),
            *(
                el("td", count(n), class_="n")
                for n in (
                    of["write", "ok"],
                    of["write", "fail"],
                    of["write", "unknown"],
                    of["read", "ok"],
                    of["read", "fail"] + of["read", "unknown"],
                )
            ),
        )
        for node, of in numbers.items()
    )
    return _table("What the clients of each node were told", names, list(rows))


def happenings(record: RunRecord, lanes: Mapping[str, Sequence[Segment]], leads: Sequence[Segment]) -> Html:
    """The timeline as a table, in the order of time."""
    found: list[tuple[int, str, str]] = []
    for number, fault in enumerate(record.faults):
        found += [
            (begin, "fault", f"{fault.title}: {said}, for {lasting(end - begin)}")
            for begin, end, _, said in phases(fault, record.ended_us)
        ]
        whole = record.recovered_us[number] if number < len(record.recovered_us) else None
        if whole is not None:
            found.append((whole, "cluster", f"whole again after: {fault.title}"))
    for segment in leads:
        said = f"{segment.role} leads term {segment.term}" if segment.role else "nobody leads"
        found.append((segment.from_us, "cluster", f"{said}, for {lasting(segment.to_us - segment.from_us)}"))
    for node, segments in lanes.items():
        for segment in segments:
            said = f"{words.role(segment.role)} in term {segment.term}" if segment.role else "does not answer"
            found.append((segment.from_us, node, f"{said}, for {lasting(segment.to_us - segment.from_us)}"))
    found.sort()
    rows = [
        el("tr", el("td", when(at), class_="n"), el("th", who, scope="row"), el("td", said)) for at, who, said in found
    ]
    more = (
        el("p", f"{len(rows) - TABLE_ROWS_MAX} more are in the files beside this page.")
        if len(rows) > TABLE_ROWS_MAX
        else None
    )
    return join((_table("The timeline as a table", ("At", "Who", "What"), rows[:TABLE_ROWS_MAX]), more))


def _table(name: str, columns: Sequence[str], rows: Sequence[Html]) -> Html:
    head = el("tr", *(el("th", column, scope="col") for column in columns))
    table = el("table", el("thead", head), el("tbody", *rows))
    return el("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)


def _lasting(duration_us: int | None) -> str:
    return "unknown" if duration_us is None else lasting(duration_us)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.0f}"
