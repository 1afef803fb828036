"""The account for raft-chaos: nothing unless asked for, then exactly what the tool asks whether it may."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from msgspec import structs

from chaos.targets.kubernetes.permissions import NEEDS, NODES, SWITCH, TRYING, Permission, names_of
from chaos.targets.kubernetes.release import Release, release_of
from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.rendering import Rendered, Values, render

RBAC_KINDS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def rbac(**chosen: bool) -> Values:
    return {"chaos": {"rbac": {"create": True, **chosen}}}


Right = tuple[str, str, str, str]
"""Verb, group, resource and the name of the object; empty: any."""
CHART_PODS_MAX = 7


def granted(role: dict[str, Any]) -> Iterator[Right]:
    for rule in role["rules"]:
        assert (
            {"apiGroups", "resources", "verbs"} <= rule.keys() <= {"apiGroups", "resources", "resourceNames", "verbs"}
        )
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield (verb, group, resource, name)


def needed(permissions: Iterable[Permission], release: Release) -> set[Right]:
    """What the tool asks for, of the largest cluster that the chart makes."""
    largest = structs.replace(release, nodes=tuple(f"{release.stateful_set}-{i}" for i in range(CHART_PODS_MAX)))
    return {(one.verb, one.group, one.resource, name) for one in permissions for name in names_of(one.whose, largest)}


def found(rendered: Rendered, name: str = "raft") -> Release:
    """The release, as the tool reads its StatefulSet."""
    return release_of("here", rendered.stateful_set(name))


@pytest.mark.parametrize("values", [{}, {"chaos": {"rbac": {"probes": True, "nodes": True}}}])
def test_unless_it_is_created_nobody_is_granted_anything(values: Values) -> None:
    kinds = {item["kind"] for item in render(values).all}
    assert not kinds & RBAC_KINDS
    assert ("ServiceAccount", "raft-chaos") not in render(values).names


def test_the_role_grants_what_the_tool_needs_and_no_more() -> None:
    role = render(rbac()).named("Role", "raft-chaos")
    wanted = [one for _, permissions in NEEDS for one in permissions]
    assert set(granted(role)) == needed([*wanted, *SWITCH], found(render(rbac())))
    assert not {item["kind"] for item in render(rbac()).all} & {"ClusterRole", "ClusterRoleBinding"}


def test_the_jobs_of_the_dead_mans_switch_are_a_permission_that_can_be_refused() -> None:
    less = set(granted(render(rbac(switch=False)).named("Role", "raft-chaos")))
    assert set(granted(render(rbac()).named("Role", "raft-chaos"))) - less == needed(SWITCH, found(render(rbac())))


def test_throw_away_pods_are_a_permission_of_their_own() -> None:
    more = set(granted(render(rbac(probes=True)).named("Role", "raft-chaos")))
    added = more - set(granted(render(rbac()).named("Role", "raft-chaos")))
    trying = needed(TRYING, found(render(rbac())))
    assert trying <= more
    assert added == {right for right in trying if right[2] in ("pods", "pods/exec")}
    assert {name for *_, name in added} == {"", "raft-chaos-probe-a", "raft-chaos-probe-b"}


@pytest.mark.parametrize("replicas", [1, 3, 7])
def test_it_may_touch_the_pods_of_its_release_alone_whatever_their_number(replicas: int) -> None:
    rendered = render({"replicaCount": replicas, **rbac()}, release="shop")
    rights = list(granted(rendered.named("Role", "shop-raft-chaos")))
    pods = {right for right in rights if right[2].startswith("pods") and right[0] != "list"}
    assert {name for *_, name in pods} == {f"shop-raft-{ordinal}" for ordinal in range(CHART_PODS_MAX)}
    assert set(found(rendered, "shop-raft").nodes) <= {name for *_, name in pods}
    leases = {name for verb, _, resource, name in rights if resource == "leases" and verb != "create"}
    assert leases == {"raft-chaos-shop"}
    assert {name for verb, *_, name in rights if verb == "patch"} == {"shop-raft-peers", "shop-raft-servers"}
    unnamed = {(verb, resource) for verb, _, resource, name in rights if not name}
    assert unnamed == {
        ("list", "statefulsets"),
        ("list", "pods"),
        ("create", "leases"),
        *((verb, "networkpolicies") for verb in ("get", "list", "create", "delete")),
        *((verb, "jobs") for verb in ("get", "list", "create", "delete")),
    }, "what cannot be narrowed by name is told in docs/chaos.md"


def test_outside_of_its_namespace_it_may_list_nodes_at_most() -> None:
    role = render(rbac(nodes=True), namespace="home").named("ClusterRole", "home-raft-chaos-nodes")
    assert [Permission(*right[:3]) for right in granted(role)] == list(NODES)


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
