"""`raft-node members`: who belongs to the cluster, who asks to be let in, and every change of that.

Why it exists: a change is the leader's to make, and only it can say that it is done; people should not have to look for
it, nor copy a disk's number. Which changes are allowed the node says.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from node.cli import identity, stdout
from node.cli.changing import Found, change, look
from node.cli.failure import EXIT_CODES, FAILED, UNAVAILABLE, Failure
from node.cli.fit import fit
from node.cli.force_new import force_new
from node.cli.group import Group, for_programs
from node.cli.local_nodes import end_for_good, require_name, running_cluster, start_one_more
from node.cli.readdress import update
from node.cli.show import print_object, print_table
from node.cli.targets import DataDirOption, targets

PROMOTE_AGAIN_SECONDS = 0.2
PROMOTIONS_MAX = 3000
"""So often `add --promote` tries, ten minutes and more; then the new node stays a learner."""

Json = Annotated[bool, typer.Option("--json", help="for programs: one JSON object")]
Urls = Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="nodes to ask")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="the member's name")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="members",
        cls=Group,
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Show who belongs to the cluster; let nodes in, remove or replace them, say where they are.",
        epilog=EXIT_CODES,
    )
    for name, command in (
        ("list", _list),
        ("add", _add),
        ("promote", _promote),
        ("remove", _remove),
        ("replace", _replace),
        ("update", update),
        ("force-new", force_new),
    ):
        group.command(name, epilog=EXIT_CODES)(for_programs(command))
    group.command("fit", epilog=EXIT_CODES)(for_programs(fit, identity.use_later))
    app.add_typer(group)


def _list(url: Urls = None, data_dir: DataDirOption = None, as_json: Json = False) -> int:
    """Show voters, learners with how far behind they are, and who asks to be let in.

    [bold]Example[/bold]
      raft-node members list
    """
    found = look(targets(url or [], data_dir))
    if as_json:
        print_object(found.members)
    else:
        _print(found)
    return 0


def _add(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="the node's name")] = None,
    url: Urls = None,
    data_dir: DataDirOption = None,
    promote: Annotated[bool, typer.Option("--promote", help="and give it a vote once it has caught up")] = False,
    as_json: Json = False,
) -> int:
    """Let a node in that asks for it: it gets the log, and has no vote yet.

    Start it first, on an empty folder, with the members as its seeds. One
    that was removed comes back with the folder that it left with: give its
    URL, too. In the cluster of raft-node cluster, one more node is started
    for it, or started again; its name may be left out.

    [bold]Examples[/bold]
      raft-node members add --promote      one more local node, as a voter
      raft-node members add n4
    """
    local = running_cluster(url or (), data_dir)
    require_name(name, local)
    there = {node.name for node in local.nodes} if local else set()
    if local and (name is None or (name not in there and not _asks(name, url, data_dir))):
        name, started = start_one_more(data_dir, name, lambda who: _asks(who, url, data_dir))
        stdout.done(started.rstrip("."))
        if not as_json:
            print(started)
    if name is None:
        raise AssertionError("a name was required or chosen")
    change("add_learner", name, {}, url, data_dir, as_json, silent=as_json and promote)
    return _promote_once_caught_up(name, url, data_dir, as_json) if promote else 0


def _promote(name: Name, url: Urls = None, data_dir: DataDirOption = None, as_json: Json = False) -> int:
    """Give a learner that has caught up a vote.

    [bold]Example[/bold]
      raft-node members promote n4
    """
    return change("promote_learner", name, {}, url, data_dir, as_json)


def _remove(
    name: Name,
    url: Urls = None,
    data_dir: DataDirOption = None,
    force: Annotated[bool, typer.Option("--force", help="also where too few voters that answer would be left")] = False,
    as_json: Json = False,
) -> int:
    """Take a member out, for good; a leader too. Stop its process afterwards.

    In the cluster of raft-node cluster that is done, too.

    [bold]Example[/bold]
      raft-node members remove n4
    """
    local = running_cluster(url or (), data_dir)
    change("remove_member", name, {"force": "yes"} if force else {}, url, data_dir, as_json)
    if local and name in {node.name for node in local.nodes}:
        ended = end_for_good(data_dir, name)
        stdout.done(f"{name} is no member, and its process has ended: that is done")
        if not as_json:
            print(ended)
    return 0


def _replace(name: Name, url: Urls = None, data_dir: DataDirOption = None, as_json: Json = False) -> int:
    """Put the new, empty disk of a member in the place of its lost one, without a vote yet.

    Start the node on its empty folder first; promote it when it has caught up.

    [bold]Example[/bold]
      raft-node members replace n3
    """
    return change("replace_member", name, {}, url, data_dir, as_json)


def _asks(name: str, url: Urls, data_dir: DataDirOption) -> bool:
    """Whether a node of that name asks the leader to be let in, or was removed and is there again."""
    found = look(targets(url or [], data_dir))
    there = [one["name"] for one in (*found.members["applicants"], *found.left)]
    return bool(found.members["leader"]) and name in there


def _promote_once_caught_up(name: str, url: Urls, data_dir: DataDirOption, as_json: bool) -> int:
    """A promotion that is refused did nothing, so it is asked for again."""
    import asyncio

    for _ in range(PROMOTIONS_MAX):
        try:
            return change("promote_learner", name, {}, url, data_dir, as_json)
        except Failure as failure:
            if failure.code not in (FAILED, UNAVAILABLE):
                raise
        asyncio.run(asyncio.sleep(PROMOTE_AGAIN_SECONDS))
    return change("promote_learner", name, {}, url, data_dir, as_json)


def _print(found: Found) -> None:
    body: Mapping[str, Any] = found.members
    voters, learners, applicants = body["voters"], body["learners"], body["applicants"]
    leads = f"{body['leader']} leads" if body["leader"] else "no leader is known"
    counted = f"{len(voters)} voter{'s' if len(voters) != 1 else ''}"
    if learners:
        counted += f", {len(learners)} learner{'s' if len(learners) != 1 else ''}"
    print(f"{counted}; {leads}.{' A change is under way.' if body['changing'] else ''}")
    if body["removed"]:
        print(f"{body['node']} was removed from the cluster, so this is what it knew last.")
    rows, styles = [], []
    for member, role in (*((v, "voter") for v in voters), *((learner, "learner") for learner in learners)):
        role = "leader" if member["leader"] else role
        contact = member["last_contact_ms"]
        cells = (_cell(member["lag_entries"]), "-" if contact is None else f"{contact:.0f} ms")
        rows.append((member["name"], role, member["address"] or "-", *cells, member["incarnation"]))
        styles.append({"leader": "bold green", "learner": "dim"}.get(role, ""))
    print_table(("id", "role", "address", "behind", "last contact", "disk"), rows, styles, lines=True)
    for one in applicants:
        if one["replaces"]:
            print(f"{one['name']} asks with a new disk to be let in again: raft-node members replace {one['name']}")
        else:
            print(f"{one['name']} asks to be let in: raft-node members add {one['name']}")
    for one in found.left:
        print(f"{one['name']} was removed, and runs: raft-node members add {one['name']} lets it in again")


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
