"""What this account may do, asked of the API server: one review for each verb and object that a fault needs.

Why it exists: a run that fails half-way for want of a permission is worse than one that never began. A review changes
nothing. A Role may name its objects, so whatever has a name beforehand is asked for by it. It must not guess from
roles: admission is the API server's to say.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from chaos.targets.kubernetes import deadman_account
from chaos.targets.kubernetes.api import Api
from chaos.targets.kubernetes.lease import lock_name
from chaos.targets.kubernetes.probes import probe_names
from chaos.targets.kubernetes.release import Release
from chaos.targets.port import Finding

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CURE = "the chart's Role has it (chaos.rbac.create=true)"
CURE_ACCOUNT = "the chart installs an account for it, so that none has to be made (chaos.rbac.create=true)"


Whose = Literal["", "nodes", "probes", "narrowed", "lease"]
"""Which objects are meant; "": any, for what is listed or made has no name to be asked for by. "narrowed":
policies of the chart that admit one node to another."""


class Permission(msgspec.Struct, frozen=True):
    """`group` "" is the core API; `resource` may have a subresource after a slash."""

    verb: str
    group: str
    resource: str
    whose: Whose = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def _all(group: str, resource: str, *verbs: str, whose: Whose = "") -> tuple[Permission, ...]:
    return tuple(Permission(verb, group, resource, whose) for verb in verbs)


def names_of(whose: Whose, release: Release) -> tuple[str, ...]:
    """The names to ask for; one that is empty: none."""
    found: Mapping[Whose, tuple[str, ...]] = {
        "": ("",),
        "nodes": release.nodes,
        "probes": probe_names(release),
        "narrowed": tuple(f"{release.stateful_set}-{one}" for one in ("peers", "servers")),
        "lease": (lock_name(release),),
    }
    return found[whose]


# exec and port-forward over WebSockets: a GET that needs `get`, and from Kubernetes 1.35 `create` as well
READING = (
    *_all("apps", "statefulsets", "list"),
    *_all("", "pods", "list"),
    *_all("", "pods", "get", whose="nodes"),
    *_all("", "pods/portforward", "get", "create", whose="nodes"),
    *_all("networking.k8s.io", "networkpolicies", "list"),
)
LOCKING = (
    *_all("coordination.k8s.io", "leases", "create"),
    *_all("coordination.k8s.io", "leases", "get", "update", "delete", whose="lease"),
)
EXEC = _all("", "pods/exec", "get", "create", whose="nodes")
DELETING = _all("", "pods", "delete", whose="nodes")
POLICIES = (
    *_all("networking.k8s.io", "networkpolicies", "get", "list", "create", "delete"),
    *_all("networking.k8s.io", "networkpolicies", "patch", whose="narrowed"),
)
SWITCH = _all("batch", "jobs", "get", "list", "create", "delete")
_RBAC = "rbac.authorization.k8s.io"
ACCOUNT = (
    *_all("", "serviceaccounts", "create"),
    *_all(_RBAC, "roles", "create"),
    *_all(_RBAC, "rolebindings", "create"),
    *_all("batch", "jobs", "patch"),
)
"""Where no account is there as which the switch may work: one is made, while the Job waits for it."""
TRYING = (
    *_all("", "pods", "create"),
    *_all("", "pods", "get", "delete", whose="probes"),
    *_all("networking.k8s.io", "networkpolicies", "create", "delete"),
    *_all("", "pods/exec", "get", "create", whose="probes"),
)
NODES = (Permission("list", "", "nodes"),)

NEEDS: tuple[tuple[str, tuple[Permission, ...]], ...] = (
    ("status", READING),
    ("any fault", LOCKING),
    ("kill-leader --mode delete", DELETING),
    ("kill-leader --mode sigkill", EXEC),
    ("pause", EXEC),
    ("partition", (*POLICIES, *EXEC)),
)
THE_SWITCH = "the dead man's switch of partition"


async def reviewed(api: Api, release: Release) -> tuple[list[Finding], bool, bool]:
    """(what `doctor` says of it, whether policies may be tried on throw-away pods, whether nodes may be listed)."""
    namespace = release.namespace
    needs = (*NEEDS, (THE_SWITCH, SWITCH if await deadman_account.there_is(api, release) else (*SWITCH, *ACCOUNT)))
    wanted = {one for _, needed in needs for one in needed} | {*TRYING, *NODES}
    asked = sorted(((one, name) for one in wanted for name in names_of(one.whose, release)), key=str)
    answers = await asyncio.gather(*(_may(api, namespace, *one) for one in asked))
    missing: dict[Permission, list[str]] = {}
    for (one, name), may in zip(asked, answers, strict=True):
        if not may:
            missing.setdefault(one, []).append(name)
    found = [_finding(release, what, {one: missing[one] for one in needed if one in missing}) for what, needed in needs]
    if NODES[0] in missing:
        found.append(
            Finding(
                "warning",
                "permissions",
                "Nodes may not be listed, so a partition also cuts its smaller side off from addresses outside the "
                "cluster; chaos.rbac.nodes=true allows it.",
            )
        )
    return found, not any(one in missing for one in TRYING), NODES[0] not in missing


def _finding(release: Release, what: str, missing: Mapping[Permission, Sequence[str]]) -> Finding:
    namespace = release.namespace
    if not missing:
        return Finding("ok", "permissions", f"{what}: allowed in namespace {namespace}.")
    named = ", ".join(_named(one, names, release) for one, names in missing.items())
    cure = CURE_ACCOUNT if any(one in ACCOUNT for one in missing) else CURE
    return Finding("error", "permissions", f"{what}: not allowed in namespace {namespace}: {named}; {cure}.")


def _named(missing: Permission, names: Sequence[str], release: Release) -> str:
    """With the objects where it is allowed for others of them."""
    every = len(names) == len(names_of(missing.whose, release))
    return str(missing) if every else f"{missing} {' '.join(names)}"


async def _may(api: Api, namespace: str, permission: Permission, name: str) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {"verb": permission.verb, "group": permission.group, "resource": resource, "subresource": subresource}
    if name:
        attributes["name"] = name
    if permission not in NODES:
        attributes["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return bool((await api.create(REVIEWS, review)).get("status", {}).get("allowed"))
