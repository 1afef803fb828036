"""`raft-chaos status` and `doctor`: look, and change nothing."""

import asyncio
from typing import Any

import typer

from chaos.cli import show
from chaos.cli.execute import execute, print_json
from chaos.cli.options import Common, with_common
from chaos.clock import Clock
from chaos.errors import NOT_EFFECTIVE, NOT_RECOVERED, PASSED
from chaos.model import Place
from chaos.observe.nodeapi import new_session
from chaos.run.order import look
from chaos.situation import Situation, unhealthy
from chaos.targets.port import Target


def register(app: typer.Typer) -> None:
    app.command("status")(with_common(_status))
    app.command("doctor")(with_common(_doctor))


def _status(common: Common) -> int:
    """Who leads, who lags, where each node runs, and which faults are on.

    Exit code 0: one leader, every voter follows it; otherwise 2.

    [bold]Examples[/bold]
      raft-chaos status
      raft-chaos status -n default --release raft -o json
    """
    common.refuse_junit()
    return execute(common, lambda target: _show_status(common, target))


async def _show_status(common: Common, target: Target) -> int:
    async with new_session() as session:
        situation, places, in_force = await asyncio.gather(
            look(target, session, Clock()), target.places(), target.policies()
        )
    trouble = unhealthy(situation)
    if common.json:
        nodes = [_node(name, situation, places.get(name)) for name in situation.nodes]
        head = {"target": target.title, "kind": target.kind, "namespace": target.namespace}
        leads = {"leader": situation.leader or None, "term": situation.term, "voters": situation.voters}
        print_json({**head, **leads, "healthy": not trouble, "trouble": trouble, "nodes": nodes, "in_force": in_force})
    else:
        show.cluster(target.title, situation, places, in_force)
        if trouble:
            show.print_rich("", f"[yellow]Not healthy[/yellow]: {trouble}")
    return NOT_RECOVERED if trouble else PASSED


def _node(name: str, situation: Situation, place: Place | None) -> dict[str, Any]:
    """One node; what is not known is None."""
    view = situation.views.get(name)
    said = ("role", "term", "leader", "commit", "applied", "last_index", "boot", "version")
    where = ("where", "instance", "ready", "restarts", "leaving", "address")
    return {
        "name": name,
        **{field: getattr(view, field) if view else None for field in said},
        **{field: getattr(place, field) if place else None for field in where},
    }


def _doctor(common: Common) -> int:
    """Say whether faults would work here: permissions, network, other policies, the nodes.

    In Kubernetes it makes two throw-away pods to see whether policies are
    enforced at all (never with --dry-run). Exit code 0; 3 where something
    would keep a fault from working.

    [bold]Examples[/bold]
      raft-chaos doctor
      raft-chaos doctor --dry-run -o json
    """
    common.refuse_junit()
    return execute(common, lambda target: _show_doctor(common, target))


async def _show_doctor(common: Common, target: Target) -> int:
    found = await target.doctor(probe=not common.dry_run)
    if common.json:
        print_json({"target": target.title, "kind": target.kind, "findings": found})
    else:
        show.findings(target.title, found)
    return NOT_EFFECTIVE if any(finding.level == "error" for finding in found) else PASSED
