"""Reading back a run whose tool was gone before its end: what it had appended until then.

Why it exists: `kill -9`, or the machine's end, comes in the runs that matter most. The last line of a file may be
torn, and means nothing; where the nodes' clocks lay is measured again from their samples. What was only read at
the end (logs, the keys, the store's past) is missing, and checks say "unknown" of it. It must not judge.
"""

import fcntl
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from chaos import journal
from chaos.checks.verdict import Evidence
from chaos.errors import TOOL_FAILED, ChaosError
from chaos.evidence.folder import HISTORY_FILE, REST_FILE, TRACE_FILE, UNDO_FILE, VIEWS_FILE
from chaos.evidence.lines import RestLine
from chaos.evidence.record import Kept, RunRecord
from chaos.model import Event, Lost, Pause, View
from chaos.observe.offsets import Offsets
from chaos.observe.traces import placed
from chaos.workload.history import History, Op

_T = TypeVar("_T")
_TIME = "%Y%m%dT%H%M%SZ"


def refuse_living(folder: Path) -> None:
    """Raises ChaosError while the run goes on: it holds a lock of the kernel on its journal."""
    try:
        with (folder / UNDO_FILE).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ChaosError(
            f"The run in {folder} still goes on, or is being healed: judge it when that has ended."
        ) from None
    except OSError:
        return  # no journal, so nobody holds it


def load(folder: Path, record: RunRecord | None) -> Kept:
    """What there is of it, with a record rebuilt where its own was never written. Raises ChaosError naming file and
    line where one is damaged elsewhere than at its end."""
    history = History()
    try:
        for op in _lines(folder / HISTORY_FILE, Op):
            history.append(op)
    except OverflowError as error:
        raise ChaosError(f"{folder / HISTORY_FILE} is damaged in line {len(history) + 1}: {error}.") from None
    views = list(_lines(folder / VIEWS_FILE, View))
    rest = list(_lines(folder / REST_FILE, RestLine))
    record = record or _rebuilt(folder, views)
    offsets = Offsets(record.began_wall_us)
    for view in views:
        offsets.add(view, view.name)
    told = {line.event[0]: line.event[1:] for line in rest if line.event is not None}
    traced = list(_lines(folder / TRACE_FILE, Event))
    events = tuple(
        placed(msgspec.structs.replace(event, boot=told[number][0]), offsets, told[number][1])
        for number, event in enumerate(traced)
        if number in told
    )
    untold = Counter(event.node for number, event in enumerate(traced) if number not in told)
    ended_us = max(
        (
            *(op.done_us for op in history[-1:]),
            *(view.answered_us for view in views[-1:]),
            *(arrived_us for _, arrived_us in told.values()),
        ),
        default=0,
    )
    nodes = {*record.voters, *(view.name for view in views)}
    off = {node: offsets.uncertainty_us(node) for node in sorted(nodes)}
    recovered_us = (*record.recovered_us, *[None] * len(record.faults))[: len(record.faults)]
    evidence = Evidence(
        voters=record.voters,
        history=history,
        views=tuple(views),
        events=events,
        logs={},
        final={},
        lost=(*_losses(rest), *(Lost(node, count, 0, ended_us) for node, count in sorted(untold.items()))),
        views_dropped=max((line.dropped for line in rest), default=0),
        pauses=_pauses(rest),
        uncertainty_us={node: us for node, us in off.items() if us is not None},
        faults=record.faults,
        recovered_us=recovered_us,
        recovery_limit_us=record.recovery_limit_us,
        began_faults_us=record.began_faults_us or ended_us,
        ended_us=ended_us,
        workload=record.workload,
        system=record.system,
        lacks=record.lacks,
    )
    note = (
        f"The tool was gone before this run ended: what it had recorded in the first {ended_us / 1e6:.1f} s was judged."
    )
    record = msgspec.structs.replace(
        record,
        uncertainty_us=off,
        notes=tuple(dict.fromkeys((*record.notes, note))),
        recovered_us=evidence.recovered_us,
        ended_us=ended_us,
    )
    return Kept(record=record, evidence=evidence)


def _losses(rest: Iterable[RestLine]) -> tuple[Lost, ...]:
    return tuple(dict(line.lost for line in rest if line.lost is not None).values())


def _pauses(rest: Iterable[RestLine]) -> tuple[Pause, ...]:
    return tuple(dict(line.pause for line in rest if line.pause is not None).values())


def _rebuilt(folder: Path, views: list[View]) -> RunRecord:
    """From the folder's name, the journal's first line and the voters of the first sample that has any."""
    when, _, name = folder.name.partition("-")
    try:
        began = datetime.strptime(when, _TIME).replace(tzinfo=UTC)
    except ValueError:
        began = datetime.fromtimestamp(0, UTC)
    title, kind = "a cluster", "local"
    try:
        header = journal.read(folder / UNDO_FILE).header
        title, kind, name = header.target, header.kind, header.run
    except ChaosError:
        pass
    where: Literal["kubernetes", "local"] = "kubernetes" if kind == "kubernetes" else "local"
    return RunRecord(
        tool_version="unknown",
        run=name,
        command_line="",
        target_title=title,
        target_kind=where,
        seed=0,
        began_wall_us=int(began.timestamp() * 1e6),
        exit_code=TOOL_FAILED,
        voters=next((tuple(member.name for member in view.voters) for view in views if view.voters), ()),
        lacks=() if any(view.last_index for view in views) else ("last-index", "raft-log"),
        finished=False,
    )


def _lines(path: Path, kind: type[_T]) -> Iterable[_T]:
    """Those that are whole; a file that was not begun has none."""
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    try:
                        yield decoder.decode(line)
                    except (msgspec.MsgspecError, RecursionError) as error:
                        raise ChaosError(f"{path} is damaged in line {number}: {error}.") from None
    except FileNotFoundError:
        return
    except OSError as error:
        raise ChaosError(f"{path} cannot be read ({error.strerror}), so the run cannot be judged.") from None
