"""The folder that a run leaves behind: its files, and how they are written.

    RUNS/<time>-<name>/run.json        the record: what was done, verdicts, figures (evidence/record.py)
    RUNS/<time>-<name>/history.ndjson  what every client asked and was told, one operation a line
    RUNS/<time>-<name>/trace.ndjson    the nodes' own events, in their schema and nothing else
    RUNS/<time>-<name>/views.ndjson    samples of `/status`, one per line
    RUNS/<time>-<name>/rest.ndjson     all else, as it came (evidence/live.py); gone when evidence.json is there
    RUNS/<time>-<name>/evidence.json   logs at the end, final reads, when each trace line was on the tool's clock
    RUNS/<time>-<name>/undo.json       the undo journal (chaos/journal.py): what was done, and what of it was taken back
    RUNS/<time>-<name>/report.html     the page
    RUNS/latest                        a link to the newest run

Why it exists: a failed run is worth most when it can be looked at and judged again. What grows is appended while the
run goes on, every other file is replaced atomically. It must not judge or draw.
"""

import contextlib
import os
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from chaos.checks.verdict import Evidence
from chaos.errors import ChaosError, Usage
from chaos.evidence.lines import Rest, encoded, of_events
from chaos.evidence.record import RunRecord

RUNS_FOLDER = "chaos-runs"
"""Where runs go without `--out`, in the current folder."""
RUN_FILE, HISTORY_FILE, TRACE_FILE = "run.json", "history.ndjson", "trace.ndjson"
VIEWS_FILE, REST_FILE, EVIDENCE_FILE = "views.ndjson", "rest.ndjson", "evidence.json"
UNDO_FILE, REPORT_FILE = "undo.json", "report.html"
LATEST = "latest"
SAME_SECOND_MAX_RUNS = 100


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

    def write_evidence(self, evidence: Evidence, already: Collection[str] = ()) -> None:
        """All that `load_run` needs beside the record; `already`: files that hold all of theirs since it came."""
        for name, lines in (
            (HISTORY_FILE, encoded(evidence.history)),
            (TRACE_FILE, of_events(evidence.events)),
            (VIEWS_FILE, encoded(evidence.views)),
        ):
            if name not in already:
                self._write(name, lines)
        rest = Rest(
            logs={node: tuple((e.index, e.term, e.checksum) for e in log) for node, log in evidence.logs.items()},
            final=dict(evidence.final),
            final_versions=dict(evidence.final_versions),
            past=dict(evidence.past),
            event_at_us=tuple(event.at_us for event in evidence.events),
            event_boot=tuple(event.boot for event in evidence.events),
            event_off_us=tuple(event.off_us for event in evidence.events),
            lost=evidence.lost,
            views_dropped=evidence.views_dropped,
            pauses=evidence.pauses,
            history_lines=len(evidence.history),
            views_lines=len(evidence.views),
        )
        self._write(EVIDENCE_FILE, [msgspec.json.encode(rest) + b"\n"])
        with contextlib.suppress(OSError):
            (self.path / REST_FILE).unlink(missing_ok=True)

    def write_run(self, record: RunRecord) -> None:
        """`run.json`, and the link `latest` beside the folder (left out where links cannot be made)."""
        self._write(RUN_FILE, [msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"])
        _point_latest(self.path)

    def write_report(self, html: str) -> None:
        self._write(REPORT_FILE, [html.encode()])

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        replace(self.path / name, pieces)


def reopen(path: Path) -> RunFolder:
    """The folder of a run that is there already, to write a newer page or record into it."""
    folder = RunFolder.__new__(RunFolder)
    folder.path = folder_of(path)
    return folder


def replace(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file so that a reader sees the old or the new one, never half."""
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
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


def folder_of(path: Path) -> Path:
    """The run that is meant: by its folder, its run.json, or `chaos-runs`, whose newest is. Raises Usage."""
    folder = path.parent if path.name == RUN_FILE else path
    for candidate in (folder, folder / LATEST):
        if any((candidate / name).is_file() for name in (RUN_FILE, HISTORY_FILE)):
            return candidate.resolve()
    if (folder / UNDO_FILE).is_file():
        raise Usage(
            f"{path} is of a run that was killed before it had recorded anything, so there is nothing to judge: "
            "take back what it may have left with raft-chaos heal."
        )
    raise Usage(
        f"{path} holds no run (no {RUN_FILE}): name a folder in {RUNS_FOLDER}, for example {RUNS_FOLDER}/latest."
    )
