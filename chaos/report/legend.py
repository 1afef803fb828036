"""What the forms and colours of a drawing mean, beside each of them as it is drawn.

Why it exists: a reader who sees such a page for the first time needs the words of a role. It must not draw a run.
"""

from collections.abc import Mapping, Sequence

from chaos.report import words
from chaos.report.lanes import Segment
from chaos.report.markup import Html, el
from chaos.report.timeline import TERM_HEIGHT


def legend(lanes: Mapping[str, Sequence[Segment]]) -> Html:
    """What forms and colours mean; of roles, those that are drawn."""
    seen = {segment.role for segments in lanes.values() for segment in segments}
    swatch = el("rect", width="100%", height="100%", class_="shape")
    line = el("rect", width="100%", height=TERM_HEIGHT, class_="term")
    roles = [_key(role, f"{name}: {means}", swatch) for role, (name, means) in words.ROLES.items() if role in seen]
    roles += [_key("unknown", "no answer", swatch)] if "" in seen else []
    entries = (
        ("b-wait", "fault done or taken back, not yet proven"),
        ("b-on", "fault proven"),
        ("o-ok", "acknowledged (upwards; close up: writes over reads)"),
        ("o-fail", "refused (downwards)"),
        ("o-unknown", "outcome unknown (downwards)"),
    )
    keys = (_key("", text, el("rect", width="100%", height="100%", class_=kind)) for kind, text in entries)
    terms = _key("c2", "line on top: the term; equal terms have equal colours", line)
    return el("ul", *roles, terms, *keys, class_="legend")


def _key(look: str, text: str, drawn: Html) -> Html:
    return el("li", el("svg", drawn, width="18", height="13", aria_hidden="true", class_=look or None), text)


def patterns() -> Html:
    """Hatches that drawings of the page refer to."""
    stripes = el("path", d="M0 6L6 0M-1 1L1 -1M5 7L7 5", class_="hatch")
    pattern = el("pattern", stripes, id="hatch", width="6", height="6", patternUnits="userSpaceOnUse")
    return el("svg", el("defs", pattern), width="0", height="0", aria_hidden="true", class_="defs")
