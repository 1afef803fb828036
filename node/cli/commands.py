"""Puts the commands together: what `raft-node` understands, for the parser of its command line."""

from typing import Annotated

import typer

from node import __version__
from node.cli import (
    backup,
    cluster,
    command,
    demo,
    elect,
    kv,
    lock,
    log,
    members,
    mpi,
    mpi_cluster,
    registry,
    restore,
    serve,
    simulate,
    status,
    token,
    watch,
)
from node.cli.failure import EXIT_CODES
from node.cli.group import Group

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
watch.register(app)
lock.register(app)
elect.register(app)
command.register(app)
demo.register(app)
simulate.register(app)
members.register(app)
mpi.register(app)
mpi_cluster.register(app)
registry.register(app)
backup.register(app)
restore.register(app)
log.register(app)
token.register(app)
