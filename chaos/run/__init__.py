"""The order of a run: lock, guard, record, break, prove, hold, heal, wait, judge, write.

Why it exists: one order for every fault and every target, so that no fault can forget to heal or to record. It must not
know what a fault does, nor print.
"""

from chaos.run.options import Options, RunResult
from chaos.run.order import run

__all__ = ["Options", "RunResult", "run"]
