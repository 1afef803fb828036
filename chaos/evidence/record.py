"""What a run was and what it showed, as one value: the content of `run.json`.

Why it exists: the page, `-o json` and `raft-chaos report` must say the same. Times are microseconds of the tool's
clock (chaos/clock.py) unless a name says otherwise. It must not judge and must not touch a disk.
"""

from typing import Literal

import msgspec

from chaos.anatomy import Failover
from chaos.checks.verdict import Evidence, Verdict
from chaos.model import FaultSpan

FORMAT: Literal["raft-chaos run"] = "raft-chaos run"
VERSION = 1
"""Of `run.json` and of every file beside it; grows when an older tool would misread one of them."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients saw, in numbers (`report/figures.py` counts them). Rates are acknowledged writes per second,
    None where there was no such time; latencies are of acknowledged writes, None where there was none. The longest
    gap lies between two acknowledged writes of any client, or between the last one and the last that was asked for;
    `gap_from_us` is the earlier one."""

    acknowledged_writes: int = 0
    failed_writes: int = 0
    unknown_writes: int = 0
    good_reads: int = 0
    failed_reads: int = 0
    writes_per_s_before: float | None = None
    writes_per_s_during: float | None = None
    writes_per_s_after: float | None = None
    longest_gap_us: int | None = None
    gap_from_us: int | None = None
    write_p50_us: int | None = None
    write_p99_us: int | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `run`: its name, which keys and objects carry. `command_line`: as it was typed. `uncertainty_us`: by
    node, half the round trip that put its clock on ours; None: unknown. `notes`: sentences for people (interrupted,
    what could not be recorded, ...). From `voters` to `ended_us`, and `workload`, `system` and `lacks`, they are those
    of `Evidence`. Not `finished`: the tool was gone before the run was judged."""

    format: Literal["raft-chaos run"] = FORMAT
    version: int = VERSION
    tool_version: str
    run: str
    command_line: str
    target_title: str
    target_kind: Literal["kubernetes", "local"]
    workload: str = "registers"
    system: str = "raft-node"
    lacks: tuple[str, ...] = ()
    namespace: str = ""
    seed: int
    began_wall_us: int
    exit_code: int
    interrupted: bool = False
    verdicts: tuple[Verdict, ...] = ()
    figures: Figures = Figures()
    failovers: tuple[Failover, ...] = ()
    uncertainty_us: dict[str, int | None] = {}
    notes: tuple[str, ...] = ()
    voters: tuple[str, ...] = ()
    faults: tuple[FaultSpan, ...] = ()
    recovered_us: tuple[int | None, ...] = ()
    recovery_limit_us: int = 0
    began_faults_us: int = 0
    ended_us: int = 0
    finished: bool = True


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A run read back from its folder: what it said then, and what it recorded, to be judged again."""

    record: RunRecord
    evidence: Evidence
