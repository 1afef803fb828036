"""A program that runs commands of both tools in processes of their own, which it forks: no start of an interpreter for
each. Reads jobs as lines of JSON, answers each with its exit code.

Why it exists: each of some forty commands meets nine kinds of output. The fork gets real, broken descriptors, and
standard streams as the interpreter makes them at its start.
"""

import contextlib
import gc
import io
import json
import os
import sys
import traceback
from typing import Any, TextIO

import aiohttp  # noqa: F401  (what commands load late, so that forks need not)
import rich.console
import rich.table  # noqa: F401

import chaos.cli
import node.backups
import node.cli
import node.observe.headline
import node.scenarios.catalogue
import node.simulation.playing
import node.storage.inspect
import node.supervisor.layout
import node.supervisor.watch
import node.survivors

TOOLS = {"raft-node": node.cli.main, "raft-chaos": chaos.cli.main}
LOADS_THE_PARSER = {"raft-node": "put", "raft-chaos": "partition"}
"""By tool, a command whose help has the parser of command lines load all that it ever needs."""


def _warm_up() -> None:
    """What the tools load when they are used for the first time; forks neither load it again nor copy it."""
    with contextlib.redirect_stdout(io.StringIO()):
        for tool, command in LOADS_THE_PARSER.items():
            TOOLS[tool]([command, "--help"])
    gc.freeze()


def _descriptor(kind: str, number: int) -> bool:
    """Make descriptor `number` what `kind` says; False: it is closed."""
    if kind == "closed":
        os.close(number)
        return False
    if kind == "pipe":
        reads, writes = os.pipe()
        os.close(reads)
        os.dup2(writes, number)
        os.close(writes)
        return True
    path = "/dev/full" if kind == "full" else kind
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(opened, number)
    os.close(opened)
    return True


def _stream(is_open: bool, number: int, encoding: str, errors: str) -> TextIO | None:
    """As the interpreter makes it."""
    if not is_open:
        return None
    return os.fdopen(number, "w", encoding=encoding, errors=errors, closefd=False)


def _run(job: dict[str, Any]) -> int:
    os.environ.update(job["environ"])
    out = _descriptor(job["out"], 1)
    err = _descriptor(job["err"], 2)
    sys.stdout = _stream(out, 1, job["encoding"], "strict")
    sys.stderr = _stream(err, 2, job["encoding"], "backslashreplace")
    sys.argv = [job["tool"], *job["arguments"]]
    code = TOOLS[job["tool"]](job["arguments"])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            return 120  # as the interpreter ends then
    return code


def main() -> None:
    """Until there are no more jobs."""
    _warm_up()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 121
            try:
                code = _run(json.loads(line))
            except BaseException:
                with contextlib.suppress(Exception):
                    traceback.print_exc()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    main()
