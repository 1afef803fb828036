"""`--junit FILE`: the verdicts where a CI looks for them.

Why it exists: a file that an earlier run left there must not vouch for this one, so it is written before anything is
done, says that the run did not come to its end, and is replaced when it did. It must not change how a command ends.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos.cli import stdout
from chaos.errors import OUTPUT_LOST, PASSED, ChaosError, Usage
from chaos.evidence.folder import replace
from chaos.evidence.record import RunRecord
from chaos.report import junit

NOT_ENDED = "raft-chaos did not come to the end of this run."


@contextlib.contextmanager
def promised(path: Path | None, name: str) -> Iterator[Callable[[RunRecord], int]]:
    """What is given takes the record when there is one, and returns the exit code; why there is none is written here.
    Raises Usage, before anything was done, where the file cannot be written."""
    if path is None:
        yield lambda record: record.exit_code
        return
    if path.exists() and not path.is_file():
        raise Usage(f"--junit {path} is no file: name one that may be replaced.")
    path = path.resolve()
    try:
        replace(path, [junit.of_trouble(name, NOT_ENDED)])
    except ChaosError as error:
        raise Usage(f"The file of --junit cannot be written, so nothing was done: {_why(error)}.") from None
    try:
        yield lambda record: _kept(path, record)
    except ChaosError as error:
        with contextlib.suppress(ChaosError):
            replace(path, [junit.of_trouble(name, str(error))])
        raise


def _kept(path: Path, record: RunRecord) -> int:
    try:
        replace(path, [junit.of_record(record)])
    except ChaosError as error:
        stdout.complain(f"raft-chaos: The run was judged (exit code {record.exit_code}), but {_why(error)}.")
        return OUTPUT_LOST if record.exit_code == PASSED else record.exit_code
    return record.exit_code


def _why(error: ChaosError) -> str:
    return str(error).partition(";")[0]
