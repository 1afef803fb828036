"""The way in and every way out: what a command ends with is a sentence and an exit code.

Why it exists: each of many nodes on a machine starts here, with plain flags, and needs no parser of command lines:
that takes as long to load as the node itself, and stays in its memory. It must not know what commands do.
"""

import os
import sys
from collections.abc import Sequence

from node.cli.failure import FAILED, USAGE, Failure
from node.cli.serving import plain_flags, serve_node
from node.cli.stdout import complain, prepared

TRACEBACK_ENV = "RAFTNODE_TRACEBACK"
"""Set to anything, an internal error shows its traceback: for whoever repairs it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` where `arguments` is None); return the exit code, raise nothing."""
    try:
        with prepared():
            flags = plain_flags(sys.argv[1:] if arguments is None else arguments)
            code = _parsed(arguments) if flags is None else serve_node(flags)
        return code if isinstance(code, int) else 0
    except Failure as failure:
        return _fail(str(failure), failure.code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        return _unexpected(error)


def _parsed(arguments: Sequence[str] | None) -> object:
    from node.cli.commands import app

    return app(args=arguments, prog_name="raft-node", standalone_mode=False)


def _unexpected(error: Exception) -> int:
    """Errors of the command line's parser, our own typed errors, and what nobody foresaw."""
    if hasattr(error, "format_message"):  # the parser's; Typer keeps their class private
        sentence = error.format_message()
        if not sentence or type(error).__name__ == "NoArgsIsHelpError":
            return USAGE  # the parser has printed the help
        context = getattr(error, "ctx", None)
        more = f" See {context.command_path} --help." if context else ""
        return _fail(f"{sentence.rstrip('.?')}{sentence[-1] if sentence[-1] == '?' else '.'}{more}", USAGE)
    kind = type(error).__name__
    if kind == "SettingsError":
        return _fail(str(error), USAGE)
    if kind == "SupervisorError":
        return _fail(str(error), FAILED)
    if kind == "Abort":
        return _fail("aborted", FAILED)
    if os.environ.get(TRACEBACK_ENV):
        raise error
    return _fail(f"internal error, please report it: {kind}: {error} (set {TRACEBACK_ENV}=1 to see where)", FAILED)


def _fail(sentence: str, code: int) -> int:
    complain(sentence)
    return code
