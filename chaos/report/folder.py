"""The folder that a run leaves behind, and reading it back.

    RUNS/<time>-<name>/run.json        the record: what was done, verdicts, figures (report/record.py)
    RUNS/<time>-<name>/history.ndjson  what every client asked and was told, one operation a line
    RUNS/<time>-<name>/trace.ndjson    the nodes' own events, in their schema and nothing else
    RUNS/<time>-<name>/views.ndjson    samples of `/status`, one per line
    RUNS/<time>-<name>/evidence.json   logs at the end, final reads, when each trace line was on the tool's clock
    RUNS/<time>-<name>/undo.json       the undo journal (chaos/journal.py): what was done, and what of it was taken back
    RUNS/<time>-<name>/report.html     the page
    RUNS/latest                        a link to the newest run

Why it exists: a failed run is worth most when it can be looked at and judged again. Each file is replaced atomically.
It must not judge or draw.
"""

import contextlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from chaos.checks.verdict import Evidence
from chaos.errors import ChaosError, Usage
from chaos.model import Event, LogLine, Lost, Pause, View
from chaos.report.record import VERSION, Kept, RunRecord
from chaos.workload.history import Op, PastRead

RUNS_FOLDER = "chaos-runs"
"""Where runs go without `--out`, in the current folder."""
RUN_FILE, HISTORY_FILE, TRACE_FILE = "run.json", "history.ndjson", "trace.ndjson"
VIEWS_FILE, EVIDENCE_FILE, UNDO_FILE, REPORT_FILE = "views.ndjson", "evidence.json", "undo.json", "report.html"
LATEST = "latest"
SAME_SECOND_MAX_RUNS = 100

_T = TypeVar("_T")
_EVENT_KEYS = ("seq", "time_us", "node", "kind", "term", "role", "detail")


class _Rest(msgspec.Struct, kw_only=True):
    """`evidence.json`. A log line is (index, term, checksum); `event_at_us` and `event_boot` have one
    each for every line of the trace. `history_lines`, `views_lines`: of those files; None: of an older tool."""

    format: Literal["raft-chaos evidence"] = "raft-chaos evidence"
    version: int = VERSION
    logs: dict[str, tuple[tuple[int, int, str], ...]] = {}
    final: dict[str, int] = {}
    final_versions: dict[str, int] = {}
    past: dict[str, tuple[PastRead, ...]] = {}
    event_at_us: tuple[int, ...] = ()
    event_boot: tuple[str, ...] = ()
    lost: tuple[Lost, ...] = ()
    views_dropped: int = 0
    pauses: tuple[Pause, ...] = ()
    history_lines: int | None = None
    views_lines: int | None = None


class RunFolder:
    """The folder of one run, made when this is. `out`: the folder that holds the runs (`chaos-runs`); `began_wall_us`
    names it, in UTC. Raises ChaosError where it cannot be made or written."""

    def __init__(self, out: Path, name: str, began_wall_us: int | None = None) -> None:
        began = datetime.now(UTC) if began_wall_us is None else datetime.fromtimestamp(began_wall_us / 1e6, UTC)
        self.path = _make(out, f"{began:%Y%m%dT%H%M%SZ}-{name}")

    @property
    def undo_path(self) -> Path:
        """Where the undo journal of this run belongs."""
        return self.path / UNDO_FILE

    def write_history(self, history: Iterable[Op]) -> None:
        """`history.ndjson`, in the order given."""
        self._write(HISTORY_FILE, _lines(history))

    def write_trace(self, events: Iterable[Event]) -> None:
        """`trace.ndjson`, as the nodes sent it: without `at_us`, which `write_evidence` keeps."""
        self._write(TRACE_FILE, _lines({key: getattr(event, key) for key in _EVENT_KEYS} for event in events))

    def write_evidence(self, evidence: Evidence) -> None:
        """History, trace, views, and what else the checks look at: all that `load_run` needs beside the record."""
        self.write_history(evidence.history)
        self.write_trace(evidence.events)
        self._write(VIEWS_FILE, _lines(evidence.views))
        rest = _Rest(
            logs={node: tuple((e.index, e.term, e.checksum) for e in log) for node, log in evidence.logs.items()},
            final=dict(evidence.final),
            final_versions=dict(evidence.final_versions),
            past=dict(evidence.past),
            event_at_us=tuple(event.at_us for event in evidence.events),
            event_boot=tuple(event.boot for event in evidence.events),
            lost=evidence.lost,
            views_dropped=evidence.views_dropped,
            pauses=evidence.pauses,
            history_lines=len(evidence.history),
            views_lines=len(evidence.views),
        )
        self._write(EVIDENCE_FILE, msgspec.json.encode(rest) + b"\n")

    def write_run(self, record: RunRecord) -> None:
        """`run.json`, and the link `latest` beside the folder (left out where links cannot be made)."""
        self._write(RUN_FILE, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        _point_latest(self.path)

    def write_report(self, html: str) -> None:
        self._write(REPORT_FILE, html.encode())

    def _write(self, name: str, content: bytes) -> None:
        replace(self.path / name, content)


def load_run(path: Path) -> Kept:
    """Read a run back, from its folder (or its run.json, or `chaos-runs`, whose newest run is meant).

    Raises Usage where no run is there, ChaosError naming the file and the line where one is damaged or too new.
    """
    folder = _folder_of(path)
    record = _decode_record(folder / RUN_FILE)
    rest = _decode(folder / EVIDENCE_FILE, _read(folder / EVIDENCE_FILE), _Rest)
    _refuse_newer(folder / EVIDENCE_FILE, rest.version)
    history = _read_lines(folder / HISTORY_FILE, Op, rest.history_lines)
    views = _read_lines(folder / VIEWS_FILE, View, rest.views_lines)
    events = _read_lines(folder / TRACE_FILE, Event, len(rest.event_at_us))
    boots = rest.event_boot or ("",) * len(events)
    if len(boots) != len(events):
        raise ChaosError(
            f"{folder / EVIDENCE_FILE} is damaged: it has {len(boots)} processes for {len(events)} events."
        )
    evidence = Evidence(
        voters=record.voters,
        history=history,
        views=views,
        events=tuple(
            msgspec.structs.replace(event, at_us=at, boot=boot)
            for event, at, boot in zip(events, rest.event_at_us, boots, strict=True)
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
    return Kept(record=record, evidence=evidence)


def reopen(path: Path) -> RunFolder:
    """The folder of a run that is there already, to write a newer page or record into it."""
    folder = RunFolder.__new__(RunFolder)
    folder.path = _folder_of(path)
    return folder


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never half."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # on a full disk what is smaller must have the room
            temporary.unlink(missing_ok=True)
        raise ChaosError(f"{path} cannot be written: {error.strerror}; name another folder with --out.") from None


def _make(out: Path, name: str) -> Path:
    for number in range(1, SAME_SECOND_MAX_RUNS + 1):
        path = out / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if out.is_dir():
                continue
            raise ChaosError(f"{out} is not a folder: name another one with --out.") from None
        except OSError as error:
            raise ChaosError(f"{path} cannot be made: {error.strerror}; name another folder with --out.") from None
        return path
    raise ChaosError(f"{out} holds {SAME_SECOND_MAX_RUNS} runs of this second: name another folder with --out.")


def _point_latest(path: Path) -> None:
    link, temporary = path.parent / LATEST, path.parent / f".{LATEST}.{os.getpid()}"
    try:
        temporary.symlink_to(path.name, target_is_directory=True)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)


def _lines(values: Iterable[Any]) -> bytes:
    encoder = msgspec.json.Encoder()
    return b"".join(encoder.encode(value) + b"\n" for value in values)


def _folder_of(path: Path) -> Path:
    folder = path.parent if path.name == RUN_FILE else path
    for candidate in (folder, folder / LATEST):
        if (candidate / RUN_FILE).is_file():
            return candidate.resolve()
    if (folder / UNDO_FILE).is_file():
        raise Usage(
            f"{path} is of a run that was killed before it wrote what it had recorded, so there is nothing to judge: "
            "take back what it may have left with raft-chaos heal."
        )
    raise Usage(
        f"{path} holds no run (no {RUN_FILE}): name a folder in {RUNS_FOLDER}, for example {RUNS_FOLDER}/latest."
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
        raise ChaosError(
            f"{path} cannot be read ({error.strerror}), so the run cannot be judged again: "
            f"look at its {REPORT_FILE} instead, where there is one."
        ) from None


def _decode(path: Path, content: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ChaosError(f"{path} is damaged or was not written by raft-chaos: {error}.") from None


def _read_lines(path: Path, kind: type[_T], expected: int | None) -> tuple[_T, ...]:
    decoder = msgspec.json.Decoder(kind)
    found = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            found.append(decoder.decode(line))
        except msgspec.MsgspecError as error:
            raise ChaosError(f"{path} is damaged in line {number}: {error}.") from None
    if expected is not None and len(found) != expected:
        raise ChaosError(
            f"{path} has {len(found)} lines and {EVIDENCE_FILE} knows of {expected}: one of them was changed since the "
            "run, so it cannot be judged again."
        )
    return tuple(found)
