"""What a run is told, and what comes of it.

Why it exists: the command line, tests and later plans start runs by the same values. It must not do anything.
"""

from pathlib import Path

import msgspec

from chaos.evidence.record import RunRecord


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`name`: of the command, a part of the folder's name. `every_s`: pause between faults. `recovery_limit_s`: within
    which the cluster must be whole again. `heal_command`: what people type when healing failed. `switch`: whether a
    dead man's switch stands ready."""

    name: str
    seed: int
    out: Path
    command_line: str
    heal_command: str
    duration_s: float
    every_s: float = 0.0
    recovery_limit_s: float = 30.0
    baseline_s: float = 2.0
    after_s: float = 2.0
    allow_quorum_loss: bool = False
    switch: bool = True


class RunResult(msgspec.Struct, frozen=True):
    """`trouble`: why the run ended early, or what could not be healed; empty: neither."""

    exit_code: int
    record: RunRecord
    folder: Path
    trouble: str
