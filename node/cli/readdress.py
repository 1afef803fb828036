"""`raft-node members update`: say where a member is reached, as etcd's member update does.

Why it exists: who moves to another machine or port is dialled where the configuration says, and nobody else may say
otherwise. It must not move anything: a node listens where its own settings say.
"""

import re
from typing import Annotated

import typer

from node.cli.changing import change, members_of
from node.cli.failure import FAILED, USAGE, Failure
from node.cli.targets import DataDirOption, targets

_PEER = re.compile(r"(?:http://)?((?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5})/?")


def update(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the member's name")],
    url: Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="nodes to ask")] = None,
    data_dir: DataDirOption = None,
    peer: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="where the other members reach it")] = None,
    client_url: Annotated[str | None, typer.Option(metavar="URL", help="where it serves clients")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Say where a member is reached from now on. What is not given stays.

    For one that moved: start it there, on its own data folder. Members that
    have it among their seeds dial it as those say, whatever is told here.

    [bold]Examples[/bold]
      raft-node members update n4 --peer host4.example:9004
      raft-node members update n4 --client-url http://host4.example:8004
    """
    if peer is None and client_url is None:
        raise Failure("There is nothing to update: give --peer or --client-url.", USAGE)
    given = {"address": _host_and_port(peer) if peer is not None else _known(name, url, data_dir)}
    if client_url is not None:
        given["client_url"] = _checked(client_url)
    return change("readdress_member", name, given, url, data_dir, as_json)


def _host_and_port(peer: str) -> str:
    """Also of a peer URL, as etcd has it."""
    found = _PEER.fullmatch(peer)
    if found is None:
        raise Failure(f"--peer {peer!r} is no HOST:PORT such as host3.example:9003.", USAGE)
    return found[1]


def _checked(client_url: str) -> str:
    from yarl import URL

    try:
        found = URL(client_url)
        good = found.scheme in ("http", "https") and bool(found.host) and client_url.isprintable()
    except ValueError:
        good = False
    if not good:
        raise Failure(f"--client-url {client_url!r} is no URL such as http://host3.example:8003.", USAGE)
    return client_url


def _known(name: str, url: list[str] | None, data_dir: DataDirOption) -> str:
    """Where it is reached by now, since a change says all of it."""
    _, members = members_of(targets(url or [], data_dir))
    known = [*members["voters"], *members["learners"]]
    address = next((str(member["address"]) for member in known if member["name"] == name), None)
    if address is None:
        raise Failure(f"{name} is no member: they are {', '.join(member['name'] for member in known)}.", FAILED)
    if not address:
        raise Failure(f"Nobody has said yet where peers reach {name}: give --peer, too.", USAGE)
    return address
