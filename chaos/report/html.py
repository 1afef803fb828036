"""The page of a run: one file that opens offline. (Its parts follow.)"""

from collections.abc import Sequence
from html import escape

from chaos.model import Event, View
from chaos.report.record import RunRecord
from chaos.workload.history import Op


def render(record: RunRecord, history: Sequence[Op], views: Sequence[View], events: Sequence[Event]) -> str:
    """The whole page. Same record, same bytes."""
    said = "".join(f"<li>{escape(v.check)}: {v.outcome}. {escape(v.sentence)}</li>" for v in record.verdicts)
    return (
        f"<!doctype html><title>{escape(record.run)}</title><ul>{said}</ul><p>{len(history) + len(views) + len(events)}"
    )
