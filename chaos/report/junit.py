"""The verdicts of a run as JUnit XML, which every CI shows.

Why it exists: a pipeline shows what failed beside its other tests, by name and with the proof. A check that could not
tell is an *error*, not *skipped*: a run that proves nothing must not look green. Five elements of the standard library
say it all, so no package is needed for it. It must not judge.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree import ElementTree

from chaos.checks import judge
from chaos.errors import PASSED
from chaos.evidence.record import RunRecord
from chaos.report import words

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {"fail": "failure", "unknown": "error", "pass": ""}
"""By outcome; what is none of these was not asked for and is skipped."""
RUN = "run"
"""The case of the run itself: whether it came to its end."""
Case = tuple[str, str, str, str, Iterable[str]]
"""Group, check, element, sentence, proof."""


def of_record(record: RunRecord) -> bytes:
    """Every verdict, and whether the run itself came to its end."""
    cases: list[Case] = [
        (v.group, v.check, _ELEMENTS.get(v.outcome, "skipped"), v.sentence, v.proof) for v in record.verdicts
    ]
    explained = record.exit_code in (PASSED, judge.exit_code(record.verdicts))
    broke_off = "" if explained else "error"
    said = "; ".join(record.notes) or f"exit code {record.exit_code}"
    cases.append((RUN, RUN, broke_off, said if broke_off else "", ()))
    return _suite(record.run, cases, record.ended_us / 1e6, datetime.fromtimestamp(record.began_wall_us / 1e6, UTC))


def of_trouble(name: str, sentence: str) -> bytes:
    """A run of which there are no verdicts."""
    return _suite(name, [(RUN, RUN, "error", sentence, ())], 0.0, None)


def _suite(name: str, cases: list[Case], seconds: float, began: datetime | None) -> bytes:
    counts = {f"{kind}s" if kind != "skipped" else kind: 0 for kind in ("failure", "error", "skipped")}
    suite = ElementTree.Element("testsuite", name=_text(name), tests=str(len(cases)), time=f"{seconds:.3f}")
    if began is not None:
        suite.set("timestamp", began.replace(tzinfo=None).isoformat(timespec="seconds"))
    for group, check, element, sentence, proof in cases:
        title = words.CHECKS.get(check)
        called = f"{check} ({title})" if title else check
        case = ElementTree.SubElement(suite, "testcase", classname=f"raft-chaos.{group}", name=called, time="0")
        if element:
            counts[f"{element}s" if element != "skipped" else element] += 1
            told = ElementTree.SubElement(case, element, message=_text(sentence), type=check)
            told.text = _text("\n".join((sentence, *proof)))
        elif sentence:
            ElementTree.SubElement(case, "system-out").text = _text(sentence)
    for kind, count in counts.items():
        suite.set(kind, str(count))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _text(text: str) -> str:
    """Without what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
