"""The account for raft-chaos: nothing unless asked for, then exactly what the tool asks whether it may."""

from collections.abc import Iterator
from typing import Any

import pytest

from chaos.targets.kubernetes.permissions import NEEDS, NODES, SWITCH, TRYING, Permission
from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.rendering import Values, render

RBAC_KINDS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def rbac(**chosen: bool) -> Values:
    return {"chaos": {"rbac": {"create": True, **chosen}}}


def granted(role: dict[str, Any]) -> Iterator[Permission]:
    for rule in role["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield Permission(verb, group, resource)


@pytest.mark.parametrize("values", [{}, {"chaos": {"rbac": {"probes": True, "nodes": True}}}])
def test_unless_it_is_created_nobody_is_granted_anything(values: Values) -> None:
    kinds = {item["kind"] for item in render(values).all}
    assert not kinds & RBAC_KINDS
    assert ("ServiceAccount", "raft-chaos") not in render(values).names


def test_the_role_grants_what_the_tool_needs_and_no_more() -> None:
    role = render(rbac()).named("Role", "raft-chaos")
    assert set(granted(role)) == {one for _, needed in NEEDS for one in needed} | set(SWITCH)
    assert not {item["kind"] for item in render(rbac()).all} & {"ClusterRole", "ClusterRoleBinding"}


def test_the_jobs_of_the_dead_mans_switch_are_a_permission_that_can_be_refused() -> None:
    less = set(granted(render(rbac(switch=False)).named("Role", "raft-chaos")))
    assert set(granted(render(rbac()).named("Role", "raft-chaos"))) - less == set(SWITCH)


def test_throw_away_pods_are_a_permission_of_their_own() -> None:
    more = set(granted(render(rbac(probes=True)).named("Role", "raft-chaos")))
    assert more - set(granted(render(rbac()).named("Role", "raft-chaos"))) == {Permission("create", "", "pods")}
    assert set(TRYING) <= more


def test_outside_of_its_namespace_it_may_list_nodes_at_most() -> None:
    role = render(rbac(nodes=True), namespace="home").named("ClusterRole", "home-raft-chaos-nodes")
    assert tuple(granted(role)) == NODES


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_only_its_own_account_gets_it(kind: str) -> None:
    rendered = render(rbac(nodes=True), release="east", namespace="home")
    account = rendered.named("ServiceAccount", "east-raft-chaos")
    assert account["automountServiceAccountToken"] is False
    [binding] = [item for item in rendered.all if item["kind"] == f"{kind}Binding"]
    assert rendered.named(kind, binding["roleRef"]["name"])
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "east-raft-chaos", "namespace": "home"}]
    assert binding["roleRef"]["kind"] == kind


def test_nodes_never_run_under_that_account() -> None:
    assert render(rbac()).pod()["serviceAccountName"] == "raft"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(version: str) -> None:
    for item in render(rbac(probes=True, nodes=True)).all:
        check(item, version)
