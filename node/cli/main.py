"""Puts the commands together and turns every way they can end into a sentence and an exit code."""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from node import __version__
from node.cli import backup, cluster, command, demo, kv, log, members, restore, serve, simulate, status
from node.cli.failure import EXIT_CODES, FAILED, USAGE, Failure
from node.cli.group import Group
from node.cli.stdout import complain, prepared

TRACEBACK_ENV = "RAFTNODE_TRACEBACK"
"""Set to anything, an internal error shows its traceback: for whoever repairs it."""

app = typer.Typer(
    name="raft-node",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"raft-node {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="print the version; end", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A real, durable Raft cluster: run it, watch it, break it.

    [bold]First steps[/bold]
      raft-node cluster              five nodes here; Ctrl-C ends them, data stays
      raft-node status               (second terminal) who leads, who lags
      raft-node put greeting hello   write through the log; any node takes it
      raft-node get greeting         read it back, linearizable
      kill -9 PID-OF-THE-LEADER      watch the others elect a new one
      raft-node start n1             bring the dead node back
    """


serve.register(app)
cluster.register(app)
status.register(app)
kv.register(app)
command.register(app)
demo.register(app)
simulate.register(app)
members.register(app)
backup.register(app)
restore.register(app)
log.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` where `arguments` is None); return the exit code, raise nothing."""
    try:
        with prepared():
            code = app(args=arguments, prog_name="raft-node", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Failure as failure:
        return _fail(str(failure), failure.code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        return _unexpected(error)


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
