"""`raft-node status`: the cluster as its nodes see it, in one table."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.failure import FAILED, OK
from node.cli.show import print_table
from node.cli.targets import DataDirOption, targets

if TYPE_CHECKING:
    from node.supervisor.watch import NodeStatus


def register(app: typer.Typer) -> None:
    app.command("status")(_status)


def _status(
    url: Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="nodes to ask")] = None,
    data_dir: DataDirOption = Path("raft-data"),
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Show every node: role, term, leader, commit, applied, last contact, lag.

    A node that does not answer is shown as unknown: from here nobody can tell
    a dead one from one that is cut off. Last contact: when the leader last
    heard from that node. Lag: committed entries it has not applied yet.
    Exit code 0: a leader is seen that a majority follows; otherwise 1.

    [bold]Examples[/bold]
      raft-node status
      raft-node status http://127.0.0.1:8001 http://127.0.0.1:8002 --json
    """
    import asyncio

    from node.supervisor.roll_call import agreed_leader

    names = targets(url or [], data_dir)
    views = asyncio.run(_ask_all(list(names)))
    leader = agreed_leader(views)
    rows = [_row(address, names[address], view, leader, views) for address, view in views.items()]
    if as_json:
        import msgspec

        leader_name = views[leader].name if leader else None  # type: ignore[union-attr]
        print(msgspec.json.encode({"leader": leader_name, "nodes": rows}).decode())
    else:
        _print(rows, bool(leader), len(names))
    return OK if leader else FAILED


async def _ask_all(addresses: list[str]) -> "dict[str, NodeStatus | None]":
    import asyncio

    from node.supervisor.watch import fetch_status, new_session

    async with new_session() as session:
        answers = await asyncio.gather(*(fetch_status(session, address) for address in addresses))
    return dict(zip(addresses, answers, strict=True))


def _row(
    address: str, name: str, view: "NodeStatus | None", leader: str, views: "Mapping[str, NodeStatus | None]"
) -> dict[str, Any]:
    """One node's line; a value that cannot be known is None. Durations are milliseconds."""
    if view is None:
        return {"url": address, "id": name, "role": "unknown"}
    lead = views.get(leader)
    contact = {peer.name: peer.last_contact_ms for peer in lead.peers} if lead else {}
    return {
        "url": address,
        "id": view.name,
        "role": view.role,
        "term": view.term,
        "leader": view.leader or None,
        "commit": view.commit,
        "applied": view.applied,
        "last_contact_ms": contact.get(view.name),
        "lag": max(0, lead.commit - view.applied) if lead else None,
        "waiting_for": view.waiting_for or None,
        "fatal": view.fatal or None,
    }


def _print(rows: list[dict[str, Any]], led: bool, asked: int) -> None:
    from rich.table import Table

    columns = ("id", "role", "term", "leader", "commit", "applied", "last_contact_ms", "lag")
    table = Table(*(column.replace("last_contact_ms", "last contact") for column in columns))
    for row in rows:
        style = {"leader": "bold green", "unknown": "dim"}.get(row["role"])
        table.add_row(*(_cell(row.get(column)) for column in columns), style=style)
    print_table(table)
    for row in rows:
        for reason in filter(None, (row.get("waiting_for"), row.get("fatal"))):
            print(f"{row['id']}: {reason}")
    if not led:
        unknown = sum(1 for row in rows if row["role"] == "unknown")
        print(f"No leader that a majority of the {asked} nodes follows ({unknown} did not answer).")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if isinstance(value, float) else str(value)
