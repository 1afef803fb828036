"""`raft-node status`: the cluster as its nodes see it, in one table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.failure import FAILED, OK
from node.cli.group import for_programs
from node.cli.show import print_object, print_table
from node.cli.stdout import complain
from node.cli.targets import DataDirOption, targets

if TYPE_CHECKING:
    from node.observe.headline import Seen
    from node.supervisor.watch import AlarmLine, NodeStatus, StoreLine


def register(app: typer.Typer) -> None:
    app.command("status")(for_programs(_status))


def _status(
    url: Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="nodes to ask")] = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Say what the cluster can do now, then show every node: role, term, leader,
    commit, applied, last contact, lag; below the table what the store holds,
    who watches where, and what somebody must act on.

    A node that does not answer is shown as unknown: from here nobody can tell
    a dead one from one that is cut off, unless it should run on this machine
    and nothing listens there. Of one URL alone, the node there is asked for the
    others. Without any: the nodes of RAFT_URLS (as in a pod of the chart), else
    of the local cluster. Last contact: when the leader last heard from
    that node. Lag: committed entries it has not applied yet.
    Exit code 0: a leader is seen that a majority follows; otherwise 1.

    [bold]Examples[/bold]
      raft-node status
      raft-node status http://127.0.0.1:8001      and those that it knows
      raft-node status http://127.0.0.1:8001 http://127.0.0.1:8002 --json
    """
    import asyncio

    from node.observe.headline import facts_of, headline

    names = targets(url or [], data_dir)
    found, hearsay = asyncio.run(_ask_all(names))
    facts = facts_of([seen for seen, _ in found.values()])
    sentence = headline(facts)
    views = {address: view for address, (_, view) in found.items()}
    leader = next((a for a, view in views.items() if facts.serves and view and view.name == facts.leader), "")
    rows = [_row(address, found[address][0].name, view, leader, views) for address, view in views.items()]
    for row in rows:
        row["hearsay"] = row["url"] in hearsay
    if as_json:
        leader_name = facts.leader if leader else None
        print_object({"headline": sentence, "leader": leader_name, "nodes": rows})
    else:
        print(sentence)
        _print(rows)
        if hearsay:
            told = ", ".join(found[address][0].name for address in hearsay)
            print(f"Not asked themselves, shown as {found[next(iter(names))][0].name} heard them: {told}.")
        for line in _below([view for view in views.values() if view], views.get(leader)):
            print(line)
    return OK if leader else FAILED


async def _ask_all(names: Mapping[str, str]) -> "tuple[dict[str, tuple[Seen, NodeStatus | None]], list[str]]":
    """By address: as the headline counts it, and what it said. Who did not answer is called as it was asked. Where one
    alone was named, those too that it knows; the second part is who of them was not asked itself."""
    import asyncio
    from functools import partial

    from node.cli.identity import asking_session, trouble
    from node.cli.neighbours import neighbours
    from node.observe.headline import Seen
    from node.supervisor.watch import Refused, ask_status, fetch_status

    async def ask(address: str) -> "tuple[Seen, NodeStatus | None]":
        try:
            view = await ask_status(session, address, lambda error: _tell(address, trouble(error)))
        except Refused:
            return Seen(names[address], "down" if _is_here(address) else "silent"), None
        return Seen(view.name, "heard", view) if view else Seen(names[address], "silent"), view

    async with asking_session() as session:
        found = dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))
        hearsay = []
        for one in (
            await neighbours(session, next(iter(names)), partial(fetch_status, session)) if len(names) == 1 else ()
        ):
            found[one.address] = Seen(one.name, "heard" if one.view else "silent", one.view), one.view
            hearsay += [one.address] if one.by_hearsay else []
        return found, hearsay


def _tell(address: str, wrong: str) -> None:
    if wrong:
        complain(f"{address} {wrong}.")


def _is_here(address: str) -> bool:
    """Whether that is this machine for certain."""
    import ipaddress

    from yarl import URL

    host = URL(address).host or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        "role": "learner" if lead is not None and view.name in {one.name for one in lead.learners} else view.role,
        "term": view.term,
        "leader": view.leader or None,
        "commit": view.commit,
        "applied": view.applied,
        "last_contact_ms": contact.get(view.name),
        "lag": max(0, lead.commit - view.applied) if lead else None,
        "waiting_for": view.waiting_for or None,
        "fatal": view.fatal or None,
        "store": view.store,
        "alarms": view.alarms,
    }


def _below(views: "Sequence[NodeStatus]", lead: "NodeStatus | None") -> Iterator[str]:
    """The store as the leader has it, else whoever has applied most: all that have applied as much have the same."""
    held = [view for view in views if view.store]
    if held:
        best = lead if lead is not None and lead.store else max(held, key=lambda view: view.applied)
        if best.store:
            yield f"Store: {_store(best.store)}."
        yield f"Watches: {', '.join(f'{view.name} {view.store.watches:,}' for view in held if view.store)}."
    alarms: dict[AlarmLine, list[str]] = {}
    for view in views:
        for alarm in view.alarms:
            alarms.setdefault(alarm, []).append(view.name)
    for alarm, names in alarms.items():
        yield f"Alarm of {', '.join(names)}: {alarm.alarm}, {alarm.message}."


def _store(store: "StoreLine") -> str:
    keys, leases = _count(store.keys, "key"), _count(store.leases, "lease")
    of = f" of {_size(store.quota_bytes)}" if store.quota_bytes else ""
    return f"{keys}, {_size(store.bytes)}{of}, {leases}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.1f} GiB"


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("id", "role", "term", "leader", "commit", "applied", "last_contact_ms", "lag")
    head = [column.replace("last_contact_ms", "last contact") for column in columns]
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    styles = [{"leader": "bold green", "unknown": "dim"}.get(row["role"], "") for row in rows]
    print_table(head, cells, styles, lines=True)
    for row in rows:
        for reason in filter(None, (row.get("waiting_for"), row.get("fatal"))):
            print(f"{row['id']}: {reason}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if isinstance(value, float) else str(value)
