"""Puts the commands together and turns every way they can end into a sentence and an exit code."""

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from chaos.cli import breaking, lab, look, mending, stdout
from chaos.cli.execute import print_json
from chaos.cli.group import Group
from chaos.cli.options import READS_JSON
from chaos.errors import INTERRUPTED, OUTPUT_LOST, TOOL_FAILED, USAGE, ChaosError, Usage
from chaos.run.outcome import tool_version

TRACEBACK_ENV = "RAFTCHAOS_TRACEBACK"
"""Set to anything, an internal error shows its traceback: for whoever repairs it."""
EXIT_CODES = (
    "Exit codes: 0 passed, 1 safety violated, 2 not recovered in time, 3 the fault had no effect or too little was "
    "written to tell, 4 refused by a guard, 64 wrong usage, 70 the tool failed, 74 passed, but the output "
    "could not be written, 130 interrupted and healed."
)

app = typer.Typer(
    name="raft-chaos",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"raft-chaos {tool_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="print the version; end", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Break a running Raft cluster on purpose, always heal it, and tell the truth about what happened.

    [bold]First steps[/bold]
      raft-chaos status              who leads, where the nodes run
      raft-chaos doctor              would faults work here?
      raft-chaos kill-leader --mode sigkill
      raft-chaos partition           isolate the leader for 30 s
      raft-chaos heal --all          after a run that was killed

    The cluster is found by itself where there is only one: in Kubernetes, or
    here (raft-node cluster). Each run leaves its report in chaos-runs/.
    """


look.register(app)
breaking.register(app)
mending.register(app)
lab.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` where `arguments` is None); return the exit code, raise nothing."""
    with stdout.prepared():
        code = _ended(sys.argv[1:] if arguments is None else arguments)
        if sentence := stdout.lost():
            stdout.complain(f"raft-chaos: {sentence}")
            return code or OUTPUT_LOST
        return code


def _ended(given: Sequence[str]) -> int:
    """However the command ends, a sentence and its exit code."""
    try:
        code = app(args=given, prog_name="raft-chaos", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ChaosError as error:
        if isinstance(error, Usage) and _asks_for_json(given):
            error.add_note(READS_JSON)
        return _fail(error, str(error), error.code)
    except KeyboardInterrupt as error:
        return _fail(error, "interrupted", INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message") and _asks_for_json(given):  # nothing that was given has been read
            error.add_note(READS_JSON)
        return _unexpected(error)


def _asks_for_json(given: Sequence[str]) -> bool:
    """Whether these words ask for JSON, as far as that can be told without the parser that refused them."""
    last = ""
    for before, word in pairwise(("", *given)):
        if word == "--":
            break
        if word == "--json":
            return True
        if before in ("-o", "--output"):
            last = word
        elif word.startswith("--output="):
            last = word.removeprefix("--output=")
        elif word.startswith("-o") and word != "-o":
            last = word.removeprefix("-o")
    return last == "json"


def _unexpected(error: Exception) -> int:
    """Errors of the command line's parser, and what nobody foresaw."""
    if hasattr(error, "format_message"):  # the parser's; Typer keeps their class private
        sentence = error.format_message().replace(": Value error, ", ": ").replace(": Input should ", ": it must ")
        if not sentence or type(error).__name__ == "NoArgsIsHelpError":
            return USAGE  # the parser has printed the help
        context = getattr(error, "ctx", None)
        more = f" See {context.command_path} --help." if context else ""
        return _fail(error, f"{sentence.rstrip('.?')}{sentence[-1] if sentence[-1] == '?' else '.'}{more}", USAGE)
    if type(error).__name__ == "Abort":
        return _fail(error, "aborted", INTERRUPTED)
    if os.environ.get(TRACEBACK_ENV):
        raise error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _fail(error, f"{error.filename or 'a file'} could not be written: no space is left there", TOOL_FAILED)
    told = f"internal error, please report it: {type(error).__name__}: {error} (set {TRACEBACK_ENV}=1 to see where)"
    return _fail(error, told, TOOL_FAILED)


def _fail(error: BaseException, sentence: str, code: int) -> int:
    """Tell people, and a program that reads JSON on stdout."""
    sentence = " ".join(sentence.split())
    if READS_JSON in getattr(error, "__notes__", ()):
        print_json({"error": sentence, "exit_code": code})
    with contextlib.suppress(KeyboardInterrupt):
        stdout.settle()  # on a terminal, what was printed before stands before
    stdout.complain(f"raft-chaos: {sentence}")
    return code
