"""A change of members: asked of the leader, over one hop from a node that knows it.

Why it exists: every command that changes members asks alike, and one of them has a module of its own. It must not know
which changes there are: the node says which are allowed, and when one is made.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.cli import stdout
from node.cli.command import ask, raise_unless_ok
from node.cli.failure import UNAVAILABLE, UNKNOWN_OUTCOME, Failure
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

    asked, members = members_of(targets(url or [], data_dir))
    if not members["leader"]:
        raise Failure(f"Unavailable, nothing happened: {members['node']} knows no leader.", UNAVAILABLE)
    given = {"name": name, **more, **(_said(members, name) if command in ("add_learner", "replace_member") else {})}
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


def _said(members: Mapping[str, Any], name: str) -> dict[str, str]:
    """What that one says of itself, for a leader that it does not ask."""
    for applicant in members["applicants"]:
        if applicant["name"] == name:
            return {key: applicant[key] for key in ("incarnation", "address", "client_url")}
    return {}


def members_of(nodes: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The node to go on with, and its `/members`: the leader's where it is among those, else of one that knows it."""
    import asyncio

    found: list[tuple[str, dict[str, Any]]] = []
    problem: Failure | None = None
    for url in nodes:
        try:
            status, body = asyncio.run(ask("GET", f"{url}/members", None))
            raise_unless_ok(status, body)
        except Failure as failure:
            unread = failure.code == UNKNOWN_OUTCOME
            problem = (
                Failure(f"{url} gives no answer that can be read; nothing happened.", UNAVAILABLE)
                if unread
                else failure
            )
            continue
        found.append((url, body))
    if not found:
        raise problem or Failure("There is no node to ask.", UNAVAILABLE)
    return max(
        found, key=lambda one: (one[1]["leader"] == one[1]["node"], not one[1]["removed"], one[1]["leader"] != "")
    )
