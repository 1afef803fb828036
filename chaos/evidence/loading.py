"""Reading a run back from its folder, to be judged again.

Why it exists: a verdict is worth what the evidence is worth that it was read from, so a file that lost a line since, or
is damaged, is refused by its name. Of a run whose tool was gone before its end see unfinished.py. It must not judge.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from chaos.checks.verdict import Evidence
from chaos.errors import ChaosError
from chaos.evidence import unfinished
from chaos.evidence.folder import (
    EVIDENCE_FILE,
    HISTORY_FILE,
    REPORT_FILE,
    RUN_FILE,
    TRACE_FILE,
    VIEWS_FILE,
    folder_of,
)
from chaos.evidence.lines import Rest
from chaos.evidence.record import VERSION, Kept, RunRecord
from chaos.model import Event, LogLine, View
from chaos.workload.history import History, Op

_T = TypeVar("_T")
NOT_JUDGED = "The tool was gone before it had judged this run: it was judged from its files."


def load_run(path: Path) -> Kept:
    """Read a run back, from its folder (or its run.json, or `chaos-runs`, whose newest run is meant).

    Raises Usage where no run is there, ChaosError naming the file and the line where one is damaged or too new, or
    where the run still goes on.
    """
    folder = folder_of(path)
    record = _decode_record(folder / RUN_FILE) if (folder / RUN_FILE).exists() else None
    if record is None or not record.finished:
        unfinished.refuse_living(folder)
        if not (folder / EVIDENCE_FILE).exists():
            return unfinished.load(folder, record)
    if record is None:
        raise ChaosError(f"{folder / RUN_FILE} is gone, so the run cannot be judged again.")
    if not record.finished:
        record = msgspec.structs.replace(record, notes=tuple(dict.fromkeys((*record.notes, NOT_JUDGED))))
    return Kept(record=record, evidence=_evidence(folder, record))


def _evidence(folder: Path, record: RunRecord) -> Evidence:
    rest = _decode(folder / EVIDENCE_FILE, _read(folder / EVIDENCE_FILE), Rest)
    _refuse_newer(folder / EVIDENCE_FILE, rest.version)
    history, events, views = History(), list[Event](), list[View]()
    _read_lines(folder / HISTORY_FILE, Op, rest.history_lines, history.append)
    _read_lines(folder / VIEWS_FILE, View, rest.views_lines, views.append)
    _read_lines(folder / TRACE_FILE, Event, len(rest.event_at_us), events.append)
    boots = rest.event_boot or ("",) * len(events)
    offs = rest.event_off_us or (0,) * len(events)
    for told, what in ((boots, "processes"), (offs, "uncertainties")):
        if len(told) != len(events):
            raise ChaosError(
                f"{folder / EVIDENCE_FILE} is damaged: it has {len(told)} {what} for {len(events)} events."
            )
    return Evidence(
        voters=record.voters,
        history=history,
        views=tuple(views),
        events=tuple(
            msgspec.structs.replace(event, at_us=at_us, boot=boot, off_us=off_us)
            for event, at_us, boot, off_us in zip(events, rest.event_at_us, boots, offs, strict=True)
        ),
        logs={node: tuple(LogLine(*line) for line in log) for node, log in rest.logs.items()},
        final=rest.final,
        final_versions=rest.final_versions,
        past=rest.past,
        lost=rest.lost,
        views_dropped=rest.views_dropped,
        pauses=rest.pauses,
        uncertainty_us={node: off for node, off in record.uncertainty_us.items() if off is not None},
        faults=record.faults,
        recovered_us=record.recovered_us,
        recovery_limit_us=record.recovery_limit_us,
        began_faults_us=record.began_faults_us,
        ended_us=record.ended_us,
        workload=record.workload,
        system=record.system,
        lacks=record.lacks,
    )


def _decode_record(path: Path) -> RunRecord:
    content = _read(path)
    head = _decode(path, content, _Head)
    _refuse_newer(path, head.version)
    return _decode(path, content, RunRecord)


class _Head(msgspec.Struct):
    format: Literal["raft-chaos run"]
    version: int


def _refuse_newer(path: Path, version: int) -> None:
    if version > VERSION:
        raise ChaosError(f"{path} has version {version}, this raft-chaos knows {VERSION}: use the newer raft-chaos.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ChaosError:
    return ChaosError(
        f"{path} cannot be read ({error.strerror}), so the run cannot be judged again: "
        f"look at its {REPORT_FILE} instead, where there is one."
    )


def _decode(path: Path, content: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChaosError(f"{path} is damaged or was not written by raft-chaos: {error}.") from None


def _read_lines(path: Path, kind: type[_T], expected: int | None, keep: Callable[[_T], None]) -> None:
    """Give each line to `keep`, without holding the whole file."""
    decoder, number = msgspec.json.Decoder(kind), 0
    try:
        with path.open("rb") as lines:
            for line in lines:
                number += 1
                keep(decoder.decode(line))
    except OSError as error:
        raise _unreadable(path, error) from None
    except (msgspec.MsgspecError, OverflowError, RecursionError) as error:
        raise ChaosError(f"{path} is damaged in line {number}: {error}.") from None
    if expected is not None and number != expected:
        raise ChaosError(
            f"{path} has {number} lines and {EVIDENCE_FILE} knows of {expected}: one of them was changed since the "
            "run, so it cannot be judged again."
        )
