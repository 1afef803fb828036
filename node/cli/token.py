"""`raft-node token new`: make a token, and the line by which nodes know it.

Why it exists: a token is only as good as the chance it is made of, and its hash must be written as nodes read it. It is
shown once and kept nowhere. It must not touch a node or a file of one.
"""

import re
from typing import Annotated

import typer

from node.cli.failure import USAGE, Failure
from node.cli.group import Group, for_programs
from node.cli.show import print_object

_HELP = "Make tokens for programs and people, for the nodes' tokens_file."


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help=_HELP)
    group.command("new")(for_programs(new))
    app.add_typer(group, name="token")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="whose it is, as refusals and audit events call them")],
    role: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="read, write or operate; more than one by repeating it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Make a token: it is shown once, and kept nowhere.

    Its line goes into the nodes' tokens_file, which holds no secret: nodes
    read it anew within seconds. Two lines may have one name, so a token is
    renewed without a gap: add the new line, use the new token, take the old
    line out. write includes read, operate (commands, members, backup) does
    too, and does not include write.

    [bold]Examples[/bold]
      raft-node token new grafana --role read
      raft-node token new deploy --role write --role operate --json
    """
    from node.access.principals import Role
    from node.access.tokens import NAME_PATTERN, line_of
    from node.cli.chance import token

    if not re.fullmatch(NAME_PATTERN, name):
        raise Failure(f"{name!r} is no name for a token: it has 1 to 64 letters, digits and ._@-.", USAGE)
    roles = list(dict.fromkeys(role or []))
    unknown = next((one for one in roles if one not in list(Role)), None)
    if unknown is not None or not roles:
        what = "A token without a role may do nothing" if unknown is None else f"{unknown!r} is no role"
        raise Failure(f"{what}: give --role read, write or operate.", USAGE)
    made = token()
    line = line_of(name, roles, made)
    if as_json:
        print_object({"name": name, "token": made, "line": line})
    else:
        print(f"The token, shown this once:\n  {made}\nIts line for tokens_file:\n  {line}")
    return 0
