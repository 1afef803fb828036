"""From what was recorded to verdicts, an exit code and the folder, also and above all when the run failed.

Why it exists: a run that is broken off has the most to tell. The evidence is written before anything judges it. It must
not talk to the cluster.
"""

import asyncio
import contextlib
import functools
import importlib.metadata
from collections.abc import Collection, Sequence

import msgspec

from chaos import anatomy
from chaos.checks import judge
from chaos.checks.verdict import Evidence
from chaos.errors import INTERRUPTED, NOT_EFFECTIVE, NOT_RECOVERED, PASSED, TOOL_FAILED, UNSAFE, ChaosError
from chaos.evidence.disk import Disk
from chaos.evidence.folder import RunFolder
from chaos.evidence.record import Kept, RunRecord
from chaos.report import figures, html
from chaos.targets.port import Target

DISK_SECONDS_MAX = 120.0
"""A disk that has not answered for so long is given up, and the verdict is told without it. The largest history takes
some seconds to encode and to write."""


@functools.cache
def tool_version() -> str:
    """As it was installed; "unknown" from a bare checkout."""
    try:
        return importlib.metadata.version("durable-raft")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def record_of(
    evidence: Evidence,
    target: Target,
    *,
    run: str,
    command_line: str,
    seed: int,
    began_wall_us: int,
    interrupted: bool,
    notes: tuple[str, ...],
) -> RunRecord:
    """The record before it is judged."""
    return RunRecord(
        tool_version=tool_version(),
        run=run,
        command_line=command_line,
        target_title=target.title,
        target_kind=target.kind,
        workload=evidence.workload,
        system=evidence.system,
        lacks=evidence.lacks,
        namespace=target.namespace,
        seed=seed,
        began_wall_us=began_wall_us,
        exit_code=TOOL_FAILED,
        interrupted=interrupted,
        uncertainty_us={node: evidence.uncertainty_us.get(node) for node in target.nodes},
        notes=notes,
        voters=evidence.voters,
        faults=evidence.faults,
        recovered_us=evidence.recovered_us,
        recovery_limit_us=evidence.recovery_limit_us,
        began_faults_us=evidence.began_faults_us,
        ended_us=evidence.ended_us,
        finished=False,
    )


def exit_code_of(verdict_code: int, trouble: ChaosError | None, unhealed: bool) -> int:
    """A violated promise weighs most, then what is not healed, then why the run was broken off, then the verdicts.
    INTERRUPTED says "and healed", so a cluster that did not recover outweighs it."""
    if verdict_code == UNSAFE:
        return UNSAFE
    interrupted = trouble is not None and trouble.code == INTERRUPTED
    if unhealed or (interrupted and verdict_code == NOT_RECOVERED):
        return NOT_RECOVERED
    if trouble is not None and trouble.code in (INTERRUPTED, TOOL_FAILED):
        return trouble.code
    if verdict_code == NOT_RECOVERED:
        return NOT_RECOVERED
    return trouble.code if trouble is not None else verdict_code


async def write_down(
    disk: Disk,
    folder: RunFolder,
    record: RunRecord,
    evidence: Evidence,
    trouble: ChaosError | None,
    unhealed: bool,
    already: Collection[str] = (),
) -> tuple[RunRecord, str]:
    """Judge and write all of it; the record as written, and why something could not be done (empty: nothing).

    The record first, not judged yet, while there is room for it; then the evidence: what breaks later, or is killed,
    can be done again with `raft-chaos report`. A disk that takes nothing, or does not answer, hides no verdict.
    `already`: files of the evidence that are whole since it came.
    """
    failed: list[str] = []
    verdict_code = PASSED
    with contextlib.suppress(Exception):  # it is written again, and told then
        await disk.within(DISK_SECONDS_MAX, lambda: folder.write_run(record))
    try:
        await disk.within(DISK_SECONDS_MAX, lambda: folder.write_evidence(evidence, already))
    except Exception as error:
        failed.append(f"What was recorded could not be written: {_said(error)}")
    try:
        record = await asyncio.to_thread(judged, record, evidence)
        verdict_code = judge.exit_code(record.verdicts)
    except Exception as error:
        failed.append(f"Judging broke off: {_said(error)}")
    record = _ended(record, exit_code_of(verdict_code, trouble, unhealed), failed)
    try:
        page = await asyncio.to_thread(html.render, record, evidence.history, evidence.views, evidence.events)
        await disk.within(DISK_SECONDS_MAX, functools.partial(_write_judged, folder, record, page))
    except Exception as error:
        failed.append(f"The report could not be written: {_said(error)}")
        record = _ended(record, record.exit_code, failed)
        with contextlib.suppress(Exception):  # the folder must not say another exit code than the process
            await disk.within(DISK_SECONDS_MAX, lambda: folder.write_run(record))
    return record, failed[0] if failed else ""


def _write_judged(folder: RunFolder, record: RunRecord, page: str) -> None:
    folder.write_run(record)
    folder.write_report(page)


def _ended(record: RunRecord, code: int, failed: Sequence[str]) -> RunRecord:
    """With that exit code, and with what could not be done, which leaves no run a good one."""
    code = TOOL_FAILED if failed and code == PASSED else code
    notes = (*record.notes, *(one for one in failed if one not in record.notes))
    return msgspec.structs.replace(record, exit_code=code, notes=notes, finished=True)


def judged(record: RunRecord, evidence: Evidence) -> RunRecord:
    """The record with what checks, anatomy and counts say of the evidence now."""
    return msgspec.structs.replace(
        record,
        verdicts=judge.judge(evidence),
        failovers=anatomy.failovers(evidence),
        figures=figures.count(evidence),
    )


def judged_again(kept: Kept) -> RunRecord:
    """The record of a kept run as the checks say now. A run that broke off keeps its exit code, unless a promise was
    broken; one whose tool was gone before its end shows nothing, unless something failed."""
    record = judged(kept.record, kept.evidence)
    code, before = judge.exit_code(record.verdicts), kept.record.exit_code
    if not record.finished:
        code = code if code in (UNSAFE, NOT_RECOVERED) else NOT_EFFECTIVE
    elif code != UNSAFE and before != judge.exit_code(kept.record.verdicts):
        code = before
    return msgspec.structs.replace(record, exit_code=code)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ChaosError) else f"{type(error).__name__}: {error}"
