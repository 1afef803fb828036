"""A change of members: asked of the leader, over one hop from a node that knows it.

Why it exists: every command that changes members asks alike, and one of them has a module of its own. It must not know
which changes there are: the node says which are allowed, and when one is made.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.cli import stdout
from node.cli.command import ask, raise_unless_ok
from node.cli.failure import UNAVAILABLE, UNKNOWN_OUTCOME, Failure, ShutOut
from node.cli.show import print_object
from node.cli.targets import targets

Urls = list[str] | None


def change(
    command: str,
    name: str,
    more: Mapping[str, str],
    url: Urls,
    data_dir: Path | None,
    as_json: bool,
    silent: bool = False,
) -> int:
    """Ask the leader, over one hop from a node that knows it. `silent`: another change follows, which is told."""
    import asyncio
    from urllib.parse import quote

    found = look(targets(url or [], data_dir))
    asked, members = found.asked, found.members
    if not members["leader"]:
        raise Failure(f"Unavailable, nothing happened: {members['node']} knows no leader.", UNAVAILABLE)
    given = {"name": name, **more, **_said(found, command, name)}
    leader = quote(members["leader"], safe="")
    status, body = asyncio.run(ask("POST", f"{asked}/commands/{command}?node={leader}", given))
    if status == 200:
        stdout.done(f"{body.get('message')}: that is done")
    if as_json and not silent:
        print_object(body)
    raise_unless_ok(status, body)
    if not as_json and not silent:
        print(f"{body.get('message')}")
    return 0


class Found(NamedTuple):
    """What nodes said. `asked`: the one to go on with; `members`: its `/members`. `left`: who answers and is no member
    any more; `foreign`: who answers, and belongs to another cluster."""

    asked: str
    members: dict[str, Any]
    left: tuple[dict[str, Any], ...]
    foreign: tuple[str, ...]


def _said(found: Found, command: str, name: str) -> dict[str, str]:
    """What that one says of itself, for a leader that it does not ask."""
    asking = found.members["applicants"] if command in ("add_learner", "replace_member") else []
    left = found.left if command == "add_learner" else ()
    for one in (*asking, *left):
        if one["name"] == name:
            return {key: one[key] for key in ("incarnation", "address", "client_url")}
    return {}


def members_of(nodes: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The node to go on with, and its `/members`."""
    found = look(nodes)
    return found.asked, found.members


def look(nodes: Mapping[str, str]) -> Found:
    """Ask all; who is gone on with is the leader where it is among them, else one that knows it."""
    import asyncio

    found: list[tuple[str, dict[str, Any]]] = []
    problem: Failure | None = None
    for url in nodes:
        try:
            status, body = asyncio.run(ask("GET", f"{url}/members", None))
            raise_unless_ok(status, body)
        except Failure as failure:
            if failure.code == UNKNOWN_OUTCOME:
                failure = Failure(f"{url} gives no answer that can be read; nothing happened.", UNAVAILABLE)
            # That one does not answer explains less than that another does not let this command in
            problem = problem if isinstance(problem, ShutOut) else failure
            continue
        found.append((url, body))
    if not found:
        raise problem or Failure("There is no node to ask.", UNAVAILABLE)
    asked, members = max(
        found, key=lambda one: (one[1]["leader"] == one[1]["node"], not one[1]["removed"], one[1]["leader"] != "")
    )
    return Found(asked, members, *_outside(members, [body for _, body in found]))


def _outside(
    members: Mapping[str, Any], bodies: Sequence[Mapping[str, Any]]
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Who answers with a disk that has a log, and is no member under its name: of this cluster, and of others.

    Whether it has heard of its removal plays no part: who was away then has not. The disk of this cluster remembers its
    term, its vote and its log, so to the others it is the server that it was, only late (see `node/cli/fit.py`).
    """
    names = {row["name"] for row in (*members["voters"], *members["learners"], *members["applicants"])}
    left, foreign = [], []
    for body in bodies:
        own, cluster = body.get("own"), body.get("cluster_id")
        if body["node"] in names or own is None or not cluster:
            continue
        if cluster == members["cluster_id"]:
            left.append({"name": body["node"], **own})
        else:
            foreign.append(str(body["node"]))
    return tuple(left), tuple(foreign)
