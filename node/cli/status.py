"""`raft-node status`: the cluster as its nodes see it, in one table."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.failure import FAILED, OK
from node.cli.targets import DataDirOption, targets

if TYPE_CHECKING:
    from node.runtime.ports import Status


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

        leader_name = views[leader].core.name if leader else None  # type: ignore[union-attr]
        print(msgspec.json.encode({"leader": leader_name, "nodes": rows}).decode())
    else:
        _print(rows, bool(leader), len(names))
    return OK if leader else FAILED


async def _ask_all(addresses: list[str]) -> "dict[str, Status | None]":
    import asyncio

    from node.supervisor.watch import fetch_status, new_session

    async with new_session() as session:
        answers = await asyncio.gather(*(fetch_status(session, address) for address in addresses))
    return dict(zip(addresses, answers, strict=True))


def _row(
    address: str, name: str, view: "Status | None", leader: str, views: "Mapping[str, Status | None]"
) -> dict[str, Any]:
    """One node's line; a value that cannot be known is None. Durations are milliseconds."""
    if view is None:
        return {"url": address, "id": name, "role": "unknown"}
    core, lead = view.core, views.get(leader)
    peers = {peer.name: peer for peer in lead.core.peers} if lead else {}
    contact_us = peers[core.name].contact_age_us if core.name in peers else None
    return {
        "url": address,
        "id": core.name,
        "role": core.role.value,
        "term": core.term,
        "leader": core.leader or None,
        "commit": core.commit,
        "applied": core.applied,
        "last_contact_ms": None if contact_us is None else contact_us // 1000,
        "lag": max(0, lead.core.commit - core.applied) if lead else None,
        "waiting_for": core.waiting_for or None,
        "fatal": view.fatal or None,
    }


def _print(rows: list[dict[str, Any]], led: bool, asked: int) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("id", "role", "term", "leader", "commit", "applied", "last_contact_ms", "lag")
    table = Table(*(column.replace("last_contact_ms", "last contact") for column in columns))
    for row in rows:
        style = {"leader": "bold green", "unknown": "dim"}.get(row["role"])
        table.add_row(*(_cell(column, row.get(column)) for column in columns), style=style)
    console = Console()
    console.print(table)
    for row in rows:
        for reason in filter(None, (row.get("waiting_for"), row.get("fatal"))):
            print(f"{row['id']}: {reason}")
    if not led:
        unknown = sum(1 for row in rows if row["role"] == "unknown")
        print(f"No leader that a majority of the {asked} nodes follows ({unknown} did not answer).")


def _cell(column: str, value: object) -> str:
    if value is None:
        return "-"
    return f"{value} ms" if column == "last_contact_ms" else str(value)
