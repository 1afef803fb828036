"""`raft-node log dump|verify`: what a node's log on disk holds, and whether it is whole. Changes nothing."""

import typer


def register(app: typer.Typer) -> None:
    pass
